# SPDX-License-Identifier: GPL-2.0
# Every applet prints its help: each one is executed at least once.
for a in $(busybox --list); do case $a in init|linuxrc|sh|ash|true|false|test|'['|'[['|echo|busybox|halt|poweroff|reboot|ed|yes|runsvdir|getty|nuke|resume|run-init) continue;; esac; n=$(busybox $a --help 2>&1 < /dev/null | head -n 3 | wc -l); [ "$n" -gt 0 ] && echo "$a ok" || echo "$a nothing"; done; busybox --list | wc -l; busybox nosuch; echo $?; busybox --help | head -n 1
