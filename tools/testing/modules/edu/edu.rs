// SPDX-License-Identifier: GPL-2.0
//! A driver for QEMU's `edu` device, built out of the tree: memory, a message, and a handler with a thread. The device inverts what is
//! written to one register and raises its interrupt when another is written. Source: QEMU's `docs/specs/edu.rst`.

use kernel::{
    device::Core,
    io::{Io, register},
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
}

type Registers<'bound> = pci::Bar<'bound, 0x100>;

#[pin_data]
struct Interrupt<'bound> {
    registers: Registers<'bound>,
    #[pin]
    done: Completion,
    seen: Atomic<u32>,
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
        self.done.complete_all();
        irq::IrqReturn::Handled
    }
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
            let registers: Registers<'bound> = pdev.iomap_region_sized(0, c"edu")?;
            registers.write_reg(LIVENESS::from_raw(0x1234_5678));
            dev_info!(pdev, "alive: {:#x}\n", registers.read(LIVENESS).into_raw());
            let vector = pdev.alloc_irq_vectors(1, 1, pci::IrqTypes::all())?.keep()?.index(0)?;
            let handler = try_pin_init!(Interrupt {
                registers,
                done <- Completion::new(),
                seen: Atomic::new(0),
            });
            let data = try_pin_init!(Data {
                pdev,
                // SAFETY: It is part of the driver's data, which is dropped when the device is unbound.
                interrupt <- unsafe { pdev.request_threaded_irq(vector, irq::Flags::TRIGGER_NONE, c"edu", handler) },
            });
            Ok(data.pin_chain(move |data| {
                let interrupt = data.interrupt.handler();
                interrupt.registers.write_reg(RAISE::from_raw(0x55));
                interrupt.done.wait_for_completion();
                dev_info!(pdev, "interrupt: {:#x}\n", interrupt.seen.load(Relaxed));
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
    name: "edu",
    authors: ["The Rideau developers"],
    description: "A driver for QEMU's edu device",
    license: "GPL",
}
