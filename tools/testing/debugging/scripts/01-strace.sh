# SPDX-License-Identifier: GPL-2.0
# System-call traces.
echo hello > f
strace -o out -e trace=openat,read,close,dup2 cat f; grep -A3 '"f"' out; tail -n 1 out
strace -o out -e trace=execve,getppid victim add; sed 's/0x[0-9a-f]*/PTR/g; s/\/\* .* vars \*\//VARS/' out
strace -f -o out -e trace=fork,vfork,clone,wait4,exit_group victim fork; sed 's/^[0-9]* *//; s/child_tidptr=0x[0-9a-f]*/child_tidptr=PTR/; s/si_utime=.*/TIMES/; s/[0-9]\{2,\}/N/g' out | grep -v wait4 | sort
strace -f -o out -e trace=exit,exit_group,futex victim threads; tail -n 1 out | sed 's/^[0-9]* *//'
strace -o out -e trace=rt_sigaction,tgkill,rt_sigreturn victim signal; grep -A1 -- '--- SIGUSR1' out | sed 's/si_pid=[0-9]*/si_pid=N/'
bash -c "strace -o out victim crash; exit \$?" 2> /dev/null; echo $?; tail -n 2 out
strace -c -o out -e trace=write,getpid victim add; awk '$NF == "write" { print $4 }' out
strace -e inject=write:error=ENOSPC -o out -e trace=write victim add; echo $?; head -n 1 out
strace -e inject=getpid:retval=7 -o out -e trace=getpid bash -c 'echo $BASHPID > /dev/null'; tail -n 1 out
strace -o out -e trace=none -e signal=none victim exec; cat out
sleep 30 & p=$!; sleep 0.2; (sleep 0.5; kill $p) & strace -o out -p $p 2>&1 | sed 's/[0-9][0-9]*/N/g'; tail -n 2 out | sed 's/si_pid=[0-9]*/si_pid=N/; s/N//'
strace -k -o out -e trace=write victim add > /dev/null; echo $?
