# SPDX-License-Identifier: GPL-2.0
# base32, base64, uuencode, od, hexdump, xxd, strings.
printf 'hello\000\377\n' > f; base64 f; base64 f | base64 -d | cmp - f && echo same; base32 f 2>/dev/null; uuencode -m f name; uuencode f name; uuencode f out | uudecode -o - | cmp - f && echo same
od f; od -c f; od -An -tx1 f; od -tx2 f; od -An -td4 -N4 f; hexdump f; hexdump -C f; hd f 2>/dev/null; hexdump -e '4/1 "%02x " "\n"' f; xxd f; xxd -p f; xxd -p f | xxd -r -p | cmp - f && echo same
seq 20 | xxd -l 20 -s 3; printf 'bin\000\001longstring\002ab\003another\n' | strings; printf 'x\r\ny\r\n' > d; dos2unix < d | od -c; printf 'x\ny\n' | unix2dos | od -c; ascii | head -n 3
nuke nothing; resume 2>&1 | head -n 1 | cut -c1-6; printf 'abcdef' | od -An -c -j2 -N2; cal 2 2024; cal -j 1 2023
