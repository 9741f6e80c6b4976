// SPDX-License-Identifier: GPL-2.0
//! Signals to groups, and who belongs to one at that moment.

use super::*;

const PATIENCE: libc::timespec = libc::timespec { tv_sec: 3, tv_nsec: 0 };

/// Takes a blocked `SIGUSR1`; whether it came.
fn taken(patience: &libc::timespec) -> bool {
    let signals = set(&[libc::SIGUSR1]);
    // SAFETY: live.
    unsafe { libc::sigtimedwait(&signals, null_mut(), patience) == libc::SIGUSR1 }
}

/// The leader of the group: tells before each fork, which takes its time. How many children missed what their group got meanwhile.
fn forks(tell: i32, rounds: i32) -> Result<i32, String> {
    const NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    c!(libc::setpgid(0, 0));
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    let memory = vec![1u8; 48 << 20];
    let (mut done, mut missed) = (0, 0);
    for _ in 0..rounds * 20 {
        write(tell, b"x")?;
        if taken(&NOW) {
            // Too early: it was no business of a child's.
            continue;
        }
        let pid = child(|| i32::from(!taken(&PATIENCE)))?;
        ck!(taken(&PATIENCE), "nobody sent anything");
        missed += exit_of(pid)?;
        done += 1;
        if done == rounds {
            break;
        }
    }
    drop(memory);
    ck!(done > rounds / 4, "{done} rounds");
    Ok(missed)
}

/// A child that is being made when its group gets a signal is one of the group. (A fork that begins just after is none: a few may miss.)
pub(super) fn fork_meanwhile() -> Outcome {
    const ROUNDS: i32 = 40;
    let (r, w) = pipe()?;
    let forker = child(|| forks(w, ROUNDS).unwrap_or(100))?;
    close(w);
    let mut turn = 0;
    while !read(r, 1)?.is_empty() {
        for _ in 0..turn % 20 * 400 {
            core::hint::spin_loop();
        }
        turn += 1;
        c!(libc::kill(-forker, libc::SIGUSR1));
    }
    let missed = exit_of(forker)?;
    ck!(missed <= ROUNDS / 8, "{missed} of {ROUNDS} children missed their group's signal");
    Ok(())
}
