# SPDX-License-Identifier: GPL-2.0
# Debian's mount, umount and findmnt.
mkdir a b c; export LIBMOUNT_FSTAB=/dev/null; show() { findmnt -rn -o TARGET,SOURCE,FSTYPE,VFS-OPTIONS,PROPAGATION "$@" | sort; }
mount -t tmpfs -o size=64k,nosuid,noexec,mode=700 mine a && show a; touch a/f; ls a; stat -c '%a' a
mount --bind a b && show b; ls b; mount -o remount,bind,ro b; touch b/g; show b; touch a/g; ls b
mount -o remount,size=128k a; findmnt -rn -o FS-OPTIONS a | tr , '\n' | grep size; mount -o remount,ro a; touch a/h; mount -o remount,rw a; touch a/h; ls a
mount --make-shared a; show a; mkdir a/sub; mount -t tmpfs two a/sub; mount --rbind a c; findmnt -rn -o TARGET | grep -c "$PWD/c"; mount --make-rprivate c; show c c/sub
umount c; echo $?; umount -R c; echo $?; umount b; umount a/sub; umount a; echo $?; umount a; echo $?
mount -t nosuch x a; echo $?; mount -t tmpfs -o nosuchoption x a; echo $?; mount -t tmpfs x missing; echo $?
mount -t tmpfs one a; mount --make-private a; mount --move a b; echo $?; show b; mountpoint -q a; echo $?; mountpoint b; umount -l b; echo $?
unshare -m sh -c 'mount -t tmpfs inner a && findmnt -n -o SOURCE a'; findmnt a; echo $?
mount -t mqueue none a; findmnt -n -o FSTYPE a; umount a; mount -t proc none a; ls a/1/comm; umount a; ls a
