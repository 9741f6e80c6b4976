// SPDX-License-Identifier: GPL-2.0
//! Objects that programs make and remove: `kernel::configfs`, over `fs/configfs`. A [`Subsystem`] is a directory of its own; what
//! `mkdir` makes in it (and in what was made) are [`Group`]s. Attributes are declared by [`configfs_attrs!`].

mod item_type;
mod ops;

pub use crate::configfs_attrs;
pub use item_type::{Attribute, AttributeList, ItemType};
pub use ops::{AttributeOperations, GroupOperations};

use crate::str::{CStr, CString};
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;
use errno::Error;
use pin_init::{PinInit, pin_data, pin_init_from_closure, pinned_drop};

/// A directory in the root of configfs, with a module's data behind it. It goes when this is dropped.
#[pin_data(PinnedDrop)]
pub struct Subsystem<Data> {
    registration: Option<::configfs::Subsystem>,
    #[pin]
    data: Data,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The data is shared with whoever reads and writes attributes, as in Linux: `show` and `store` get `&Data`.
unsafe impl<Data> Sync for Subsystem<Data> {}
// SAFETY: As above.
unsafe impl<Data> Send for Subsystem<Data> {}

impl<Data: 'static> Subsystem<Data> {
    /// Registers the directory `name`. `EEXIST`, `ENOMEM`. May sleep.
    pub fn new(
        name: &'static CStr,
        item_type: &'static ItemType<Subsystem<Data>, Data>,
        data: impl PinInit<Data, Error>,
    ) -> impl PinInit<Self, Error> {
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, which stays where it is. On an error what was built is dropped.
            unsafe {
                data.__pinned_init(&raw mut (*slot).data)?;
                let behind = ops::Behind::<Data>::borrowed(NonNull::new_unchecked(&raw mut (*slot).data));
                let made = item_type.new_group(behind);
                match made.and_then(|group| ::configfs::Subsystem::new(name.to_bytes(), group)) {
                    Ok(registration) => {
                        (&raw mut (*slot).registration).write(Some(registration));
                        (&raw mut (*slot)._pin).write(PhantomPinned);
                        Ok(())
                    }
                    Err(error) => {
                        (&raw mut (*slot).data).drop_in_place();
                        Err(error)
                    }
                }
            }
        };
        // SAFETY: All fields are built, or an error is returned and nothing is left.
        unsafe { pin_init_from_closure(build) }
    }
}

#[pinned_drop]
impl<Data> PinnedDrop for Subsystem<Data> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved out of the pinned value but the registration, which is not pinned.
        let registration = unsafe { &mut self.get_unchecked_mut().registration };
        // Nobody uses the data after this.
        drop(registration.take());
    }
}

/// A directory that a program made, with a module's data behind it.
#[pin_data]
pub struct Group<Data: 'static> {
    _name: CString,
    item_type: &'static ItemType<Group<Data>, Data>,
    #[pin]
    data: Data,
}

// SAFETY: As for `Subsystem`.
unsafe impl<Data: 'static> Sync for Group<Data> {}
// SAFETY: As above.
unsafe impl<Data: 'static> Send for Group<Data> {}

impl<Data: 'static> Group<Data> {
    /// The object behind a directory `name`.
    pub fn new(
        name: CString,
        item_type: &'static ItemType<Group<Data>, Data>,
        data: impl PinInit<Data, Error>,
    ) -> impl PinInit<Self, Error> {
        crate::try_pin_init!(Self { _name: name, item_type, data <- data })
    }
}
