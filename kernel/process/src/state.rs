// SPDX-License-Identifier: GPL-2.0
//! What a task does, as programs that list tasks show it. Source: `proc_pid_stat(5)`.

use crate::Process;
use task::{State, Task};

/// The letter and the word for what a task does.
pub fn state_of(task: &Task, process: &Process) -> (u8, &'static str) {
    let state = task.state();
    if state.intersects(State::DEAD) {
        let zombie = task.tid() == process.pid();
        return if zombie { (b'Z', "zombie") } else { (b'X', "dead") };
    }
    if state.intersects(State::TRACED) {
        (b't', "tracing stop")
    } else if state.intersects(State::STOPPED) {
        (b'T', "stopped")
    } else if state.intersects(State::INTERRUPTIBLE) {
        (b'S', "sleeping")
    } else if state.intersects(State::FROZEN) {
        (b'D', "disk sleep")
    } else if state.intersects(State::UNINTERRUPTIBLE) {
        if state.intersects(State::NOLOAD) { (b'I', "idle") } else { (b'D', "disk sleep") }
    } else {
        (b'R', "running")
    }
}
