# SPDX-License-Identifier: GPL-2.0
# dd and the character devices.
dd if=/dev/zero of=z bs=1k count=4 2>/dev/null; wc -c z; dd if=/dev/zero bs=10 count=3 2>/dev/null | od -c; seq 10 | dd bs=1 skip=2 count=4 2>/dev/null; echo
seq 9 | dd of=s bs=2 conv=notrunc 2>/dev/null; printf XX | dd of=s bs=1 seek=4 conv=notrunc 2>/dev/null; cat s; dd if=nosuch; echo $?; printf abc | dd bs=5 conv=sync 2>/dev/null | od -c; echo abc | dd conv=ucase 2>/dev/null
dd if=/dev/zero of=/dev/full bs=1 count=1 2>&1 | head -n 1; echo x > /dev/full; echo $?; cat /dev/null; echo x > /dev/null; head -c 5 /dev/zero | wc -c; head -c 100 /dev/urandom | wc -c; head -c 16 /dev/random | wc -c
head -c 16 /dev/urandom | cmp -s - /dev/zero; echo $?; dd if=/dev/zero of=sparse bs=1 count=1 seek=1M 2>/dev/null; stat -c '%s' sparse; stat -c %b sparse; dd if=sparse bs=64k 2>/dev/null | wc -c
fallocate -l 8192 fa; stat -c '%s' fa; pipe_progress < /dev/null 2>/dev/null; shuf -i 1-5 | sort -n | tr '\n' ' '; shuf -e a b c | sort | tr '\n' ' '; shuf -n 2 -i 1-9 | wc -l; sync; sync z; fsync z 2>/dev/null; echo done
