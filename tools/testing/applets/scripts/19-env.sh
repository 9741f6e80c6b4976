# SPDX-License-Identifier: GPL-2.0
# Environment, which, getopt, run-parts.
env -i A=1 B=2 env; env -u HOME sh -c 'echo ${HOME-unset}'; export X=y; printenv X 2>/dev/null || echo $X; which ls sh; which nosuch; echo $?; sh -c 'echo $0 $1 $#' name arg; type cd; command -v ls
getopt -o ab:c -l long,arg: -- -a -b val --long --arg=x rest more; getopt -o a -- -z; echo $?; set -- -x -y 5 z; while getopts xy: o; do echo $o ${OPTARG-}; done; shift $((OPTIND-1)); echo "$@"
mkdir rp; printf '#!/bin/sh\necho one $1\n' > rp/1one; printf '#!/bin/sh\necho two; exit 3\n' > rp/2two; chmod +x rp/*; run-parts -a arg rp; echo $?; run-parts --test rp; printf '#!/bin/nosuch\n' > bad; chmod +x bad; ./bad; echo $?
echo 'echo noshebang' > ns; chmod +x ns; ./ns; chmod -x ns; ./ns; echo $?; ./nosuch; echo $?; printf '#!/bin/echo interp arg\n' > i; chmod +x i; ./i more; printf '#! /bin/sh -eu\necho $0\nfalse\necho no\n' > e; chmod +x e; ./e; echo $?
tty < /dev/null; echo $?; logname 2>&1 | wc -l; whoami; id; id -u; id -un; id nobody; groups; hostname; hostname newname; hostname; uname -s -m -n; uname -o; arch; nproc > /dev/null; echo $?; hostid | wc -c; ttysize > /dev/null 2>&1; echo $?
