// SPDX-License-Identifier: GPL-2.0
//! The objects of `kernel::configfs`: a module's data behind a directory, in place or in an `Arc`. What the directory has and does is
//! what `kernel` says ([`Kind`]).

use crate::str::{CStr, CString};
use ::configfs::NewGroup;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::NonNull;
use errno::{Error, Result};
use kalloc::Arc;
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
        item_type: &'static impl Kind<Subsystem<Data>, Data>,
        data: impl PinInit<Data, Error>,
    ) -> impl PinInit<Self, Error> {
        let build = move |slot: *mut Self| {
            // SAFETY: The slot is memory for the value, which stays where it is. On an error what was built is dropped.
            unsafe {
                data.__pinned_init(&raw mut (*slot).data)?;
                let behind = Behind::<Data>::borrowed(NonNull::new_unchecked(&raw mut (*slot).data));
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
    kind: &'static dyn Kind<Group<Data>, Data>,
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
        item_type: &'static impl Kind<Group<Data>, Data>,
        data: impl PinInit<Data, Error>,
    ) -> impl PinInit<Self, Error> {
        crate::try_pin_init!(Self { _name: name, kind: item_type, data <- data })
    }

    /// What it is.
    #[doc(hidden)]
    pub fn kind(&self) -> &'static dyn Kind<Self, Data> {
        self.kind
    }
}

/// A type of directories, of what `Container` is.
#[doc(hidden)]
pub trait Kind<Container, Data: 'static>: Sync {
    /// A directory of this type. Nothing but the directory and its attributes keeps `behind`.
    fn new_group(&'static self, behind: Behind<Data>) -> Result<NewGroup>;
}

/// The data behind a directory.
///
/// # Invariants
/// The pointer is valid as long as this is: the group is kept, or the subsystem takes this back before its data goes.
#[doc(hidden)]
pub struct Behind<Data: 'static> {
    data: NonNull<Data>,
    group: Option<Arc<Group<Data>>>,
}

// SAFETY: The data is shared as `Subsystem` and `Group` say.
unsafe impl<Data> Send for Behind<Data> {}
// SAFETY: As above.
unsafe impl<Data> Sync for Behind<Data> {}

impl<Data> Clone for Behind<Data> {
    fn clone(&self) -> Self {
        Self { data: self.data, group: self.group.clone() }
    }
}

impl<Data> Behind<Data> {
    /// Data of a subsystem.
    ///
    /// # Safety
    /// `data` is valid until configfs has given this back.
    unsafe fn borrowed(data: NonNull<Data>) -> Self {
        Self { data, group: None }
    }

    /// Data of a group.
    pub fn owned(group: Arc<Group<Data>>) -> Self {
        Self { data: NonNull::from(&group.data), group: Some(group) }
    }

    /// The data.
    pub fn data(&self) -> &Data {
        // SAFETY: By the type invariant.
        unsafe { self.data.as_ref() }
    }

    /// The group, if it is one's.
    pub fn group(&self) -> Option<&Arc<Group<Data>>> {
        self.group.as_ref()
    }
}
