/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The least bzImage: prints the time stamp counter, as 16 hex digits, on the first serial port and ends QEMU by
 * isa-debug-exit. bench.py boots it in a kernel's place to learn what firmware takes before a kernel's entry.
 * Fields: Linux's Documentation/arch/x86/boot.rst. Assembled to flat binary.
 */
	.code16
	.org 0x1f1
	.byte 1			/* setup_sects */
	.org 0x1fe
	.word 0xaa55
	.org 0x200
	.byte 0xeb, 0x66	/* jmp 0x268 */
	.ascii "HdrS"
	.word 0x20c		/* version */
	.org 0x211
	.byte 1			/* loadflags: LOADED_HIGH */
	.org 0x214
	.long 0x100000		/* code32_start */
	.org 0x22c
	.long 0x7fffffff	/* initrd_addr_max */
	.org 0x230
	.long 0x200000		/* kernel_alignment */
	.org 0x238
	.long 0x7ff		/* cmdline_size */
	.org 0x258
	.quad 0x1000000		/* pref_address */
	.org 0x268
	rdtsc
#include "entry_print.h"
	.org 0x400
	.fill 512, 1, 0xf4	/* a kernel, never run */
