/* SPDX-License-Identifier: GPL-2.0 */
/* As entry_bzimage.S, for kernels that QEMU starts by their PVH note (32-bit protected mode). */
	.section .note.pvh, "a", @note
	.long 4, 8, 18		/* "Xen", XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.quad _start
	.text
	.code32
	.globl _start
_start:
	rdtsc
#include "entry_print.h"
