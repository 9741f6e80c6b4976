# SPDX-License-Identifier: GPL-2.0
# sleep, timeout, usleep, time, date.
sleep 0; sleep 0.1; usleep 1000; echo slept; timeout 0.2 sleep 5; echo $?; timeout 5 true; echo $?; timeout -s KILL 0.2 sleep 5; echo $?; timeout 5 sh -c 'exit 9'; echo $?
time true 2> t; grep -c real t; busybox time -f '%C %x' true; TZ=UTC date -d @0; TZ=UTC date -d @1700000000 '+%Y-%m-%d %H:%M:%S %j %a %b %u %U'; TZ=UTC date -d '2024-02-29 12:34:56' +%s; TZ=EST5EDT date -d @1700000000 +%H:%M%z; date -R -u -d @86400
TZ=UTC date -u -d '2000-01-01 00:00' -I; date +%s | wc -c; date -s @1000000000 > /dev/null; test $(date +%s) -lt 1000000100 && echo set; date -d garbage; echo $?; cat /proc/uptime | awk '{print ($1 > 0)}'; uptime | wc -l
a=$(date +%s); sleep 1; b=$(date +%s); echo $((b-a >= 1)); (sleep 0.2; echo second) & echo first; wait; ts < /dev/null; echo line | ts '' | wc -l; adjtimex > /dev/null 2>&1; echo $?; rtcwake 2>/dev/null | wc -l
