# SPDX-License-Identifier: GPL-2.0
# Redirection, pipes, descriptors.
echo out > f; echo err >&2 2> e; cat f; echo more >> f; cat f; cat < f > g; cmp f g && echo same; { echo 1; echo 2 >&2; } 2>&1 | sort; { echo 1; echo 2 >&2; } 2> /dev/null; exec 3> three; echo to3 >&3; exec 3>&-; cat three; echo x >&3
exec 4< f; read l <&4; echo $l; read l <&4; echo $l; exec 4<&-; cat nosuch 2>&1 | wc -l; set -C; echo no > f; set +C; echo yes >| f; cat f; : > f; wc -c < f; echo a | cat | cat | cat; echo a | (cat; echo b) | tac; seq 100000 | tail -n 1; seq 100000 | wc -c
yes | head -n 100000 | wc -l; (sleep 0.1; echo late) | cat; true | false; echo $?; set -o pipefail; false | true; echo $?; set +o pipefail; mkfifo p; (echo through > p) & cat p; wait; (cat p > got) & echo fifo > p; wait; cat got; cat <(echo no) 2>/dev/null; echo "$(cat <<E
nested
E
)"; x=$(printf 'trail\n\n\n'); echo "[$x]"; head -c 200000 /dev/zero | wc -c; seq 5 | while read n; do echo $((n*n)); done; ls /proc/self/fd | wc -l; echo data | tee /dev/stderr 2>/dev/null | cat; cat /dev/fd/0 < f; echo in | cat /dev/stdin; echo > /nosuchdir/f; echo $?; cat < nosuch; echo $?
