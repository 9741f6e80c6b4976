# SPDX-License-Identifier: GPL-2.0
# Modes, owners, links, names.
touch f; for m in 644 755 4755 2755 1755 000 u+x g=rw o-r a+r +t u+s,g+s ug-s; do chmod $m f; stat -c "$m %a %A" f; done
mkdir -p d/e; touch d/e/f; chmod -R 700 d; find d | sort | xargs stat -c '%n %a'; chmod 644 nosuch; echo $?
chown 1:2 f; stat -c '%u:%g' f; chown nobody f; stat -c '%U' f; chgrp 5 f; stat -c '%G' f; chown :0 f; stat -c '%u:%g' f; chown -R 3:3 d; stat -c %u d/e/f; chown -h 4 nosuch; echo $?
ln f g; ln -s f s; ln -sf g s; readlink s; ln f g; echo $?; ln -s /no/where dangling; readlink dangling; readlink -f dangling; cat dangling; echo $?; ln -s loop loop; cat loop; echo $?
realpath s; readlink -f s; ln -sn d dl; ln -sfn d/e dl; readlink dl; mkdir -p x/y; ln -s ../../f x/y/up; cat x/y/up; realpath x/y/up; realpath nosuch/more; echo $?
basename /a/b/c.txt; basename /a/b/c.txt .txt; basename /; dirname /a/b/c; dirname c; dirname /; umask; umask 027; touch u; mkdir v; stat -c %a u v; umask -S
pwd; cd x/y; pwd; cd ../..; cd x/../d; pwd; cd -; touch -c never; ls never; touch -r /bin/busybox g; mknod fifo p; stat -c %F fifo; mknod zero c 1 5; head -c 3 zero | od -An -c
