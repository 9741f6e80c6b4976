/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first 4 KB of bzImage: PE/COFF header for EFI firmware, Linux's setup header (boot protocol 2.15) for boot loaders,
 * and the 16-bit code that a BIOS boot starts with. It asks the BIOS for the memory map and the text screen, opens A20 and
 * enters the protected-mode part (stub/) with boot_params in esi.
 *
 * Loaded at any segment with ip = 0x200; everything is addressed relative to that segment. Fields marked "mk" are filled by
 * mkbzimage.py. Sources: Documentation/arch/x86/boot.rst, the PE/COFF specification, Ralf Brown's interrupt list.
 */

	.code16
	.section .text, "ax"

#define SETUP_SIZE	4096
#define SETUP_SECTS	(SETUP_SIZE / 512 - 1)
#define SCRATCH_16	0x36314452	/* "RD16", see boot_info::zero_page */
#define HEAP_SIZE	1024

/* ---- PE/COFF ---- */
start:
	.ascii	"MZ"
	.org	0x3c
	.long	pe_header
pe_header:
	.ascii	"PE\0\0"
	.word	0x8664				/* machine: x86-64 */
	.word	2				/* sections */
	.long	0				/* time stamp */
	.long	0, 0				/* symbols */
	.word	section_table - optional_header
	.word	0x0206				/* executable, line numbers stripped, debug stripped */
optional_header:
	.word	0x020b				/* PE32+ */
	.byte	2, 40				/* linker version */
	.globl	pe_code_size, pe_data_size, pe_bss_size, pe_entry, pe_image_size
pe_code_size:	.long	0			/* mk */
pe_data_size:	.long	0			/* mk */
pe_bss_size:	.long	0
pe_entry:	.long	0			/* mk */
	.long	SETUP_SIZE			/* base of code */
	.quad	0				/* image base */
	.long	0x1000				/* section alignment */
	.long	0x200				/* file alignment */
	.word	0, 0				/* OS version */
	.word	3, 0				/* image version: LINUX_EFISTUB_MAJOR_VERSION with initrd by LoadFile2 */
	.word	0, 0				/* subsystem version */
	.long	0
pe_image_size:	.long	0			/* mk */
	.long	SETUP_SIZE			/* size of headers */
	.long	0				/* checksum */
	.word	10				/* subsystem: EFI application */
	.word	0
	.quad	0, 0, 0, 0			/* stack and heap */
	.long	0				/* loader flags */
	.long	6				/* data directories */
	.quad	0, 0, 0, 0, 0, 0
section_table:
	.globl	pe_text_section, pe_data_section
pe_text_section:				/* sizes and addresses: mk */
	.ascii	".text\0\0\0"
	.long	0, 0, 0, 0
	.long	0, 0
	.word	0, 0
	.long	0x60000020			/* code, execute, read */
pe_data_section:
	.ascii	".data\0\0\0"
	.long	0, 0, 0, 0
	.long	0, 0
	.word	0, 0
	.long	0xc0000040			/* data, read, write */

/* ---- Setup header ---- */
	.org	0x1f1
hdr:
setup_sects:	.byte	SETUP_SECTS
root_flags:	.word	1			/* mount the root read-only */
	.globl	syssize, init_size, handover_offset, kernel_info_offset, payload_offset, kernel_version, xloadflags
syssize:	.long	0			/* mk: size of the protected-mode part in 16-byte units */
ram_size:	.word	0
vid_mode:	.word	0xffff			/* normal */
root_dev:	.word	0
boot_flag:	.word	0xaa55
	.byte	0xeb, start_of_setup - 1f	/* jump over the header; the offset gives its length */
1:	.ascii	"HdrS"
	.word	0x020f				/* protocol version */
realmode_swtch:	.long	0
start_sys_seg:	.word	0x1000
kernel_version:	.word	version_string - 512
type_of_loader:	.byte	0
loadflags:	.byte	1			/* LOADED_HIGH */
setup_move_size: .word	0x8000
code32_start:	.long	0x100000
ramdisk_image:	.long	0
ramdisk_size:	.long	0
bootsect_kludge: .long	0
heap_end_ptr:	.word	setup_end + HEAP_SIZE - 512
ext_loader_ver:	.byte	0
ext_loader_type: .byte	0
cmd_line_ptr:	.long	0
initrd_addr_max: .long	0x7fffffff
kernel_alignment: .long	0x200000
relocatable_kernel: .byte 1
min_alignment:	.byte	21
xloadflags:	.word	0x0009			/* XLF_KERNEL_64, XLF_EFI_HANDOVER_64 */
cmdline_size:	.long	2047
hardware_subarch: .long	0
hardware_subarch_data: .quad 0
payload_offset:	.long	0			/* mk */
payload_length:	.long	0			/* mk */
setup_data:	.quad	0
pref_address:	.quad	0x1000000
init_size:	.long	0			/* mk */
handover_offset: .long	0			/* mk */
kernel_info_offset: .long 0			/* mk */
hdr_end:

