// SPDX-License-Identifier: GPL-2.0
//! `hvc` as a console of the kernel log: what programs wrote before goes first, then the record is written with interrupts off. Called
//! by `printk` in any context but NMI, in a panic also with the lock held by a CPU that is stopped: then it gives up after some tries.

use crate::MAJOR;
use crate::port::{CHUNK, PORTS, Port, State};
use printk::Console;

/// How long a host that takes nothing is waited for; what it does not take then is lost.
const PATIENCE_NS: u64 = 1_000_000_000;
/// How often the lock is tried in a panic.
const TRIES: u32 = 100_000;

struct HvcConsole {
    index: u32,
}

const fn console(index: u32) -> HvcConsole {
    HvcConsole { index }
}

/// One for each line.
static CONSOLES: [HvcConsole; PORTS.len()] =
    [console(0), console(1), console(2), console(3), console(4), console(5), console(6), console(7)];

/// The line has a driver: the log may want it.
pub(crate) fn register(index: u32) {
    if let Some(console) = CONSOLES.get(index as usize) {
        printk::register(console);
    }
}

/// The driver goes.
pub(crate) fn unregister(index: u32) {
    if let Some(console) = CONSOLES.get(index as usize) {
        printk::console::unregister(console);
    }
}

/// Whether the log is shown on this line.
pub(crate) fn is_on(index: u32) -> bool {
    printk::console::consoles().any(|console| console.name() == "hvc" && console.index() == index)
}

/// Sends all of it; whether the host took it in time.
fn send_all(state: &State, mut bytes: &[u8]) -> bool {
    let Some(ops) = &state.ops else { return true };
    let mut end = None;
    while !bytes.is_empty() {
        let taken = ops.put(bytes);
        bytes = bytes.get(taken..).unwrap_or_default();
        if taken != 0 {
            end = None;
            continue;
        }
        let now = ktime::now_ns();
        if now > *end.get_or_insert(now.saturating_add(PATIENCE_NS)) {
            if printk::in_panic() {
                ops.put_emergency(bytes);
            }
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Sends what programs wrote before.
fn send_ring(state: &mut State) -> bool {
    let mut chunk = [0; CHUNK];
    while let Some(rings) = &mut state.rings {
        let len = rings.tx.peek(&mut chunk);
        if len == 0 || state.stopped {
            return true;
        }
        rings.tx.consume(len);
        if !send_all(state, chunk.get(..len).unwrap_or_default()) {
            return false;
        }
    }
    true
}

fn write(port: &Port, bytes: &[u8]) {
    let guard = match printk::in_panic() {
        true => (0..TRIES).find_map(|_| port.state.try_lock_irqsave()),
        false => Some(port.state.lock_irqsave()),
    };
    let Some(mut state) = guard else { return };
    if !send_ring(&mut state) {
        return;
    }
    let mut text = [0; CHUNK];
    let mut len = 0;
    for &byte in bytes {
        let with_return: &[u8] = if byte == b'\n' { b"\r\n" } else { core::slice::from_ref(&byte) };
        if len + with_return.len() > CHUNK {
            if !send_all(&state, text.get(..len).unwrap_or_default()) {
                return;
            }
            len = 0;
        }
        for &byte in with_return {
            if let Some(place) = text.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
    }
    send_all(&state, text.get(..len).unwrap_or_default());
}

impl Console for HvcConsole {
    fn name(&self) -> &str {
        "hvc"
    }

    fn index(&self) -> u32 {
        self.index
    }

    fn device(&self) -> Option<(u32, u32)> {
        Some((MAJOR, self.index))
    }

    fn write(&self, bytes: &[u8]) {
        if let Some(port) = PORTS.get(self.index as usize) {
            write(port, bytes);
        }
    }
}
