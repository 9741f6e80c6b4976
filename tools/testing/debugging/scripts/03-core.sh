# SPDX-License-Identifier: GPL-2.0
# gdb on core files.
ulimit -c unlimited
g() { gdb -nx -q -batch -iex 'set pagination off' -iex 'set debuginfod enabled off' "$@" 2>&1 | grep -v 'warning: \|^Using host\|libthread_db\|^$\|^\[New\|should not happen\|^\.$' | sed 's/0x7ff[0-9a-f]*/STACK/g; s/Thread 0x[0-9a-f]* (LWP [0-9]*)/Thread/g; s/LWP [0-9]*/LWP N/g; s/^\(Program terminated.*\)\.$/\1/'; }
bash -c 'victim crash; echo $?' 2> /dev/null; ls core
g -ex bt -ex 'p watched' -ex 'p *p' -ex 'p ratio' -ex 'p $_siginfo._sifields._sigfault.si_addr' -ex 'p/x $cs' -ex 'info auxv' /usr/bin/victim core | grep -v '^[0-9]* *AT_'
g -ex 'p $mxcsr' -ex 'info proc exe' /usr/bin/victim core | tail -n 2
rm core; bash -c 'victim crash-threads; echo $?' 2> /dev/null
g -ex 'info threads' -ex 'thread apply all p $_thread > 0' -ex 'p ratio' /usr/bin/victim core | grep -c 'Thread\|0.5'