/* ---- 16-bit code ---- */
start_of_setup:
	cld
	movw	%ds, %ax
	movw	%ax, %es
	/* A stack in our segment: the loader's if it made one there, else above our data. */
	movw	%ss, %dx
	cmpw	%ax, %dx
	movw	%sp, %dx
	je	2f
	movw	$setup_end + HEAP_SIZE, %dx
	testb	$0x80, loadflags		/* CAN_USE_HEAP */
	jz	2f
	movw	heap_end_ptr, %dx
	addw	$512, %dx
2:	andw	$~3, %dx
	jnz	3f
	movw	$0xfffc, %dx
3:	movw	%ax, %ss
	movzwl	%dx, %esp
	sti
	/* cs = ds, so that one address serves for both. */
	pushw	%ds
	pushw	$4f
	lretw
4:
	movw	%cs, %ax
	movw	%ax, %ds
	/* Clear our data and copy the header, as the loader filled it, to boot_params. */
	movw	$boot_params, %di
	xorl	%eax, %eax
	movw	$(setup_end - boot_params + 3) / 4, %cx
	rep stosl
	movw	$hdr, %si
	movw	$boot_params + 0x1f1, %di
	movw	$hdr_end - hdr, %cx
	rep movsb
	movl	$SCRATCH_16, boot_params + 0x1e4
	/* A loader of the old protocol (2.01) puts the command line at an offset in the 0x9000 segment. */
	cmpl	$0, boot_params + 0x228
	jne	5f
	cmpw	$0xa33f, 0x20
	jne	5f
	movzwl	0x22, %eax
	movw	%ds, %dx
	movzwl	%dx, %edx
	shll	$4, %edx
	addl	%edx, %eax
	movl	%eax, boot_params + 0x228
5:
	call	check_cpu
	call	detect_memory
	call	detect_video
	call	enable_a20
	jmp	go_protected

/* Stops with a message on a CPU without long mode. */
check_cpu:
	pushfl
	popl	%eax
	movl	%eax, %ecx
	xorl	$0x200000, %eax			/* EFLAGS.ID */
	pushl	%eax
	popfl
	pushfl
	popl	%eax
	xorl	%ecx, %eax
	jz	no_long_mode
	movl	$0x80000000, %eax
	cpuid
	cmpl	$0x80000001, %eax
	jb	no_long_mode
	movl	$0x80000001, %eax
	cpuid
	testl	$1 << 29, %edx
	jz	no_long_mode
	ret
no_long_mode:
	movw	$cpu_message, %si
die:
	call	puts
6:	hlt
	jmp	6b

/* Prints the string at si by the BIOS. */
puts:
	lodsb
	testb	%al, %al
	jz	7f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	puts
7:	ret

/* INT 15h, E820: the memory map, one entry a call. */
detect_memory:
	movw	$boot_params + 0x2d0, %di
	xorl	%ebx, %ebx
	xorw	%bp, %bp
8:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx		/* "SMAP" */
	movl	$20, %ecx
	int	$0x15
	jc	9f
	cmpl	$0x534d4150, %eax
	jne	10f
	incw	%bp
	addw	$20, %di
	cmpw	$128, %bp
	jae	9f
	testl	%ebx, %ebx
	jnz	8b
9:	testw	%bp, %bp
	jz	e801
	movw	%bp, %ax
	movb	%al, boot_params + 0x1e8
	ret
	/* A BIOS that loses the signature has lost the map. */
10:	xorw	%bp, %bp
	jmp	9b

/* INT 15h, E801: memory from 1 MB to 16 MB in KB and above 16 MB in 64 KB units; conventional memory by INT 12h. */
e801:
	movw	$0xe801, %ax
	xorw	%cx, %cx
	xorw	%dx, %dx
	int	$0x15
	jc	no_memory
	testw	%cx, %cx
	jz	11f
	movw	%cx, %ax
	movw	%dx, %bx
11:	movw	$boot_params + 0x2d0, %di
	movl	$0x100000, 20(%di)
	movzwl	%ax, %eax
	shll	$10, %eax
	movl	%eax, 28(%di)
	movb	$1, 36(%di)
	movl	$0x1000000, 40(%di)
	movzwl	%bx, %ebx
	shll	$16, %ebx
	movl	%ebx, 48(%di)
	movb	$1, 56(%di)
	int	$0x12
	movzwl	%ax, %eax
	shll	$10, %eax
	movl	%eax, 8(%di)
	movb	$1, 16(%di)
	movb	$3, boot_params + 0x1e8
	ret
