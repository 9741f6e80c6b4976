# SPDX-License-Identifier: GPL-2.0
# The editors without a terminal: vi -c, ed, and diff of what they did.
printf 'one\ntwo\nthree\n' > f; cp f g; printf ':%%s/two/TWO/\n:wq\n' | vi f > /dev/null 2>&1; cat f; printf 'ddGofour\033:wq\n' | vi g > /dev/null 2>&1; cat g; printf 'yyp:wq\n' | vi g > /dev/null 2>&1; cat g; vi -c ':s/four/4/' -c ':wq' g > /dev/null 2>&1 < /dev/null; printf 'i\na text\n.\nw new\nq\n' | ed 2>/dev/null; cat new; printf '1,$s/t/T/g\n1,$p\nQ\n' | ed g 2>/dev/null; printf ':q!\n' | vi nosuch > /dev/null 2>&1; echo $?; hexedit < /dev/null > /dev/null 2>&1; echo $?
