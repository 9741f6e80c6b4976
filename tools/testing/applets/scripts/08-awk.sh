# SPDX-License-Identifier: GPL-2.0
# Pattern scanning.
printf 'alice 30 1.5\nbob 25 2.5\ncarol 35 3.5\n' > f
awk '{print $1}' f; awk '{s+=$2} END {print s, NR, s/NR}' f; awk '$2>28' f; awk -F'[ .]' '{print $3}' f
awk 'BEGIN {printf "%5.2f|%d|%s|%x\n", 3.14159, 42, "s", 255}'; awk '{a[$1]=$2} END {for (k in a) print k, a[k]}' f | sort
awk 'BEGIN {print length("hello"), substr("hello",2,3), index("hello","l"), toupper("x"), tolower("Y")}'
awk 'BEGIN {n=split("a:b:c",p,":"); print n, p[1], p[3]; s="aXbX"; gsub("X","-",s); print s; sub("-","+",s); print s}'
awk 'BEGIN {print match("foobar","o+"), RSTART, RLENGTH; print 2^10, 7%3, int(3.9), sqrt(16), exp(0), log(1)}'
awk -v x=5 'BEGIN {print x*2; while (i<3) {i++; if (i==2) continue; print i}; do {j++} while (j<5); print j}'
awk 'NR==2,NR==3 {print NR": "$0}' f; awk 'BEGIN {OFS="-"} {$1=$1; print}' f; awk 'function f(n) {return n<2?1:n*f(n-1)} BEGIN {print f(10)}'
awk '{print > ($2>28 ? "old" : "young")} END {close("old")}' f; cat old young
awk 'BEGIN {while (("echo a; echo b" | getline l) > 0) print "got", l; print system("exit 3"); print ENVIRON["HOME"]}'
awk 'BEGIN {print "b\na" | "sort"}'; awk 'END {print $0, NF}' f; echo 'a,b' | awk -F, '{print $2 $1}'; awk 'BEGIN { exit 7 }'; echo $?
