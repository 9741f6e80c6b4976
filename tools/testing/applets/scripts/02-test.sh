# SPDX-License-Identifier: GPL-2.0
# Conditions.
t() { "$@" && echo "yes: $*" || echo "no: $*"; }
touch f; mkdir d; ln -s f l; mkfifo p; echo x > nz; chmod 4755 nz
t test -f f; t test -d d; t test -L l; t test -p p; t test -s f; t test -s nz; t test -e nothing
t test -u nz; t test -g nz; t test -k /tmp; t test -x nz; t test -x f; t test -r f; t test -w f; t test -c /dev/null
t test -b /dev/null; t test -S f; t test -t 0
t [ a = a ]; t [ a = b ]; t [ a != b ]; t [ 1 -lt 2 ]; t [ 2 -le 1 ]; t [ -n "" ]; t [ -z "" ]
t [[ abc = a* ]]; t [ 1 -eq 1 -a 2 -eq 2 ]; t [ 1 -eq 2 -o 2 -eq 2 ]
touch -d '2001-01-01' old; touch -d '2002-01-01' new
t test new -nt old; t test new -ot old; t test f -ef l
true; echo $?; false; echo $?
busybox true; echo $?; busybox false; echo $?
