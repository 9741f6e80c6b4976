# SPDX-License-Identifier: GPL-2.0
# Check sums and digests.
printf abc > f; : > e
md5sum f e; sha1sum f e; sha256sum f; sha512sum f; sha3sum f; cksum f; sum f; crc32 f
md5sum f e > s; md5sum -c s; echo 1 >> f; md5sum -c s; echo $?; sha256sum -c /dev/null; echo $?
seq 100000 | md5sum; seq 100000 | sha256sum; seq 100000 | cksum; seq 100000 | sha512sum
mkpasswd -m sha512 -S saltsalt secret; mkpasswd -m md5 -S saltsalt secret; mkpasswd -m des -S ab secret
