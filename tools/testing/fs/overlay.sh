# SPDX-License-Identifier: GPL-2.0
# Cases for overlayfs, for any kernel: sh overlay.sh BASE LOWER CASE. BASE and LOWER are directories on file systems (perhaps the same
# one) for the upper and the lower layers. Prints `ok` and the case, or `FAIL` with the line that failed.
set -u
base=$1/x lowers=$2/y test=$3
U=$base/upper W=$base/work L=$lowers/lower1 B=$lowers/lower2 M=/tmp/merged
P=/usr/sbin
rm -rf $base $lowers; mkdir -p $U $W $L $B $M
fails() { if "$@" 2>/dev/null; then echo "succeeds: $*"; exit 1; fi; }
is() { [ "$1" = "$2" ] || { echo "is '$1', not '$2'"; exit 1; }; }
names() { (cd $1 && echo $(ls -A | sort)); }
up() { mount -t overlay ovl -o lowerdir=$L:$B,upperdir=$U,workdir=$W${1:-} $M; }
again() { umount $M; up; }
ino() { $P/stat -c %i $1; }
dev() { $P/stat -c %d $1; }
# Nothing is left in the work directory, but perhaps a whiteout for the next removal.
worked() { for f in $(names $W/work); do is_whiteout $W/work/$f; done; }
is_whiteout() { is "$($P/stat -c '%F %t:%T' $1)" "character special file 0:0"; }
xattr() { $P/getfattr --only-values -n $2 $1 2>/dev/null; }

