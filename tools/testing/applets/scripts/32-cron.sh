# SPDX-License-Identifier: GPL-2.0
# crond, crontab, inotifyd's absence, watchdog's usage.
mkdir -p /var/spool/cron/crontabs /etc; echo '* * * * * echo tick' > tab; crontab tab; echo $?; crontab -l; crontab -r; crontab -l; echo $?; crond -b -L /dev/null; sleep 0.2; pidof crond | wc -w; killall crond; sleep 0.2; pidof crond | wc -w; watchdog 2>&1 | head -n 1 | cut -c1-8; acpid --help 2>&1 | head -n 1 | cut -c1-7; svc 2>&1 | head -n 1 | cut -c1-7; svok /nosuch; echo $?; mdev -s; echo $?; ls -d /dev/null; uevent < /dev/null > /dev/null 2>&1 & sleep 0.1; kill $!; wait $! 2>/dev/null; echo ended
