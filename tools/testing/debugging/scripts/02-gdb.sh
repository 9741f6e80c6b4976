# SPDX-License-Identifier: GPL-2.0
# Breakpoints, steps, watchpoints, values, threads, children, signals.
g() { gdb -nx -q -batch -iex 'set pagination off' -iex 'set debuginfod enabled off' -iex 'set print thread-events off' "$@" 2>&1 | grep -v 'warning: \|^Using host\|linux-thread-db\|^$\|libthread_db' | grep -v 'should not happen\|^\.$\|received signal' | sed 's/0x7ff[0-9a-f]*/STACK/g; s/process [0-9]*/process N/g; s/Thread 0x[0-9a-f]* (LWP [0-9]*)/Thread/g; s/LWP [0-9]*/LWP N/g'; }
g -ex 'break add' -ex run -ex bt -ex 'info locals' -ex finish -ex 'p watched' -ex 'p ratio' -ex continue --args victim add
g -ex 'break recurse if n == 1' -ex run -ex 'p n' -ex 'up' -ex 'p p' -ex 'info breakpoints' -ex continue --args victim add
g -ex 'break main' -ex run -ex 'watch watched' -ex continue -ex 'p watched' -ex continue -ex 'p $_exitcode' --args victim add
g -ex 'break main' -ex run -ex next -ex next -ex step -ex step -ex 'info line' -ex 'p $rip > 0x400000' -ex 'set var p.x = 40' -ex 'stepi' -ex 'x/i $pc' -ex continue --args victim add
g -ex 'break main' -ex run -ex 'p add(20, 22)' -ex 'p $xmm0.v2_int64' -ex 'p $mxcsr' -ex 'p/x $cs' -ex 'call (int)getpid() > 0' -ex kill --args victim add
g -ex 'break thread' -ex run -ex 'p (long)arg >= 0' -ex delete -ex continue --args victim threads | grep -c 'threads done\|^.1 = 1\|exited normally'
g -ex 'set follow-fork-mode child' -ex 'break add' -ex run -ex 'p a * b' -ex continue --args victim fork | grep '^.1 ='
g -ex 'catch fork' -ex run -ex continue --args victim fork | grep -c 'Catchpoint 1\|child 7'
g -ex 'handle SIGUSR1 stop print' -ex run -ex 'p $_siginfo.si_signo' -ex continue --args victim signal | grep -v '^Signal\|^SIGUSR1\|0x'
g -ex run -ex bt -ex 'p $_siginfo._sifields._sigfault.si_addr' -ex 'p p->y' --args victim crash
g -ex 'catch exec' -ex run -ex 'break add' -ex continue -ex bt -ex kill --args victim exec
g -ex 'catch syscall write' -ex run -ex continue -ex delete -ex continue --args victim add | sed 's/0x[0-9a-f]*/PTR/; s/ at .*//'
victim sleep & p=$!; sleep 0.3; g -p $p -ex 'bt 1' -ex 'p watched' -ex detach victim | grep -c 'watched\|\$1 = 0'; kill $p; wait $p; echo $?
g -ex 'hbreak add' -ex run -ex bt -ex 'info breakpoints' -ex continue --args victim add
