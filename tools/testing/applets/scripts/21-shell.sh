# SPDX-License-Identifier: GPL-2.0
# The shell's language: expansion and flow.
a=hello; echo ${a#he} ${a%lo} ${a##*l} ${#a} ${a:1:3} ${a/l/L} ${a//l/L} ${b:-def} ${b:=set} $b ${c+x} "${a}"; (echo ${nope:?missing}) 2>&1 | sed 's/.*nope/nope/'; echo ~ | head -c 1; echo
for i in 1 2 3; do echo $i; done; case abc in a*) echo glob;; *) echo no;; esac; f() { local x=$1; echo f$x; return 4; }; f 1; echo $?; until false; do echo once; break; done; if false; then :; elif true; then echo elif; fi
touch g1 g2 .h; echo g*; echo .h*; echo [g]1; echo nosuch*; echo g?; echo "g*"; set -f; echo g*; set +f; echo {a,b}; IFS=:; x=a:b:c; set -- $x; echo $# $2; IFS=' '; echo "$*"; echo $((x=5, x+1)) 2>/dev/null
cat <<E
here $((1+1)) $(echo sub) `echo back`
E
cat <<'E'
literal $x $(no)
E
cat <<-E
	tab stripped
	E
read a b <<E
1 2 3
E
echo "$a|$b"; echo 'x y z' | { read p q; echo "$q"; }; printf 'a\\b\n' | { read -r l; echo "$l"; }; echo | { read e; echo "rc $?"; }; read z < /dev/null; echo $?; while read l; do echo "[$l]"; done <<E
p
q
E
trap 'echo bye' EXIT; (trap 'echo sub' EXIT); trap 'echo usr1' USR1; kill -USR1 $$; eval 'echo ev $a'; set -- a b c; shift; echo $1; alias ll='echo aliased'; unset a; echo ${a-gone}; readonly r=1; (r=2) 2>&1 | sed 's/.*r:/r:/'; . /dev/null; echo ${PPID:+ppid}
sh -c 'set -e; false; echo no'; echo $?; sh -c 'set -u; echo $undef' 2>/dev/null; echo $?; ! true; echo $?; true && echo and || echo or; { echo group; }; (exit 5); echo $?; command echo cmd; type f | head -n 1; hash -r; printf -v v x 2>/dev/null; echo end
