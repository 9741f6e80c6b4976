# SPDX-License-Identifier: GPL-2.0
# Archives: tar, cpio, ar, and listing them.
mkdir -p d/e; echo one > d/1; echo two > d/e/2; ln -s 1 d/l; chmod 600 d/1; touch -d '2020-01-02 03:04:05' d/1 d/e/2 d/e d; touch -h -d '2020-01-02 03:04:05' d/l
tar cf a.tar d; tar tf a.tar | sort; TZ=UTC tar tvf a.tar | sort; mkdir x; tar xf a.tar -C x; find x | sort; stat -c '%a %Y' x/d/1; cat x/d/e/2; readlink x/d/l
tar czf a.tgz d; tar tzf a.tgz | wc -l; tar cJf a.txz d 2>&1 | head -n 1; tar cjf a.tbz d; tar tjf a.tbz | wc -l; tar xOf a.tar d/1; tar cf - d | tar tf - | wc -l
tar cf b.tar --exclude=e d; tar tf b.tar | sort; tar xf nosuch.tar; echo $?; tar xf a.tar d/e/2 -C x; echo junk > j.tar; tar tf j.tar; echo $?
find d | sort | cpio -o -H newc 2>/dev/null > a.cpio; cpio -t < a.cpio 2>/dev/null; mkdir y; (cd y; cpio -id 2>/dev/null < ../a.cpio; find . | sort; cat d/e/2); TZ=UTC cpio -tv < a.cpio 2>/dev/null | awk '{print $1, $NF}'
ar t nosuch.a; echo $?; dd if=a.tar bs=512 count=1 2>/dev/null | head -c 4; echo
