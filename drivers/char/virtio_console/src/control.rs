// SPDX-License-Identifier: GPL-2.0
//! Messages about ports: a port comes or goes, is a console, has a name; one side opened or closed it. They are handled one after
//! another, in a work item.

use crate::device::Console;
use kernel::prelude::*;

/// What a message is about.
pub(crate) mod event {
    /// The driver is ready (or not).
    pub(crate) const DEVICE_READY: u16 = 0;
    /// A port is there.
    pub(crate) const PORT_ADD: u16 = 1;
    /// A port goes.
    pub(crate) const PORT_REMOVE: u16 = 2;
    /// The driver can use the port (or not).
    pub(crate) const PORT_READY: u16 = 3;
    /// The port is a console.
    pub(crate) const CONSOLE_PORT: u16 = 4;
    /// The console has another size.
    pub(crate) const RESIZE: u16 = 5;
    /// The port was opened or closed.
    pub(crate) const PORT_OPEN: u16 = 6;
    /// What the port is called.
    pub(crate) const PORT_NAME: u16 = 7;
}

/// In place of a port's number: it is about the device.
pub(crate) const NO_PORT: u32 = u32::MAX;
/// Bytes of a message without what follows it.
pub(crate) const MESSAGE: usize = 8;

/// A message: port, what it is about, a value; and what follows.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u32, u16, u16, &[u8])> {
    let (&[i0, i1, i2, i3, e0, e1, v0, v1], rest) = bytes.split_first_chunk::<MESSAGE>()?;
    let id = u32::from_le_bytes([i0, i1, i2, i3]);
    Some((id, u16::from_le_bytes([e0, e1]), u16::from_le_bytes([v0, v1]), rest))
}

/// A message as bytes.
pub(crate) fn message(id: u32, event: u16, value: u16) -> [u8; MESSAGE] {
    let ([i0, i1, i2, i3], [e0, e1], [v0, v1]) = (id.to_le_bytes(), event.to_le_bytes(), value.to_le_bytes());
    [i0, i1, i2, i3, e0, e1, v0, v1]
}

/// Does what a message of the host says. What makes no sense is passed over. May sleep.
pub(crate) fn handle(console: &Console, bytes: &[u8]) {
    let Some((id, event, value, rest)) = parse(bytes) else { return };
    let Some(port) = console.port(id) else {
        if event == event::PORT_ADD {
            let ready = match console.add_port(id) {
                Ok(_) => 1,
                Err(error) => {
                    pr_err!("{}: port {id} not added: {}\n", console.device.name(), error.to_errno());
                    0
                }
            };
            console.send_control(id, event::PORT_READY, ready);
        }
        return;
    };
    let done = match event {
        event::PORT_ADD => {
            console.send_control(id, event::PORT_READY, 1);
            Ok(())
        }
        event::PORT_REMOVE => {
            console.remove_port(id);
            Ok(())
        }
        event::CONSOLE_PORT if value != 0 => port.make_console(console),
        event::RESIZE => {
            // In this order.
            if let [r0, r1, c0, c1, ..] = *rest {
                port.resize(u16::from_le_bytes([r0, r1]), u16::from_le_bytes([c0, c1]));
            }
            Ok(())
        }
        event::PORT_OPEN => {
            port.host_changed(value != 0);
            Ok(())
        }
        event::PORT_NAME => port.set_name(rest),
        _ => Ok(()),
    };
    if let Err(error) = done {
        pr_err!("{}: port {id}: message {event}: {}\n", console.device.name(), error.to_errno());
    }
}

#[kunit_tests(virtio_console)]
mod tests {
    use super::*;

    #[test]
    fn messages_there_and_back() {
        let bytes = message(7, event::PORT_NAME, 0x102);
        assert_eq!(parse(&bytes), Some((7, event::PORT_NAME, 0x102, &[][..])));
        assert_eq!(parse(bytes.get(..7).unwrap_or_default()), None);
        assert_eq!(parse(b"\x01\0\0\0\x07\0\0\0name").map(|(id, _, _, rest)| (id, rest)), Some((1, &b"name"[..])));
    }
}
