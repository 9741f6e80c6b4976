// SPDX-License-Identifier: GPL-2.0
//! A driver for QEMU's `edu` device (`-device edu`), built as code outside of the tree is: memory, a message with a handler and its
//! thread, and transfers to and from memory. The device inverts what is written to one register, raises its interrupt when another is
//! written, and has 4 KB of its own that it fills from memory and empties to it. Source: QEMU's `docs/specs/edu.rst`.
//!
//! (Rust-for-Linux's `request_threaded_irq` and `dma_set_coherent_mask` are unsafe: what they ask for is said where they are called.
//! Modules in the tree forbid unsafe code, so this is none of them.)

use kernel::{
    device::Core,
    dma::{Coherent, Device as _, DmaMask},
    io::{Io, io_read, io_write, register},
    irq, pci,
    prelude::*,
    sync::{
        Completion,
        atomic::{Atomic, Relaxed},
    },
};

register! {
    LIVENESS(u32) @ 0x4 { 31:0 value; }
    STATUS(u32) @ 0x24 { 31:0 bits; }
    RAISE(u32) @ 0x60 { 31:0 bits; }
    ACKNOWLEDGE(u32) @ 0x64 { 31:0 bits; }
    SOURCE(u32) @ 0x80 { 31:0 address; }
    TARGET(u32) @ 0x88 { 31:0 address; }
    COUNT(u32) @ 0x90 { 31:0 bytes; }
    COMMAND(u32) @ 0x98 { 2:2 interrupt => bool; 1:1 to_memory => bool; 0:0 run => bool; }
}

/// What is written to raise the interrupt, and what it says after a transfer.
const RAISED: u32 = 0x55;
const TRANSFERRED: u32 = 0x100;
/// Where the device's own memory is, as it sees it.
const INSIDE: u32 = 0x4_0000;
/// Words that are sent there and back.
const WORDS: usize = 256;

type Registers<'bound> = pci::Bar<'bound, 0x100>;

#[pin_data]
struct Interrupt<'bound> {
    registers: Registers<'bound>,
    seen: Atomic<u32>,
    transfers: Atomic<u32>,
    #[pin]
    raised: Completion,
    #[pin]
    sent: Completion,
    #[pin]
    back: Completion,
}

impl irq::ThreadedHandler for Interrupt<'_> {
    fn handle(&self) -> irq::ThreadedIrqReturn {
        let bits = self.registers.read(STATUS).into_raw();
        if bits == 0 {
            return irq::ThreadedIrqReturn::None;
        }
        self.registers.write_reg(ACKNOWLEDGE::from_raw(bits));
        self.seen.store(bits, Relaxed);
        irq::ThreadedIrqReturn::WakeThread
    }

    fn handle_threaded(&self) -> irq::IrqReturn {
        let done = match self.seen.load(Relaxed) {
            TRANSFERRED if self.transfers.fetch_add(1, Relaxed) == 0 => &self.sent,
            TRANSFERRED => &self.back,
            _ => &self.raised,
        };
        done.complete_all();
        irq::IrqReturn::Handled
    }
}

/// Has the device move words: from memory to its own, or back.
fn transfer(registers: &Registers<'_>, source: u32, target: u32, to_memory: bool) {
    registers.write_reg(SOURCE::from_raw(source));
    registers.write_reg(TARGET::from_raw(target));
    registers.write_reg(COUNT::from_raw((WORDS * size_of::<u32>()) as u32));
    registers.write_reg(COMMAND::zeroed().with_interrupt(true).with_to_memory(to_memory).with_run(true));
}

/// Sends words to the device and has them back in another place; how many are the same.
fn there_and_back(interrupt: &Interrupt<'_>, words: &Coherent<[u32]>) -> Result<usize> {
    for at in 0..WORDS {
        io_write!(words, [try: at], !(at as u32));
    }
    // Within the mask: it fits.
    let address = u32::try_from(words.dma_address())?;
    transfer(&interrupt.registers, address, INSIDE, false);
    interrupt.sent.wait_for_completion();
    transfer(&interrupt.registers, INSIDE, address + (WORDS * size_of::<u32>()) as u32, true);
    interrupt.back.wait_for_completion();
    let mut same = 0;
    for at in 0..WORDS {
        same += usize::from(io_read!(words, [try: WORDS + at]) == !(at as u32));
    }
    Ok(same)
}

#[pin_data(PinnedDrop)]
struct Data<'bound> {
    pdev: &'bound pci::Device,
    #[pin]
    interrupt: irq::ThreadedRegistration<'bound, Interrupt<'bound>>,
}

struct Edu;

kernel::pci_device_table!(
    TABLE,
    <Edu as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::QEMU, 0x11e8), ())]
);

impl pci::Driver for Edu {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || {
            pdev.enable_device_mem()?;
            pdev.set_master();
            let registers: Registers<'bound> = pdev.iomap_region_sized(0, c"rust_edu")?;
            registers.write_reg(LIVENESS::from_raw(0x1234_5678));
            dev_info!(pdev, "alive: {:#x}\n", registers.read(LIVENESS).into_raw());
            // The device has 28 lines for addresses.
            // SAFETY: Nothing was allocated for the device yet, and nobody else probes it.
            unsafe { pdev.dma_set_coherent_mask(DmaMask::new::<28>())? };
            let words: Coherent<[u32]> = Coherent::zeroed_slice(pdev.as_ref(), 2 * WORDS, GFP_KERNEL)?;
            let vector = pdev.alloc_irq_vectors(1, 1, pci::IrqTypes::all())?.keep()?.index(0)?;
            let handler = try_pin_init!(Interrupt {
                registers,
                seen: Atomic::new(0),
                transfers: Atomic::new(0),
                raised <- Completion::new(),
                sent <- Completion::new(),
                back <- Completion::new(),
            });
            let data = try_pin_init!(Data {
                pdev,
                // SAFETY: It is part of the driver's data, which is dropped when the device is unbound.
                interrupt <- unsafe { pdev.request_threaded_irq(vector, irq::Flags::TRIGGER_NONE, c"rust_edu", handler) },
            });
            Ok(data.pin_chain(move |data| {
                let interrupt = data.interrupt.handler();
                interrupt.registers.write_reg(RAISE::from_raw(RAISED));
                interrupt.raised.wait_for_completion();
                dev_info!(pdev, "interrupt: {:#x}\n", interrupt.seen.load(Relaxed));
                dev_info!(pdev, "dma: {} of {} words came back\n", there_and_back(interrupt, &words)?, WORDS);
                Ok(())
            }))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Data<'_> {
    fn drop(self: Pin<&mut Self>) {
        dev_info!(self.pdev, "goodbye\n");
    }
}

kernel::module_pci_driver! {
    type: Edu,
    name: "rust_edu",
    authors: ["The Rideau developers"],
    description: "A driver for QEMU's edu device",
    license: "GPL",
}
