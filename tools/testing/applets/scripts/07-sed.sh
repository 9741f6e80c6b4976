# SPDX-License-Identifier: GPL-2.0
# Stream editing.
printf 'one\ntwo\nthree\nfour\n' > f
sed s/o/0/ f; sed s/o/0/g f; sed -n 2p f; sed 2d f; sed '2,3d' f; sed '$d' f; sed -n '/t/p' f; sed '/two/a after' f
sed '/two/i before' f; sed '/two/c changed' f; sed 'y/aeiou/AEIOU/' f; sed -n '$=' f; sed 's/\(t\)\(.*\)/\2\1/' f
sed -E 's/(t)(.*)/\2\1/' f; sed 's/o/[&]/g' f; sed -e 1d -e s/t/T/ f; sed '1!G;h;$!d' f; sed 'N;s/\n/ /' f
sed -i s/one/ONE/ f; cat f; sed '2q' f; sed -n '2{p;q}' f; sed 's/t/T/2' f; sed '/two/,/four/s/^/> /' f; sed = f
sed ':a;N;$!ba;s/\n/,/g' f; sed 's/e$/E/I' f; sed -n 'l' f; sed '/two/w out' f > /dev/null; cat out; sed r\ out f | head -n 6
