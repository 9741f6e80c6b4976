/* SPDX-License-Identifier: GPL-2.0 */
/* Prints edx:eax as hex digits on COM1, a newline, and writes 0 to isa-debug-exit. No stack, no data. */
	movl	%eax, %esi
	movl	%edx, %ebx
	movl	$2, %edi
1:	movl	$8, %ecx
2:	roll	$4, %ebx
	movl	%ebx, %eax
	andb	$15, %al
	cmpb	$10, %al
	jb	3f
	addb	$('a' - '0' - 10), %al
3:	addb	$'0', %al
	movw	$0x3f8, %dx
	outb	%al, %dx
	decl	%ecx
	jnz	2b
	movl	%esi, %ebx
	decl	%edi
	jnz	1b
	movb	$'\n', %al
	outb	%al, %dx
	xorl	%eax, %eax
	movw	$0xf4, %dx
	outl	%eax, %dx
4:	hlt
	jmp	4b
