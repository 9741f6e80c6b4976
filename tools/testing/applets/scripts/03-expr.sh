# SPDX-License-Identifier: GPL-2.0
# Arithmetic: expr, dc, bc, factor, let.
expr 3 + 4 \* 2; expr 17 / 5; expr 17 % 5; expr abc : 'a\(.\)c'; expr length hello; expr substr hello 2 3; expr index hello l
expr 1 = 2; echo $?; expr 5 \> 3
echo '2 3 + p 10 7 - p 2 8 ^ p 2 k 10 3 / p' | dc
echo 'scale=10; 4*a(1); 2^100; sqrt(2)' | bc -l
echo 'define f(n) { if (n<2) return 1; return n*f(n-1); } f(20)' | bc
factor 12 97 1001 18446744073709551557
echo $((0x10 + 010 + 10)) $((7/2)) $((-7%3)) $((1<<40)) $((5>3?1:2))
let x=3*4; echo $x
i=0; while [ $i -lt 5 ]; do i=$((i+1)); [ $i -eq 3 ] && continue; echo $i; done
