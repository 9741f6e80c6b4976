// SPDX-License-Identifier: GPL-2.0
//! configfs: objects that programs make with `mkdir` and remove with `rmdir`. `/sys/kernel/config/rust_config` has `made`, how many there
//! were; `mkdir NAME` there makes a greeting with `text` (read and written, 64 bytes) and `length`. A module with objects is in use.

#![no_std]
#![forbid(unsafe_code)]

use kernel::configfs::{AttributeOperations, Group, GroupOperations, Subsystem, configfs_attrs};
use kernel::new_mutex;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::str::CString;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::sync::{ArcBorrow, Mutex};

module! {
    type: Config,
    name: "rust_config",
    authors: ["The Rideau developers"],
    description: "Objects that programs make",
    license: "GPL",
}

/// Longest text of a greeting.
const MAX: usize = 64;

/// Writes `text` and a newline to an attribute's page.
fn show(page: &mut [u8; PAGE_SIZE], text: &[u8]) -> Result<usize> {
    page.get_mut(..text.len()).ok_or(EINVAL)?.copy_from_slice(text);
    *page.get_mut(text.len()).ok_or(EINVAL)? = b'\n';
    Ok(text.len() + 1)
}

/// What is behind the subsystem's directory.
#[pin_data]
struct Root {
    made: Atomic<u32>,
}

/// What is behind a directory that a program made.
#[pin_data]
struct Greeting {
    #[pin]
    text: Mutex<KVec<u8>>,
}

#[vtable]
impl GroupOperations for Root {
    type Child = Greeting;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<Group<Greeting>, Error>> {
        // Names that begin like this are for the module.
        if name.to_bytes().starts_with(b"_") {
            return Err(EINVAL);
        }
        let kind = configfs_attrs! {
            container: Group<Greeting>,
            data: Greeting,
            attributes: [text: 0, length: 1],
        };
        self.made.fetch_add(1, Relaxed);
        pr_info!("made {}\n", name);
        Ok(Group::new(name.try_into()?, kind, try_pin_init!(Greeting { text <- new_mutex!(KVec::new()) })))
    }

    fn drop_item(&self, _child: ArcBorrow<'_, Group<Greeting>>) {
        pr_info!("one is gone\n");
    }
}

#[vtable]
impl AttributeOperations<0> for Root {
    type Data = Root;

    fn show(root: &Root, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, CString::try_from_fmt(fmt!("{}", root.made.load(Relaxed)))?.to_bytes())
    }
}

#[vtable]
impl AttributeOperations<0> for Greeting {
    type Data = Greeting;

    fn show(greeting: &Greeting, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, &greeting.text.lock())
    }

    fn store(greeting: &Greeting, page: &[u8]) -> Result {
        let text = page.strip_suffix(b"\n").unwrap_or(page);
        if text.len() > MAX {
            return Err(EINVAL);
        }
        let mut new = KVec::new();
        new.extend_from_slice(text, GFP_KERNEL)?;
        let old = core::mem::replace(&mut *greeting.text.lock(), new);
        drop(old);
        Ok(())
    }
}

#[vtable]
impl AttributeOperations<1> for Greeting {
    type Data = Greeting;

    fn show(greeting: &Greeting, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        let len = greeting.text.lock().len();
        show(page, CString::try_from_fmt(fmt!("{}", len))?.to_bytes())
    }
}

#[pin_data]
struct Config {
    #[pin]
    subsystem: Subsystem<Root>,
}

impl kernel::InPlaceModule for Config {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let kind = configfs_attrs! {
            container: Subsystem<Root>,
            data: Root,
            child: Greeting,
            attributes: [made: 0],
        };
        try_pin_init!(Self {
            subsystem <- Subsystem::new(c"rust_config", kind, try_pin_init!(Root { made: Atomic::new(0) })),
        })
    }
}
