# SPDX-License-Identifier: GPL-2.0
# Walking trees.
mkdir -p t/a/b t/c; echo x > t/1.txt; echo yy > t/a/2.txt; touch t/a/b/3.c; ln -s 1.txt t/l; chmod 600 t/1.txt; touch -d "2000-01-01 00:00:00" t/a/2.txt
find t | sort; find t -type f | sort; find t -type d | sort; find t -type l; find t -name '*.txt' | sort; find t -iname '*.TXT' | sort
find t -maxdepth 1 | sort; find t -mindepth 2 | sort; find t -perm 600; find t -size +0 -type f | sort; find t -size 2c
find t -newer t/a/2.txt -type f | sort; find t -name '*.c' -exec echo found {} \;; find t -type f -exec echo {} + | tr ' ' '\n' | sort
find t -path '*/a/*' | sort; find t ! -name '*.txt' -type f; find t -name a -prune -o -print | sort; find t \( -name '*.c' -o -name l \) | sort
find t -print0 | tr '\0' '\n' | sort | head -n 2; find t -user root -type d | wc -l; find t -empty | sort; find t -links 1 | sort; find t -depth | tail -n 1
find t -name '*.c' -delete; find t -name '*.c'; find t -mtime +1000 -type f; find t/nosuch; echo $?; find t -type f | xargs ls | sort
printf 'a b\nc\n' | xargs -n 1 echo arg; echo '1 2 3' | xargs -n2; printf 'x y\0z\0' | xargs -0 -n1 echo; echo q | xargs -I{} echo pre{}post; echo | xargs -r echo nothing
