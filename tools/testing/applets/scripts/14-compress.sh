# SPDX-License-Identifier: GPL-2.0
# gzip, bzip2, xz, lzma, lzop, compress and unzip.
seq 1000 > f; cp f orig
gzip f; ls f*; gunzip f.gz; cmp f orig && echo same; gzip -c f | wc -c | awk '{print $1 < 3000}'; gzip -9 -c f | zcat | tail -n 1; gzip -dc < /dev/null; echo $?
bzip2 f; ls f*; bunzip2 f.bz2; cmp f orig && echo same; bzip2 -c f | bzcat | head -n 1; lzop -c f | lzop -dc | cmp - orig && echo same; lzopcat nosuch 2>&1 | head -n 1
echo '/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAFaGVsbG8KAAAA6KGgQwnLNU4AAR4Gc8ZYKB+2830BAAAAAARZWg==' | base64 -d > h.xz; xz -dc h.xz; unxz -c h.xz; xzcat h.xz; xz -t h.xz; echo $?
printf '\135\000\000\200\000\377\377\377\377\377\377\377\377\000\064\031\111\356\215\351\027\211\072\063\137\374\254\367\040\000' | unlzma 2>&1 | head -c 20; echo
echo 'H52QYcKIwYBBAA==' | base64 -d | uncompress -c 2>&1 | od -c | head -n 2
echo junk | gunzip; echo $?; echo junk | bunzip2; echo $?; echo junk | unxz; echo $?; printf 'x' | gzip | head -c 10 | gunzip; echo $?
cat > z.b64 <<E
UEsDBAoAAAAAAAAAIVgLTbLvBgAAAAYAAAAFABwAaC50eHRVVAkAAwAAAGUAAABldXgLAAEEAAAAAAQAAAAAaGVsbG8KUEsBAh4DCgAAAAAAAAAhWAtNsu8GAAAABgAAAAUAGAAAAAAAAQAAAKSBAAAAAGgudHh0VVQFAAMAAABldXgLAAEEAAAAAAQAAAAAUEsFBgAAAAABAAEASwAAAEUAAAAAAA==
E
base64 -d z.b64 > h.zip; unzip -l h.zip | awk 'NR>2 {print $1, $NF}'; unzip -p h.zip; unzip -o -q h.zip; cat h.txt
