# SPDX-License-Identifier: GPL-2.0
# cut, paste, tr, sort, uniq, comm and the like.
printf 'one:two:three\n1:2:3\n' > a
cut -d: -f2 a; cut -d: -f1,3 a; cut -c1-3 a; cut -b2 a
paste a a; paste -s a; paste -d, a a
tr a-z A-Z < a; tr -d : < a; tr -s e < a; echo aabbcc | tr -s a-c; echo abc | tr abc '[x*]'
printf 'b\na\nc\na\n' | sort; printf 'b\na\nc\na\n' | sort -u; printf '10\n9\n2\n' | sort -n; printf '10\n9\n2\n' | sort
printf 'x 3\ny 1\nz 2\n' | sort -k2; printf 'x 3\ny 1\nz 2\n' | sort -k2nr; printf '1K\n2M\n3\n' | sort -h
printf 'a\na\nb\nc\nc\n' | uniq -c; printf 'a\na\nb\n' | uniq -d; printf 'a\na\nb\n' | uniq -u
nl a; fold -w 4 a; echo 'a long line of words to fold here' | fold -s -w 12
rev a; tac a; expand -t 4 <<E
	tab	stop
E
echo '        eight' | unexpand -a
wc a; wc -l a; wc -c < a; wc -w a; wc -m a; wc -L a
