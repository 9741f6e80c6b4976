// SPDX-License-Identifier: GPL-2.0
//! `/dev/loop-control`.

use crate::THIS_MODULE;
use kernel::ext::{MiscOps, MiscRegistration};
use kernel::filesystem::vfs::{File, FileOps};
use kernel::prelude::*;

const LOOP_CTRL_MINOR: u32 = 237;
const LOOP_CTL_ADD: u32 = 0x4c80;
const LOOP_CTL_REMOVE: u32 = 0x4c81;
const LOOP_CTL_GET_FREE: u32 = 0x4c82;

struct Control;

impl MiscOps for Control {
    fn open(&self, _: &File) -> Result<KBox<dyn FileOps>> {
        Ok(KBox::new(Control, GFP_KERNEL)?)
    }

    fn mode(&self) -> u32 {
        0
    }

    fn owner(&self) -> Option<&'static kernel::ext::ModuleHeader> {
        THIS_MODULE.header()
    }
}

impl FileOps for Control {
    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        // `add` takes any number below 0 for "the first free one".
        let number = u32::try_from(arg as i32);
        match cmd {
            LOOP_CTL_ADD => crate::add(number.ok()).map(|number| number as usize),
            LOOP_CTL_REMOVE => {
                let number = number.map_err(|_| EINVAL)?;
                crate::remove(number).map(|()| number as usize)
            }
            LOOP_CTL_GET_FREE => crate::get_free().map(|number| number as usize),
            _ => Err(ENOSYS),
        }
    }
}

/// Makes the node; dropping the result takes it away.
pub(crate) fn register() -> Result<MiscRegistration> {
    MiscRegistration::new(b"loop-control", LOOP_CTRL_MINOR, |_| Ok(KBox::new(Control, GFP_KERNEL)?))
}