no_memory:
	movw	$memory_message, %si
	jmp	die

/* INT 10h: text mode, cursor and size, if there is a VGA BIOS at all. */
detect_video:
	movw	$0x1a00, %ax			/* display combination: al = 0x1a on a VGA */
	int	$0x10
	cmpb	$0x1a, %al
	jne	12f
	movb	$0x0f, %ah			/* mode */
	int	$0x10
	andb	$0x7f, %al
	movb	%al, boot_params + 0x06
	movb	%ah, boot_params + 0x07		/* columns */
	movzbw	%bh, %ax
	movw	%ax, boot_params + 0x04		/* page */
	movb	$3, %ah				/* cursor */
	int	$0x10
	movw	%dx, boot_params + 0x00
	pushw	%es
	xorw	%ax, %ax
	movw	%ax, %es
	movb	%es:0x484, %al			/* BIOS data area: rows - 1, font height */
	incb	%al
	movb	%al, boot_params + 0x0e
	movw	%es:0x485, %ax
	movw	%ax, boot_params + 0x10
	popw	%es
	movb	$1, boot_params + 0x0f
12:	ret

/* Opens address line 20, if it is closed: by the BIOS, else by port 0x92. */
enable_a20:
	call	test_a20
	jnz	13f
	movw	$0x2401, %ax
	int	$0x15
	call	test_a20
	jnz	13f
	inb	$0x92, %al
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	movl	$100000, %ecx
14:	call	test_a20
	jnz	13f
	decl	%ecx
	jnz	14b
	movw	$a20_message, %si
	jmp	die
13:	ret

/* Zero flag clear when 0000:0200 and ffff:0210 are different memory. */
test_a20:
	pushw	%fs
	pushw	%gs
	xorw	%ax, %ax
	movw	%ax, %fs
	decw	%ax
	movw	%ax, %gs
	movl	%fs:0x200, %eax
	pushl	%eax
	incl	%eax
	movl	%eax, %fs:0x200
	outb	%al, $0x80			/* a moment for the bus */
	cmpl	%gs:0x210, %eax
	popl	%eax
	movl	%eax, %fs:0x200
	popw	%gs
	popw	%fs
	ret

go_protected:
	cmpw	$0, realmode_swtch
	je	15f
	lcallw	*realmode_swtch
	jmp	16f
15:	cli
	movb	$0x80, %al			/* NMI off */
	outb	%al, $0x70
	outb	%al, $0x80
16:
	movb	$0xff, %al			/* all interrupts of both PICs masked but the cascade */
	outb	%al, $0xa1
	outb	%al, $0x80
	movb	$0xfb, %al
	outb	%al, $0x21
	outb	%al, $0x80

	xorl	%ebx, %ebx
	movw	%ds, %bx
	shll	$4, %ebx
	leal	gdt(%ebx), %eax
	movl	%eax, gdt_pointer + 2
	lidt	idt_pointer
	lgdt	gdt_pointer
	leal	boot_params(%ebx), %esi
	movl	boot_params + 0x214, %ecx
	leal	17f(%ebx), %eax
	movl	%eax, 18f
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	19f
19:	.byte	0x66, 0xea			/* ljmpl $0x10, $17f + base */
18:	.long	0
	.word	0x10

	.code32
17:	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	addl	%ebx, %esp
	xorl	%eax, %eax
	lldt	%ax
	xorl	%ebx, %ebx
	xorl	%edx, %edx
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	jmp	*%ecx

	.balign	8
gdt:	.quad	0, 0
	.quad	0x00cf9b000000ffff		/* 0x10: flat code */
	.quad	0x00cf93000000ffff		/* 0x18: flat data */
gdt_end:
	.balign	4
	.word	0
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	0
	.word	0
idt_pointer:
	.word	0
	.long	0

cpu_message:	.asciz	"This kernel needs an x86-64 CPU.\r\n"
memory_message:	.asciz	"The BIOS gives no memory map.\r\n"
a20_message:	.asciz	"The A20 line does not open.\r\n"

	.globl	version_string, version_string_end
version_string:	.space	256			/* mk */
version_string_end:

	.org	SETUP_SIZE - 4
	.long	0x5a5aaa55			/* setup signature */
	.org	SETUP_SIZE

	/* Beyond the file, in the loader's 64 KB: our data. */
	.struct	SETUP_SIZE
boot_params:	.space	4096
setup_end:
