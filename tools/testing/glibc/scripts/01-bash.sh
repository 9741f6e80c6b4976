# SPDX-License-Identifier: GPL-2.0
# The language: arrays, expansions, here documents, process substitution, coprocesses.
a=(one two three); a+=(four); echo "${#a[@]} ${a[1]} ${a[@]:1:2} ${!a[@]}"; unset 'a[1]'; echo "${!a[*]}"
declare -A m=([x]=1 [y]=2); m[z]=3; for k in x y z; do echo "$k=${m[$k]}"; done; echo "${#m[@]}"
s='Hello World'; echo "${s^^} ${s,,} ${s/World/There} ${s:6} ${s: -5:3} ${s#* } ${s%% *} ${#s}"
[[ $s =~ ([A-Z][a-z]+)\ (.*) ]] && echo "${BASH_REMATCH[1]}-${BASH_REMATCH[2]}"
printf -v v '%05d|%-6s|%x' 42 ab 255; echo "$v"; echo {1..5} {a..e..2} x{1,2}y; echo $((2**40 % 1000)) $((16#ff)) $((1?2:3))
diff <(seq 1 5) <(seq 2 6); paste <(echo a) <(echo b); cat < <(echo from process); echo into | tee >(tr a-z A-Z > up) > /dev/null; sleep 0.3; cat up
cat <<E1; cat <<'E2'; cat <<< "here string"
expanded $((1+1))
E1
not $expanded
E2
coproc C { while read -r l; do echo "got $l"; done; }; echo ping >&"${C[1]}"; read -r -u "${C[0]}" r; echo "$r"; exec {C[1]}>&-; wait "$C_PID"; echo "coproc $?"
mapfile -t lines < <(seq 3); echo "${lines[2]}"; f() { local x=$1; return $((x+1)); }; f 4; echo $?; (exit 7); echo $?; ! true; echo $?
while getopts ab:c o -a -b val; do echo "$o ${OPTARG-}"; done; set -- 'a b' c; for i in "$@"; do echo "[$i]"; done; shift; echo $#
trap 'echo exit trap' EXIT; trap 'echo ERR' ERR; false; trap - ERR; exec {fd}> out; echo x >&$fd; exec {fd}>&-; cat out; case abc in a*) echo star;; esac
shopt -s extglob nullglob
touch x.c y.c z.h; echo !(*.h) *.none; shopt -s globstar; mkdir -p d/e; touch d/e/f; echo **/f; type -t cd ls f if; help true | head -n 1; echo "${BASH_VERSINFO[0]}"
echo "$BASH_SUBSHELL $(echo $BASH_SUBSHELL)"; (( $$ == BASHPID )) && echo same; ( (( $$ == BASHPID )) || echo other ); { time -p true; } 2>&1 | cut -d' ' -f1; TIMEFORMAT=; { time true; } 2>&1 | wc -l; echo $SHLVL; echo "$OSTYPE $HOSTTYPE"; ulimit -n; ulimit -c; printf '%q\n' "it's"; printf '%(%Y)T\n' 0
