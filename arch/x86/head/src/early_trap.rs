// SPDX-License-Identifier: GPL-2.0
//! An interrupt table for the time until `x86` installs its own: every exception is fatal and says where it happened, on the
//! early port (or the first serial line), instead of a silent triple fault. Boot CPU only, no locks.

use crate::early_serial::{self, EarlySerial};
use crate::sections;
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt::Write;

/// Exceptions that the CPU defines.
const VECTORS: usize = 32;
/// Bytes of one stub below.
const STUB_SIZE: usize = 16;

// One stub a vector; those without an error code push a zero. Vectors with one: 8, 10-14, 17, 21, 29, 30.
global_asm!(
    r#"
    .section .head.text, "ax", @progbits
    .balign 16
early_trap_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if !((0x60227d00 >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp .Learly_trap_common
    .set vector, vector + 1
    .endr
.Learly_trap_common:
    movq %rsp, %rdi
    andq $-16, %rsp
    call early_trap
    ud2
    "#,
    options(att_syntax)
);

unsafe extern "C" {
    static early_trap_stubs: u8;
}

/// What the stubs and the CPU push.
#[repr(C)]
struct Frame {
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    flags: u64,
    rsp: u64,
    ss: u64,
}

struct Idt(UnsafeCell<[[u64; 2]; VECTORS]>);
// SAFETY: Written by the boot CPU before any other runs.
unsafe impl Sync for Idt {}
static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; VECTORS]));

/// Loads the table. At the final address.
///
/// # Safety
/// One CPU runs, interrupts are off, and GDT selector 0x10 is 64-bit code.
pub(crate) unsafe fn install() {
    let idt = IDT.0.get();
    let stubs = (&raw const early_trap_stubs).addr();
    // SAFETY: Nobody else uses the table yet.
    for (vector, gate) in unsafe { &mut *idt }.iter_mut().enumerate() {
        let at = (stubs + vector * STUB_SIZE) as u64;
        // Present, DPL 0, interrupt gate, selector 0x10.
        *gate = [at & 0xffff | 0x10 << 16 | 0x8e00 << 32 | (at >> 16 & 0xffff) << 48, at >> 32];
    }
    let mut pointer = [0u8; 10];
    let (limit, base) = pointer.split_at_mut(2);
    limit.copy_from_slice(&(size_of::<[[u64; 2]; VECTORS]>() as u16 - 1).to_le_bytes());
    base.copy_from_slice(&(idt.addr() as u64).to_le_bytes());
    // SAFETY: The descriptor is valid, and the table it names is static.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack, preserves_flags)) };
}

/// # Safety
/// Called by the stubs alone, with the frame they made.
#[unsafe(no_mangle)]
unsafe extern "C" fn early_trap(frame: *const Frame) -> ! {
    // SAFETY: By the contract.
    let Frame { vector, error, rip, cs, flags, rsp, ss } = unsafe { frame.read() };
    if early_serial::port().is_none() {
        early_serial::init(0x3f8, 0);
    }
    let link = (rip as usize).wrapping_sub(sections::image().start).wrapping_add(crate::LINK_TEXT);
    let _ = writeln!(
        EarlySerial,
        "\nearly exception {vector} error {error:#x} rip {cs:x}:{rip:#x} (linked at {link:#x}) flags {flags:#x} rsp {ss:x}:{rsp:#x} cr2 {:#x} cr3 {:#x}",
        x86_cpu::cr::read_cr2(),
        x86_cpu::cr::read_cr3(),
    );
    x86_cpu::asm::halt_forever()
}
