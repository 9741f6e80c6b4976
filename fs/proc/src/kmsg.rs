// SPDX-License-Identifier: GPL-2.0
//! `/proc/kmsg`: the log, each line handed out once, as `syslog(2)` does. Who opens it needs `CAP_SYSLOG`. Locks: readers are
//! serialised by `READ`, as `printk::syslog::read` wants it.

use cred::{CAP_SYS_ADMIN, CAP_SYSLOG};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KBox};
use kernfs::{Attribute, Node};
use sync::{Mutex, PollMask, PollTable};
use vfs::{File, FileOps, Inode, OpenFlags};
use x86_mm::uaccess::IovIter;

static READ: Mutex<()> = Mutex::new(());

struct Kmsg;

/// Makes the file.
pub(crate) fn add(tree: &Arc<Node>) -> Result {
    tree.attr(b"kmsg", 0o400, Kmsg)?;
    Ok(())
}

impl Attribute for Kmsg {
    fn open(&self, _: &Arc<Inode>, _: OpenFlags) -> Result<Option<KBox<dyn FileOps>>> {
        if !cred::capable(CAP_SYSLOG) && !cred::capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
        let ops: KBox<dyn FileOps> = KBox::new(KmsgFile, GFP_KERNEL)?;
        Ok(Some(ops))
    }
}

struct KmsgFile;

impl FileOps for KmsgFile {
    fn read(&self, file: &File, to: &mut IovIter<'_>, _: &mut i64) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            let done = {
                let _read = READ.lock_interruptible()?;
                printk::syslog::read(to.count(), &mut |piece| {
                    if to.copy_to_iter(piece) == piece.len() { Ok(()) } else { Err(EFAULT) }
                })?
            };
            if done != 0 {
                return Ok(done);
            }
            if file.nonblock() {
                return Err(EAGAIN);
            }
            printk::readers().ok_or(EAGAIN)?.wait_interruptible(printk::syslog::unread)?;
        }
    }

    fn poll(&self, _: &File, table: &mut PollTable) -> PollMask {
        if let Some(queue) = printk::readers() {
            table.add(queue);
        }
        if printk::syslog::unread() { PollMask::IN | PollMask::RDNORM } else { PollMask::NONE }
    }
}
