// SPDX-License-Identifier: GPL-2.0
//! debugfs: values that a program may look at and change, in `/sys/kernel/debug/rust_knobs`:
//!
//! - `level`: a number from 0 to 10, read and written; `hits`: how often `about` was read, only read;
//! - `about`: a text that is made when it is read; `reset`: what is written is nothing to it, `hits` is 0 then.
//!
//! The files go when the module's value is dropped; who has one open gets `ENODEV` afterwards.

#![no_std]
#![forbid(unsafe_code)]

use kernel::debugfs::{Dir, File};
use kernel::init::pin_init_scope;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::uaccess::UserSliceReader;

module! {
    type: Knobs,
    name: "rust_knobs",
    authors: ["The Rideau developers"],
    description: "Values in debugfs",
    license: "GPL",
}

/// What the files are about; each has a reference.
struct State {
    level: Atomic<u32>,
    hits: Atomic<u64>,
}

#[pin_data]
struct Knobs {
    #[pin]
    level: File<Arc<State>>,
    #[pin]
    hits: File<Arc<State>>,
    #[pin]
    about: File<Arc<State>>,
    #[pin]
    reset: File<Arc<State>>,
}

/// A number that a program writes, from 0 to 10.
fn level(reader: &mut UserSliceReader) -> Result<u32> {
    let mut text = [0u8; 8];
    let text = text.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    let level = core::str::from_utf8(text)?.trim().parse().map_err(|_| EINVAL)?;
    if level > 10 { Err(EINVAL) } else { Ok(level) }
}

impl kernel::InPlaceModule for Knobs {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init_scope(|| {
            let state = Arc::new(State { level: Atomic::new(3), hits: Atomic::new(0) }, GFP_KERNEL)?;
            let dir = Dir::new(c"rust_knobs");
            Ok(try_pin_init!(Self {
                level <- dir.read_write_callback_file(
                    c"level",
                    state.clone(),
                    &|state: &Arc<State>, f| writeln!(f, "{}", state.level.load(Relaxed)),
                    &|state: &Arc<State>, reader: &mut UserSliceReader| {
                        state.level.store(level(reader)?, Relaxed);
                        Ok(())
                    },
                ),
                hits <- dir.read_callback_file(c"hits", state.clone(), &|state: &Arc<State>, f| {
                    writeln!(f, "{}", state.hits.load(Relaxed))
                }),
                about <- dir.read_callback_file(c"about", state.clone(), &|state: &Arc<State>, f| {
                    state.hits.add(1, Relaxed);
                    writeln!(f, "level {} of 10", state.level.load(Relaxed))
                }),
                reset <- dir.write_callback_file(c"reset", state.clone(), &|state: &Arc<State>, _: &mut UserSliceReader| {
                    state.hits.store(0, Relaxed);
                    Ok(())
                }),
            }))
        })
    }
}
