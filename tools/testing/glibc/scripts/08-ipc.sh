# SPDX-License-Identifier: GPL-2.0
# System V IPC by util-linux's programs and by perl; POSIX message queues by number, and their file system.
ipcmk -M 5000 -p 0640; ipcmk -M 1; ipcmk -S 3 -p 0600; ipcmk -Q
ipcs | sed 's/0x[0-9a-f]\{8\}/KEY/'
ipcs -l; ipcs -u; ipcs -c | sed 's/0x[0-9a-f]*/KEY/'
ipcs -m -i 0 | grep -v '_time\|key' | sed 's,cpid=[0-9]*,cpid=N,'; ipcs -s -i 0 | grep -v 'ime\|key'; ipcs -q -i 0 | grep -v 'ime\|key'
lsipc | awk '{print $1, $NF, $(NF-1)}'
lsipc -m -o ID,PERMS,OWNER,SIZE,NATTCH,STATUS,CUID,CGID,UID,GID; lsipc -s -o ID,PERMS,NSEMS; lsipc -q -o ID,PERMS,USEDBYTES,MSGS,LSPID
ipcrm -m 1; ipcrm -m 1; echo $?; ipcrm -s 0 -q 0; echo $?; ipcs -m | grep -c '^0x'; awk 'NR > 1 {print $2, $3, $4, $7}' /proc/sysvipc/shm
perl -e '
$id = shmget(0, 100, 0600) // die; shmwrite($id, "hello", 3, 5); shmread($id, $b, 0, 10); printf "%s\n", join ",", unpack "C*", $b;
$s = semget(0, 2, 0600); semop($s, pack("s!3", 0, 2, 0)); semop($s, pack("s!6", 0, -1, 0, 1, 1, 0)); print semctl($s, 0, 12, 0), semctl($s, 1, 12, 0), "\n";
if (!fork) { semop($s, pack("s!3", 1, -1, 010000)); exit } wait; print semctl($s, 1, 12, 0) + 0, "\n";
$q = msgget(0, 0600); msgsnd($q, pack("l! a*", 4, "four"), 0); msgsnd($q, pack("l! a*", 2, "two"), 0);
msgrcv($q, $m, 100, 2, 0); print join(" ", unpack "l! a*", $m), "\n"; msgrcv($q, $m, 1, 0, 04000) == -1 and print "$!\n"; msgrcv($q, $m, 2, 0, 010000); print join(" ", unpack "l! a*", $m), "\n";
msgrcv($q, $m, 2, 0, 04000) == -1 and print "$!\n"; shmctl($id, 0, 0); semctl($s, 0, 0, 0); msgctl($q, 0, 0); shmread($id, $b, 0, 1) or print "$!\n";'
ipcrm --all; ipcs | grep -c '^0x'
cat /proc/sys/kernel/{shmmni,msgmax,msgmnb,msgmni,sem}; cat /proc/sysvipc/*; ls /proc/sys/fs/mqueue; cat /proc/sys/fs/mqueue/*
mkdir mq; /busybox mount -t mqueue none mq; grep mqueue /proc/filesystems; ls -ld mq | cut -c1-10
perl -e '
$name = "queue"; $bad = "a/b"; $none = "none"; $x = "x"; $long = "x" x 21;
$attr = pack "l!8", 0, 3, 20; $fd = syscall(240, $name, 0102, 0640, $attr); print $fd >= 0 ? "open\n" : "$!\n";
for ([1, "low"], [9, "high"], [1, "low2"]) { $text = "$_->[1]"; syscall(242, $fd, $text, length $text, $_->[0], 0) == 0 or print "$!\n" }
syscall(242, $fd, $long, 21, 0, 0) == 0 or print "$!\n"; $t = pack "l!2", 1, 0; syscall(242, $fd, $x, 1, 0, $t) == 0 or print "$!\n";
system "cat mq/queue; ls -l mq | cut -c1-10"; $o = "\0" x 64; syscall(245, $fd, 0, $o); print join(" ", unpack "l!4", $o), "\n";
for (1..3) { $b = "\0" x 20; $p = pack "L", 0; $n = syscall(243, $fd, $b, 20, $p, 0); print substr($b, 0, $n), " ", unpack("L", $p), "\n" }
syscall(243, $fd, $b, 20, $p, $t) >= 0 or print "$!\n"; syscall(243, $fd, $b, 19, $p, $t) >= 0 or print "$!\n";
$SIG{USR1} = sub { print "told\n" }; $e = pack "q l l x48", 5, 10, 0; print syscall(244, $fd, $e), "\n"; syscall(244, $fd, $e) == 0 or print "$!\n";
system "cat mq/queue | cut -c1-36"; syscall(242, $fd, $x, 1, 0, 0); select undef, undef, undef, 0.2; print syscall(244, $fd, 0), "\n";
syscall(240, $name, 0300, 0600, 0) >= 0 or print "$!\n"; syscall(240, $bad, 0102, 0600, 0) >= 0 or print "$!\n"; syscall(240, $none, 2, 0, 0) >= 0 or print "$!\n";
print syscall(241, $name), "\n"; syscall(241, $name) == 0 or print "$!\n"'
ls mq; echo > mq/made; ls mq; cat mq/made; rm mq/made; umount mq; echo $?
