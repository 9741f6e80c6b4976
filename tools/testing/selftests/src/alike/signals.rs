// SPDX-License-Identifier: GPL-2.0
//! Signals: what is sent, and what stays pending.

use crate::util::{Outcome, child, handle, in_child, mask};
use crate::{Test, c, eq, fails};

pub const TESTS: &[Test] = &[("alike.ignored_ends", ignored_ends)];

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
