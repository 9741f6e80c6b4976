// SPDX-License-Identifier: GPL-2.0
//! `/dev/hpet`: an open takes a comparator, requests set it up, a read waits for interrupts and says how many came. The
//! registers cannot be mapped (Linux without `CONFIG_HPET_MMAP`).

use crate::chip::{Chip, Open};
use crate::{THIS_MODULE, allows};
use kernel::hardware::{cred, misc, mm, module_core, vfs};
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::uapi::{HPET_DPI, HPET_EPI, HPET_IE_OFF, HPET_IE_ON, HPET_INFO, HPET_IRQFREQ, hpet_info};
use misc::{MiscOps, Registration};
use mm::MmapRequest;
use vfs::{File, FileOps, IovIter, PollMask, PollTable, fmode, user};

/// Its minor.
const MINOR: u32 = 228;

struct Comparators(Arc<Chip>);

impl MiscOps for Comparators {
    fn open(&self, file: &File) -> Result<KBox<dyn FileOps>> {
        // To be read only.
        if file.mode() & fmode::WRITE != 0 {
            return Err(EINVAL);
        }
        Ok(KBox::new(Chip::open(&self.0)?, GFP_KERNEL)?)
    }

    fn mode(&self) -> u32 {
        0
    }

    fn owner(&self) -> Option<&'static module_core::Header> {
        THIS_MODULE.header()
    }
}

/// Makes the node; dropping the result takes it away.
pub(crate) fn register(chip: &Arc<Chip>) -> Result<Registration> {
    Registration::new(b"hpet", MINOR, |_| Ok(KBox::new(Comparators(chip.clone()), GFP_KERNEL)?))
}

impl Open {
    /// `HPET_INFO`.
    fn tell(&self, arg: usize) -> Result {
        let (frequency, flags, number) = self.info()?;
        let info = hpet_info {
            hi_ireqfreq: frequency,
            hi_flags: flags.into(),
            hi_hpet: 0,
            hi_timer: number as u16,
            ..hpet_info::default()
        };
        user::put(arg, &info)
    }

    /// `HPET_IRQFREQ`.
    fn ask(&self, frequency: usize) -> Result {
        if !allows(frequency) && !cred::capable(cred::CAP_SYS_RESOURCE) {
            return Err(EACCES);
        }
        if frequency == 0 {
            return Err(EINVAL);
        }
        self.set_frequency(frequency)
    }
}

impl FileOps for Open {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        self.check()?;
        if to.count() < size_of::<u64>() {
            return Err(EINVAL);
        }
        let mut count = self.take()?;
        while count == 0 {
            if file.nonblock() {
                return Err(EAGAIN);
            }
            self.wait_queue().ok_or(ENODEV)?.wait_interruptible(|| self.is_pending() || self.chip.is_gone())?;
            count = self.take()?;
        }
        let bytes = count.to_ne_bytes();
        if to.copy_to_iter(&bytes) == bytes.len() { Ok(bytes.len()) } else { Err(EFAULT) }
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        if let Some(queue) = self.wait_queue() {
            table.add(queue);
        }
        if self.chip.is_gone() {
            PollMask::ERR | PollMask::HUP
        } else if self.is_pending() {
            PollMask::IN | PollMask::RDNORM
        } else {
            PollMask::NONE
        }
    }

    fn fasync(&self, file: &File, fd: i32, on: bool) -> Result {
        Open::fasync(self)?.set(file, fd, on).map(drop)
    }

    fn mmap(&self, _: &File, _: &MmapRequest) -> Result {
        Err(ENOSYS)
    }

    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        match cmd {
            HPET_IE_ON => self.switch_on(),
            HPET_IE_OFF => self.switch_off(),
            HPET_INFO => self.tell(arg),
            HPET_EPI | HPET_DPI => self.set_periodic(cmd == HPET_EPI),
            HPET_IRQFREQ => self.ask(arg),
            _ => Err(EINVAL),
        }?;
        Ok(0)
    }
}
