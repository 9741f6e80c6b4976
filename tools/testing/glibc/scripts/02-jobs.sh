# SPDX-License-Identifier: GPL-2.0
# Job control, signals, waiting.
sleep 10 & kill %1; wait %1; echo $?; sleep 0.1 & wait $!; echo $?; (exit 3) & (exit 4) & wait -n; wait; echo done; for i in 1 2 3; do (exit $i) & p[i]=$!; done; for i in 3 1 2; do wait "${p[i]}"; echo $?; done
bash <<'E' 2> /dev/null
set -m; sleep 5 & jobs; kill -STOP %1; sleep 0.3; jobs; bg %1 > /dev/null; sleep 0.2; jobs; kill %1; wait %1; echo $?; sleep 0.3 & fg %+; echo "fg $?"; (sleep 0.1; exit 3) | cat & wait %+; echo $?
E
sh -c 'kill -TERM $$'; echo $?; { sh -c 'kill -SEGV $$'; echo $?; } 2> /dev/null; bash -c 'trap "echo int; exit 5" INT; kill -INT $$; echo no'; echo $?; bash -c 'trap "" TERM; kill -TERM $$; echo survived'
(trap 'echo usr1' USR1; kill -USR1 $BASHPID; echo after); timeout 0.2 sleep 5; echo $?; { timeout -s KILL 0.2 sleep 5; echo $?; } 2> /dev/null; timeout --preserve-status 0.2 sleep 5; echo $?; timeout 5 true; echo $?
nohup true 2> /dev/null; echo $?; nice -n 3 nice; nice; disown -a; sleep 3 & disown %1; jobs | wc -l; kill $!; kill -l 15; kill -l TERM; kill -0 $$; echo $?; kill -0 999999 2> /dev/null; echo $?
seq 1 20 | xargs -n 3 -P 4 echo | sort -n | head -n 3; seq 5 | xargs -I{} echo "<{}>" | tr -d '\n'; echo; false | true | false; echo "${PIPESTATUS[@]}"; yes | head -n 1000 | wc -l; echo "${PIPESTATUS[0]}"
stdbuf -oL echo line; env -i A=1 env; env -u HOME bash -c 'echo ${HOME-none}'; { bash -c 'ulimit -t 1; while :; do :; done'; echo $?; } 2> /dev/null
