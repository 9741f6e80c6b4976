// SPDX-License-Identifier: GPL-2.0
//! Signals, identities and who may change whom.

use crate::util::{Outcome, child, handle, in_child, mask};
use crate::{Test, c, eq, fails};

pub const TESTS: &[Test] = &[
    ("alike.ignored_ends", ignored_ends),
    ("alike.same_ids_keep_fsuid", same_ids_keep_fsuid),
    ("alike.stronger_is_not_changed", stronger_is_not_changed),
];

/// Who ignores `SIGCHLD` has none pending, though it is blocked; who only has no use for children (`SA_NOCLDWAIT`) has.
fn ignored_ends() -> Outcome {
    in_child(|| {
        let pending = || -> Result<bool, String> {
            let mut set = crate::util::set(&[]);
            c!(libc::sigpending(&mut set));
            Ok(c!(libc::sigismember(&set, libc::SIGCHLD)) == 1)
        };
        mask(libc::SIG_BLOCK, &[libc::SIGCHLD])?;
        for (action, flags, told) in [(libc::SIG_IGN, 0, false), (libc::SIG_DFL, libc::SA_NOCLDWAIT, true)] {
            handle(libc::SIGCHLD, action, flags)?;
            let pid = child(|| 3)?;
            fails!(libc::waitpid(pid, core::ptr::null_mut(), 0), libc::ECHILD);
            eq!(pending()?, told);
        }
        Ok(())
    })
}

/// `setresuid` and `setresgid` that change nothing leave what `setfsuid` and `setfsgid` said.
fn same_ids_keep_fsuid() -> Outcome {
    in_child(|| {
        // SAFETY: numbers; -1 is refused and only asks.
        let (fsuid, fsgid) = (|| unsafe { libc::setfsuid(u32::MAX) }, || unsafe { libc::setfsgid(u32::MAX) });
        // SAFETY: numbers.
        unsafe { (libc::setfsuid(1), libc::setfsgid(2)) };
        c!(libc::syscall(libc::SYS_setresuid, -1, -1, 0));
        c!(libc::syscall(libc::SYS_setresgid, 0, -1, -1));
        eq!((fsuid(), fsgid()), (1, 2));
        c!(libc::syscall(libc::SYS_setresuid, -1, 0, -1));
        c!(libc::syscall(libc::SYS_setresgid, -1, 0, -1));
        eq!((fsuid(), fsgid()), (0, 0));
        Ok(())
    })
}

/// Who has given up capabilities does not change a process of the same user that has them.
fn stronger_is_not_changed() -> Outcome {
    let (strong, word) = crate::util::held(0)?;
    in_child(|| {
        let mut header = [0x2008_0522_u32, 0];
        let none = [0_u32; 6];
        c!(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr()));
        fails!(libc::setpriority(libc::PRIO_PROCESS, strong as u32, 5), libc::EPERM);
        fails!(libc::syscall(libc::SYS_ioprio_set, 1, strong, 2 << 13 | 5), libc::EPERM);
        let param = libc::sched_param { sched_priority: 0 };
        fails!(libc::sched_setscheduler(strong, libc::SCHED_BATCH, &param), libc::EPERM);
        c!(libc::setpriority(libc::PRIO_PROCESS, 0, 5));
        Ok(())
    })?;
    crate::util::close(word);
    eq!(crate::util::exit_of(strong)?, 0);
    Ok(())
}
