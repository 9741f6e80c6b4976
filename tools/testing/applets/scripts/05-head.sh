# SPDX-License-Identifier: GPL-2.0
# head, tail, tee, split, cat and more of whole files.
seq 20 > n
head n; head -n 3 n; head -c 5 n; echo; head -n -17 n; tail n; tail -n 2 n; tail -n +19 n; tail -c 4 n
head -n 1 n n; tail -n 1 n n
seq 3 | tee t1 t2; cat t1 t2; echo more | tee -a t1 > /dev/null; cat t1
cat -n t1; cat -b t1; cat -e t1; printf 'a\tb\001\n' | cat -A; printf 'x\n' | cat - t2
split -l 7 n part; ls part*; wc -l part*; split -b 10 n byte; ls byte* | wc -l; cat byte* | cmp - n && echo same
more t1; less t1 < /dev/null | cat
truncate -s 100 z; wc -c z; truncate -s 10 z; wc -c z
