# SPDX-License-Identifier: GPL-2.0
# Searching.
printf 'apple\nbanana\ncherry\nApple pie\n' > f
grep an f; grep -i apple f; grep -v a f; grep -c a f; grep -n e f; grep -o 'an' f; grep -w pie f; grep -x apple f
grep -E 'a(p|n)' f; egrep 'ch|pie' f; fgrep 'a.p' f; echo $?; grep -F ana f; grep -q cherry f; echo $?
grep -l a f; grep -L zzz f; grep -A1 banana f; grep -B1 cherry f; grep -C1 cherry f; grep -m1 a f
mkdir d; cp f d/g; grep -r cherry d; grep -h cherry f d/g; grep -e apple -e cherry f; echo 'pp' > pat; grep -f pat f
grep '^a.*e$' f; grep '[[:upper:]]' f; grep 'n\{1\}a' f; grep nothing f; echo $?; grep x nosuchfile; echo $?
