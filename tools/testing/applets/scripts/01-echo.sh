# SPDX-License-Identifier: GPL-2.0
# Writing to standard output.
echo hello world
echo -n no newline; echo
echo -e 'tab\there\\ \x41 \0102'
printf '%s|%5d|%-5d|%05.1f|%x|%o|%c\n' str 42 42 3.14159 255 8 char
printf '%b\n' 'a\tb'
printf '%q\n' x 2>&1 | sed 's/.*invalid/invalid/'
yes | head -n 3
yes a b | head -n 2
seq 5 | tr '\n' ' '; echo
seq 10 -3 1 | tr '\n' ' '; echo
seq -w 8 11 | tr '\n' ' '; echo
seq -s, 3; echo
