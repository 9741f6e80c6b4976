# SPDX-License-Identifier: GPL-2.0
# Copying, moving, removing.
mkdir -p a/b; echo 1 > a/1; echo 2 > a/b/2; ln -s 1 a/l; chmod 640 a/1; touch -d "2010-01-01 00:00:00" a/1
cp a/1 x; cat x; stat -c %a x; cp -p a/1 y; stat -c '%a %Y' y; cp -r a c; find c | sort; cp -a a e; readlink e/l; stat -c %Y e/1
cp -s a/1 sl; readlink sl; cp -l a/1 hl; stat -c %h hl; cp -u a/1 x; cat x; cp a/1 a/b nosuch; echo $?; cp nosuch x; echo $?; cp -f a/b/2 x; cat x
cp -d a/l dl; readlink dl; cp -L a/l ll; cat ll; cp -t c a/b/2 2>/dev/null; cp a f1 2>&1; mv x z; ls x; cat z; mv z c/; ls c; mv -f c/z c/1; cat c/1
mv c moved; find moved | sort; mv nosuch there; echo $?; rm moved/1; ls moved; rm moved; echo $?; rm -r moved; ls moved; rm -f nosuch; echo $?; rm nosuch; echo $?
rmdir a; echo $?; mkdir -p p/q/r; rmdir -p p/q/r; ls p; mkdir m; mkdir m; echo $?; mkdir -m 711 n; stat -c %a n; unlink y; ls y; link a/1 k; stat -c %h k
install -m 755 -D a/1 i/j/k 2>/dev/null; shred -u hl; ls hl; mktemp -u XXXXXX | wc -c; f=$(mktemp); test -f "$f" && stat -c %a "$f"; d=$(mktemp -d); stat -c %a "$d"; rm -rf "$f" "$d"