t_read() {
  echo one >$L/a; echo two >$B/a; echo low >$B/b; mkdir $L/d $B/d; echo 1 >$L/d/x; echo 2 >$B/d/x; echo 3 >$B/d/y
  ln -s target $B/s; echo up >$U/c; mknod $B/null c 1 3; mkfifo $L/p
  up
  is "$(cat $M/a)" one; is "$(cat $M/b)" low; is "$(cat $M/c)" up; is "$(names $M)" "a b c d null p s"
  is "$(names $M/d)" "x y"; is "$(cat $M/d/x)" 1; is "$(readlink $M/s)" target
  echo data >$M/null; (cat $M/p >/tmp/got &) ; echo through >$M/p; sleep 1; is "$(cat /tmp/got)" through
  is "$($P/stat -c %h $M/d)" 1; is "$(names $U)" c
}
t_write() {
  echo lower >$L/f; chmod 640 $L/f; chown 12:34 $L/f; touch -d '2001-02-03 04:05:06' $L/f; $P/setfattr -n trusted.k -v v $L/f
  up
  was=$(ino $M/f); exec 5<$M/f; echo more >>$M/f; is "$(cat $M/f)" "$(printf 'lower\nmore')"; is "$(cat <&5)" "$(printf 'lower\nmore')"; exec 5<&-
  is "$(cat $L/f)" lower; is "$(ino $M/f)" $was; is "$($P/stat -c '%a %u %g' $U/f)" "640 12 34"; is "$(xattr $U/f trusted.k)" v
  again; is "$(cat $M/f)" "$(printf 'lower\nmore')"; worked
}
t_metadata() {
  mkdir -p $L/d/e; echo 1 >$L/d/e/f; touch -d '2001-02-03 04:05:06' $L/d/e/f $L/d/e $L/d; echo 2 >$B/g; ln -s x $B/s
  up
  chmod 600 $M/d/e/f; is "$($P/stat -c '%a %Y' $U/d/e/f)" "600 981173106"; is "$($P/stat -c %Y $M/d/e)" 981173106
  is "$(cat $U/d/e/f)" 1; chown 5:6 $M/g; is "$($P/stat -c %u:%g $U/g)" 5:6; $P/setfattr -n trusted.new -v n $M/d; is "$(xattr $U/d trusted.new)" n
  is "$(xattr $M/d trusted.new)" n; chown -h 7:8 $M/s; is "$($P/stat -c %u $U/s)" 7; is "$(readlink $M/s)" x
  touch -d '2010-01-01 00:00:00' $M/d; is "$($P/stat -c %Y $M/d)" 1262304000
  fails $P/setfattr -n trusted.overlay.opaque -v y $M/d; is "$($P/getfattr -d -m - $M/d 2>/dev/null | grep -c overlay)" 0
}
t_truncate() {
  dd if=/dev/urandom of=$L/f bs=1000 count=300 2>/dev/null; cp $L/f $L/g; cp $L/f $L/h
  up
  truncate -s 1234 $M/f; is "$($P/stat -c %s $M/f)" 1234; head -c 1234 $L/f | cmp - $M/f; echo new >$M/g; is "$(cat $M/g)" new
  dd if=/dev/zero of=$M/h bs=1000 seek=10 count=1 conv=notrunc 2>/dev/null; is "$($P/stat -c %s $M/h)" 300000
  is "$($P/stat -c %s $L/h)" 300000; fails cmp -s $L/h $M/h; dd if=$M/h bs=1000 skip=11 2>/dev/null >/tmp/1; dd if=$L/h bs=1000 skip=11 2>/dev/null | cmp - /tmp/1
}
t_sparse() {
  truncate -s 50000000 $L/f; echo mid | dd of=$L/f bs=1 seek=20000000 conv=notrunc 2>/dev/null
  up
  echo x >>$M/f; [ $(du -k $U/f | cut -f1) -lt 3000 ]; is "$($P/stat -c %s $M/f)" 50000002; is "$(dd if=$M/f bs=1 skip=20000000 count=3 2>/dev/null)" mid
}
t_unlink() {
  echo 1 >$L/f; echo 2 >$B/f; echo 3 >$L/g; echo 4 >$U/h; echo 5 >$U/i; echo 6 >$B/i
  up
  rm $M/f $M/g $M/h $M/i; is "$(names $M)" ""; is_whiteout $U/f; is_whiteout $U/g; is_whiteout $U/i; [ ! -e $U/h ]; fails cat $M/f
  again; is "$(names $M)" ""; echo new >$M/f; is "$(cat $M/f)" new; is "$(names $M)" f; again; is "$(cat $M/f)" new; worked
}
t_rmdir() {
  mkdir -p $L/d/e $B/d $U/u; echo 1 >$B/d/f
  up
  fails rmdir $M/d; rm $M/d/f; fails rmdir $M/d; rmdir $M/d/e; rmdir $M/d; is_whiteout $U/d; is "$(names $M)" u
  rmdir $M/u; [ ! -e $U/u ]; mkdir $M/d; is "$(names $M/d)" ""; is "$(xattr $U/d trusted.overlay.opaque)" y; echo n >$M/d/f
  again; is "$(names $M/d)" f; is "$(cat $M/d/f)" n; rm -r $M/d; is_whiteout $U/d; worked
  mkdir $M/d; is "$(names $M/d)" ""; is "$($P/stat -c %h $M/d)" 2
}
t_opaque() {
  mkdir -p $U/d $L/d $B/d $L/e $B/e; echo 1 >$L/d/a; echo 2 >$B/d/b; echo 3 >$L/e/a; echo 4 >$B/e/b
  $P/setfattr -n trusted.overlay.opaque -v y $U/d; $P/setfattr -n trusted.overlay.opaque -v y $L/e; mknod $L/hidden c 0 0; echo >$B/hidden
  up
  is "$(names $M/d)" ""; is "$(names $M/e)" a; is "$(names $M)" "d e"; fails cat $M/hidden
}
t_rename_file() {
  echo 1 >$L/a; echo 2 >$L/b; echo 3 >$B/c; mkdir $L/d; echo 9 >$U/u
  up
  mv $M/a $M/z; is_whiteout $U/a; is "$(cat $M/z)" 1; mv $M/b $M/c; is "$(cat $M/c)" 2; is_whiteout $U/b; mv $M/c $M/d/c; is "$(cat $M/d/c)" 2
  is_whiteout $U/c; mv $M/u $M/a; is "$(cat $M/a)" 9; is "$(names $M)" "a d z"; again; is "$(names $M)" "a d z"; is "$(cat $M/d/c)" 2
  mv $M/a $M/b; is_whiteout $U/a; is "$(names $M)" "b d z"; worked
}
t_rename_dir() {
  mkdir -p $L/low/sub $L/gone $U/up; echo 1 >$L/low/f; echo 2 >$U/up/g; echo 3 >$L/gone/x
  up
  was=$(ino $M/up); mv $M/up $M/moved; is "$(ino $M/moved)" $was; is "$(cat $M/moved/g)" 2; is "$(xattr $U/moved trusted.overlay.opaque)" y
  mkdir $M/new; mv $M/low $M/copy; is "$(cat $M/copy/f)" 1; is "$(names $M)" "copy gone moved new"; is_whiteout $U/low
  rm -r $M/gone; mv $M/new $M/gone; is "$(names $M/gone)" ""; again; is "$(names $M/gone)" ""; is "$(names $M/copy)" "f sub"; worked
}
t_redirect() {
  mkdir -p $L/low/sub $B/low $L/d; echo 1 >$L/low/f; echo 2 >$B/low/g; echo 3 >$L/low/sub/h
  up ,redirect_dir=on
  is "$(grep -c ' /tmp/merged .*,redirect_dir=on' /proc/mounts)" 1; was=$(ino $M/low); mv $M/low $M/moved; is "$(ino $M/moved)" $was
  is "$(xattr $U/moved trusted.overlay.redirect)" low; is_whiteout $U/low; [ ! -e $U/moved/f ]; is "$(names $M/moved)" "f g sub"
  is "$(cat $M/moved/sub/h)" 3; echo more >>$M/moved/f; is "$(cat $U/moved/f)" "$(printf '1\nmore')"; is "$(names $M)" "d moved"
  mv $M/moved $M/d/deep; is "$(xattr $U/d/deep trusted.overlay.redirect)" /low; is "$(names $M/d/deep)" "f g sub"; [ ! -e $U/moved ]
  mv $M/d $M/e; is "$(xattr $U/e trusted.overlay.redirect)" d; again; is "$(names $M)" e; is "$(names $M/e/deep)" "f g sub"
  is "$(cat $M/e/deep/f $M/e/deep/g $M/e/deep/sub/h)" "$(printf '1\nmore\n2\n3')"; umount $M; up ,redirect_dir=on
  mv $M/e/deep/sub $M/sub; is "$(xattr $U/sub trusted.overlay.redirect)" /low/sub; is "$(cat $M/sub/h)" 3; mkdir $M/low; is "$(names $M/low)" ""
  again; is "$(names $M)" "e low sub"; is "$(names $M/low)" ""; is "$(names $M/e/deep)" "f g"; is "$(cat $M/sub/h)" 3; rm -r $M/sub $M/e; is "$(names $M)" low; worked
}
t_redirect_found() {
  mkdir -p $L/x $B/y $B/x $U/d $L/d $U/new/in $B/far/in $U/n; echo 1 >$B/y/f; echo 2 >$B/x/g; echo 3 >$B/far/in/h
  r() { $P/setfattr -n trusted.overlay.redirect -v $1 $2; }
  r y $L/x; r a/b $U/d; r /far/in $U/new/in; $P/setfattr -n trusted.overlay.opaque -v y $U/new; r /nowhere $U/n
  up
  is "$(names $M/x)" f; fails ls $M/d; is "$(names $M/new/in)" h; is "$(names $M/n)" ""; umount $M
  up ,redirect_dir=nofollow; fails ls $M/x; is "$(names $M/n)" ""; umount $M
  fails up ,redirect_dir=some; fails up ,userxattr,redirect_dir=on; up ,redirect_dir=follow; is "$(names $M/x)" f
}
t_origin() {
  mkdir $L/d; echo 1 >$L/f; echo 2 >$L/d/g; echo 3 >$L/h; ln $L/h $L/i
  up
  i=$(ino $M/f); echo >>$M/f; echo >>$M/h; is "$($P/getfattr -m trusted.overlay.origin $U/f 2>/dev/null | grep -c origin)" 1
  is "$($P/getfattr -m trusted.overlay.origin $U/h 2>/dev/null | grep -c origin)" 0; mv $M/f $M/z; mkdir $M/p; again
  listed() { ls -ia $1 | awk -v n=$2 '$2 == n {print $1}'; }
  [ $(dev $L) = $(dev $U) ] || exit 0
  is "$(ino $M/z)" $i; is "$(listed $M z)" $i; mv $M/z $M/p/z; is "$(xattr $U/p trusted.overlay.impure)" y; is "$(listed $M/p z)" $i; again
  is "$(listed $M/p z)" $i; is "$(ino $M/p/z)" $i; rm $M/p/z; echo new >$M/p/z; is "$(ino $M/p/z)" "$(ino $U/p/z)"; is "$(listed $M/p z)" "$(ino $U/p/z)"
}
t_volatile() {
  mkdir $B/d; echo 1 >$L/f
  up ,volatile
  is "$(grep -c ' /tmp/merged .*[,=]volatile' /proc/mounts)" 1; [ -f $W/work/incompat/volatile/dirty ]; echo 2 >>$M/f; sync; echo 3 >$M/d/g; mv $M/d/g $M/d/h
  is "$(cat $U/f)" "$(printf '1\n2')"; dd if=/dev/zero of=$M/s bs=1 count=1 conv=fsync 2>/dev/null; umount $M
  fails up; fails up ,volatile; is "$(cat $U/d/h)" 3; rm -r $W/work/incompat; up; is "$(cat $M/f $M/d/h)" "$(printf '1\n2\n3')"
}
t_link() {
  echo 1 >$L/f; ln $L/f $L/g; echo 2 >$L/h
  up
  ln $M/h $M/i; is "$($P/stat -c %h $M/h)" 2; is "$(ino $M/h)" "$(ino $M/i)"; echo 3 >>$M/i; is "$(cat $M/h)" "$(printf '2\n3')"
  echo x >>$M/f; is "$(cat $M/g)" 1; is "$(cat $M/f)" "$(printf '1\nx')"; rm $M/h; is "$($P/stat -c %h $M/i)" 1; is_whiteout $U/h
  echo 4 >$M/h; ln $M/h $M/j; rm $M/h; ln $M/j $M/h; is "$(cat $M/h)" 4; worked
}
t_create() {
  mkdir $L/d; chmod 2775 $L/d; chgrp 77 $L/d; echo >$L/d/gone; mkdir $L/d/gonedir
  up
  umask 027; echo 1 >$M/d/f; is "$($P/stat -c '%a %g' $M/d/f)" "640 77"; mkdir $M/d/e; is "$($P/stat -c '%a %g' $M/d/e)" "2750 77"
  rm $M/d/gone; echo 2 >$M/d/gone; is "$($P/stat -c '%a %g' $U/d/gone)" "640 77"; rmdir $M/d/gonedir; mkdir $M/d/gonedir
  is "$($P/stat -c '%a %g' $U/d/gonedir)" "2750 77"; ln -s t $M/d/s; mkfifo $M/d/p; mknod $M/d/n c 1 3; echo x >$M/d/n; fails mknod $M/d/w c 0 0
  fails mkdir $M/d/e; is "$(names $M/d)" "e f gone gonedir n p s"; umask 022
}
t_numbers() {
  mkdir -p $L/d $B/d $U/d; echo 1 >$L/f; echo 2 >$U/u
  up
  is "$(dev $M)" "$(dev $M/d)"; i=$(ino $M/f); v=$(dev $M/f); echo >>$M/f; is "$(ino $M/f) $(dev $M/f)" "$i $v"
  if [ $(dev $L) = $(dev $U) ]; then
    is "$(dev $M/f) $(dev $M/u)" "$(dev $M) $(dev $M)"; is "$(ino $M/f)" "$(ino $L/f)"; is "$(ino $M/d)" "$(ino $L/d)"; is "$(ino $M/u)" "$(ino $U/u)"
    for n in d f u; do is "$(ls -ia $M | awk -v n=$n '$2 == n {print $1}')" "$(ino $M/$n)"; done
  else
    is "$(dev $M/u)" "$(dev $U)"; fails [ "$(dev $M/f)" = "$(dev $L)" ]; fails [ "$(dev $M/f)" = "$(dev $M)" ]
  fi
}
t_statfs() {
  up
  is "$($P/stat -f -c '%t %s %b' $M)" "794c7630 $($P/stat -f -c '%s %b' $U)"
  is "$(grep ' /tmp/merged ' /proc/mounts)" "ovl /tmp/merged overlay rw,relatime,lowerdir=$L:$B,upperdir=$U,workdir=$W 0 0"
}
t_readonly() {
  echo 1 >$L/f; mkdir $B/d
  mount -t overlay ovl -o lowerdir=$L:$B $M
  is "$(names $M)" "d f"; fails touch $M/f; fails mkdir $M/e; fails mount -o remount,rw $M; is "$(grep -c ' /tmp/merged overlay ro' /proc/mounts)" 1
}
t_options() {
  fails mount -t overlay ovl -o lowerdir=$L $M; fails mount -t overlay ovl -o upperdir=$U,workdir=$W $M
  fails mount -t overlay ovl -o lowerdir=$L,upperdir=$U $M; fails mount -t overlay ovl -o lowerdir=$L,upperdir=$U,workdir=$U/w $M
  mkdir $U/w; fails mount -t overlay ovl -o lowerdir=$L,upperdir=$U,workdir=$U/w $M; rmdir $U/w
  fails mount -t overlay ovl -o lowerdir=$L:$L,upperdir=$U,workdir=$W $M; fails mount -t overlay ovl -o lowerdir=$L:/nowhere $M
  fails mount -t overlay ovl -o lowerdir=$L,upperdir=$U,workdir=$W,nonsense $M; mkdir "$lowers/a:b" "$lowers/c,d"; echo 1 >"$lowers/a:b/f"; echo 2 >"$lowers/c,d/g"
  mount -t overlay ovl -o "lowerdir=$lowers/a\\:b:$lowers/c\\,d" $M; is "$(names $M)" "f g"
}
t_removed() {
  echo one >$L/f; echo two >$L/g
  up
  exec 5<$M/f; rm $M/f; fails chmod 600 /proc/self/fd/5; is "$(cat <&5)" one; exec 5<&-; is_whiteout $U/f; is "$(names $M)" g
  exec 5<$M/g; echo more >>$M/g; rm $M/g; is "$(cat <&5)" "$(printf 'two\nmore')"; exec 5<&-; is_whiteout $U/g; is "$(names $M)" ""; worked
}
t_refused() {
  mkdir $L/d $B/d $B/e; echo 1 >$L/d/a; echo 2 >$B/e/b; echo 3 >$L/f; echo 4 >$U/f; echo 5 >$B/g; echo 6 >$L/g; echo 7 >$L/h
  $P/setfattr -n trusted.overlay.redirect -v other $L/d; $P/setfattr -n trusted.overlay.redirect -v other $B/e
  $P/setfattr -n trusted.overlay.metacopy $U/f; $P/setfattr -n trusted.overlay.metacopy $L/g
  up ,redirect_dir=nofollow
  fails cat $M/f; fails cat $M/g; fails ls $M/d/a; fails rm $M/g; is "$(cat $M/h)" 7; is "$(cat $M/e/b)" 2; is "$(cd $M; echo *)" "d e f g h"
}
t_nested() {
  mkdir $B/up $B/wk $B/d; echo 1 >$B/d/f
  fails mount -t overlay ovl -o lowerdir=$L:$W,upperdir=$U,workdir=$W $M; fails mount -t overlay ovl -o lowerdir=$L:$U,upperdir=$U,workdir=$W $M
  mkdir $U/in; fails mount -t overlay ovl -o lowerdir=$L:$U/in,upperdir=$U,workdir=$W $M; fails mount -t overlay ovl -o lowerdir=$B/d:$B $M
  mount -t overlay ovl -o lowerdir=$L:$B,upperdir=$B/up,workdir=$B/wk $M
  echo 2 >>$M/d/f; is "$(cat $B/up/d/f)" "$(printf '1\n2')"; fails ls $M/up/d; fails ls $M/wk/work; is "$(cd $M; echo *)" "d up wk"
  mount -o remount,nonsense=1 $M
}
t_xino() {
  mkdir -p $L/d $B/d $U/d $L/e; echo 1 >$L/f; echo 2 >$U/u; echo 3 >$B/d/b; echo 4 >$L/e/x
  up ,xino=on
  listed() { $P/ls -i1 $M/$1 | awk -v n=$2 '$2 == n {print $1}'; }
  for n in d e f u; do is "$(listed . $n)" "$(ino $M/$n)"; is "$(dev $M/$n)" "$(dev $M)"; done
  is "$(listed e x)" "$(ino $M/e/x)"; is "$(listed d b)" "$(ino $M/d/b)"; echo >>$M/f; is "$(listed . f)" "$(ino $M/f)"
}
t_xino_auto() {
  auto() { mount -t overlay ovl -o lowerdir=$1,upperdir=$U,workdir=$W,xino=$2 $M; is "$(grep -c " /tmp/merged .*,xino=$2" /proc/mounts)" $3; umount $M; }
  auto $L auto 1
  # It has neither handles nor a UUID.
  mkdir -p /tmp/pts; mount -t devpts none /tmp/pts; auto /tmp/pts auto 0; auto /tmp/pts on 1; umount /tmp/pts
}
t_userxattr() {
  mkdir -p $L/d $U/d; echo 1 >$L/d/a; $P/setfattr -n user.overlay.opaque -v y $U/d || { echo skipped; exit 0; }
  up ,userxattr
  is "$(names $M/d)" ""; is "$($P/getfattr -d -m - $M/d 2>/dev/null | grep -c overlay)" 0; rmdir $M/d; mkdir $M/d; is "$(xattr $U/d user.overlay.opaque)" y
}
t_exec() {
  mkdir $L/1 $L/2; cp /bin/busybox $L/1/busybox; cp /bin/busybox $L/2/busybox
  up
  is "$($M/1/busybox echo hello)" hello; $M/1/busybox sleep 5 & sleep 1; fails sh -c "echo >>$M/1/busybox"; kill $!; wait
  (cd $M; mkdir 3; cp 1/busybox 3/; is "$(./3/busybox echo again)" again); $M/2/busybox true; echo >>$M/2/busybox
  is "$($M/2/busybox echo yes)" yes
}
t_tree() {
  cp -a /bin $L/bin; mkdir $L/many; i=0; while [ $i -lt 90 ]; do echo $i >$L/many/f$i; i=$((i+1)); done
  up
  i=0; while [ $i -lt 90 ]; do rm $M/many/f$i; i=$((i+3)); done; i=1; while [ $i -lt 90 ]; do echo x >>$M/many/f$i; i=$((i+3)); done
  is "$(ls $M/many | wc -l)" 60; cp -a $M/many $M/copy; is "$(ls $M/copy | wc -l)" 60; cmp $M/copy/f1 $M/many/f1
  rm -r $M/many; is "$(names $M)" "bin copy"; again; is "$(ls $M/copy | wc -l)" 60; rm -r $M/bin; again; is "$(names $M)" copy; worked
}
t_parallel() {
  mkdir $L/d; i=0; while [ $i -lt 40 ]; do echo $i >$L/d/f$i; i=$((i+1)); done
  up
  for w in 1 2 3 4; do (i=0; while [ $i -lt 40 ]; do echo $w >>$M/d/f$i; echo $w >$M/d/n$w-$i; mv $M/d/n$w-$i $M/d/m$w-$i; { ls $M/d >/dev/null 2>&1 || true; }; i=$((i+1)); done) & done; wait
  i=0; while [ $i -lt 40 ]; do is "$(wc -l <$M/d/f$i)" 5; i=$((i+1)); done; is "$(ls $M/d | wc -l)" 200; worked
}
t_unprivileged() {
  mkdir $L/d; echo s >$L/secret; chmod 600 $L/secret; echo o >$L/open; chmod 666 $L/open; chmod 777 $L/d; chmod 755 $L
  up
  chmod 755 $base $lowers $1
  su nobody -s /bin/sh -c "cat $M/secret" 2>/dev/null && { echo reads; exit 1; }
  su nobody -s /bin/sh -c "echo more >>$M/open && echo x >$M/d/mine && mkdir $M/d/dir && mv $M/d/mine $M/d/dir/" || { echo cannot; exit 1; }
  is "$(cat $M/open)" "$(printf 'o\nmore')"; is "$($P/stat -c %U $M/d/dir/mine)" nobody; is "$($P/stat -c '%U %a' $U/open)" "root 666"
  su nobody -s /bin/sh -c "chmod 777 $M/open" 2>/dev/null && { echo chmods; exit 1; }; true
}

if out=$(set -e; t_$test $1 2>&1); then echo "ok $test"; else echo "FAIL $test: $out"; fi
cd /; umount $M 2>/dev/null; rm -rf $base $lowers
