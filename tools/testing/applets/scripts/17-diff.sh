# SPDX-License-Identifier: GPL-2.0
# diff, cmp, patch, ed.
printf 'a\nb\nc\nd\n' > 1; printf 'a\nB\nc\nd\ne\n' > 2
diff -u 1 2 | sed 1,2d; diff 1 2 > /dev/null; echo $?; diff 1 1; echo $?; diff -q 1 2; cmp 1 2; echo $?; cmp -l 1 2; cmp -s 1 1; echo $?
diff -u 1 2 > p; cp 1 3; patch 3 < p; cmp 3 2 && echo patched; patch -R 3 < p; cmp 3 1 && echo back; patch -p0 < /dev/null; printf 'x\n' > 4; patch 4 < p; echo $?
mkdir x y; echo 1 > x/f; echo 2 > y/f; echo only > x/g; diff -r x y | grep -v ^diff | sed 's/	.*//'; diff -N -u x/g y/g | sed 1,2d; printf 'A b\n' > s; printf 'a  b\n' > t; diff -ib s t; echo $?
printf '1d\n$a\nnew\n.\n1,$p\nw\nq\n' | ed 1; cat 1; printf '/c/s/c/C/\nw out\nQ\n' | ed 1; cat out
