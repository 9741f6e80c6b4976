# SPDX-License-Identifier: GPL-2.0
# Listing.
mkdir d; echo hello > f; ln -s f s; ln f h; mkfifo p; touch -d '2020-02-03 04:05:06' f s d p; chmod 4751 f; chmod 1777 d; mknod nul c 1 3; touch -d '2020-02-03 04:05:06' nul
touch .hidden 'with space'; touch -d '2020-02-03 04:05:06' .hidden 'with space'; touch -h -d '2020-02-03 04:05:06' s
ls; ls -a; ls -A; ls -1; ls -F; ls -p; ls -r; ls -d d; ls -C; ls -x
ls -ln f h p s nul 'with space'; ls -l --full-time f 2>/dev/null | sed 's/\.0*//'; ls -s f; ls -S f p; ls -R d; ls -t f p; ls nosuch; echo $?
ls -i f h | awk '{print $1}' | uniq | wc -l; ls -L s; ls -h f; ls --color=always -d d | od -c | head -n 2
stat -c '%n %s %F %a %A %h %u %g %U %G %b %B %t %T' f d s p nul; stat -c '%Y %y' f; stat -L -c %F s; stat -f -c '%T %s %l' /tmp; stat nosuch; echo $?
