// SPDX-License-Identifier: GPL-2.0
//! Masks, order and what is pending.

use super::*;

pub(super) fn mask_blocks() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    for _ in 0..3 {
        c!(libc::kill(me(), libc::SIGUSR1));
    }
    eq!(COUNT.load(SeqCst), 0);
    mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1])?;
    eq!(COUNT.load(SeqCst), 1); // an ordinary signal is pending once
    let all = [!0u64; 16];
    let mut now = [0u64; 16];
    fails!(libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, all.as_ptr(), 0usize, 7usize), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_rt_sigprocmask, 77, all.as_ptr(), 0usize, 8usize), libc::EINVAL);
    c!(libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, all.as_ptr(), 0usize, 8usize));
    c!(libc::syscall(libc::SYS_rt_sigprocmask, 0, 0usize, now.as_mut_ptr(), 8usize));
    eq!(now[0], !(1u64 << 8 | 1 << 18)); // SIGKILL and SIGSTOP cannot be
    Ok(())
}

extern "C" fn look(_: i32) {
    // SAFETY: a live set.
    unsafe {
        let mut now: libc::sigset_t = core::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, null(), &mut now);
        SAW.store(
            (libc::sigismember(&now, libc::SIGUSR1)
                | libc::sigismember(&now, libc::SIGUSR2) << 1
                | libc::sigismember(&now, libc::SIGHUP) << 2) as usize,
            SeqCst,
        );
    }
}

pub(super) fn mask_in_handler() -> Outcome {
    // SAFETY: all zero is a valid sigaction.
    let mut act: libc::sigaction = unsafe { core::mem::zeroed() };
    act.sa_sigaction = look as *const () as usize;
    act.sa_mask = set(&[libc::SIGUSR2]);
    c!(libc::sigaction(libc::SIGUSR1, &act, null_mut()));
    c!(libc::raise(libc::SIGUSR1));
    eq!(SAW.load(SeqCst), 3);
    look(0);
    eq!(SAW.load(SeqCst), 0); // and back again
    Ok(())
}

pub(super) fn nodefer() -> Outcome {
    handle(libc::SIGUSR1, look as *const () as usize, libc::SA_NODEFER)?;
    c!(libc::raise(libc::SIGUSR1));
    eq!(SAW.load(SeqCst), 0);
    on(libc::SIGUSR2, libc::SA_RESETHAND)?;
    c!(libc::raise(libc::SIGUSR2));
    // SAFETY: all zero is a valid sigaction.
    let mut act: libc::sigaction = unsafe { core::mem::zeroed() };
    c!(libc::sigaction(libc::SIGUSR2, null(), &mut act));
    eq!(act.sa_sigaction, libc::SIG_DFL);
    Ok(())
}

static ORDER: [AtomicI32; 8] = [const { AtomicI32::new(0) }; 8];

extern "C" fn order(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let at = COUNT.fetch_add(1, SeqCst) as usize;
    // SAFETY: queued signals have a value.
    let value = unsafe { (*info).si_value().sival_ptr as i32 };
    if let Some(slot) = ORDER.get(at) {
        slot.store(signal * 100 + value, SeqCst);
    }
}

pub(super) fn realtime() -> Outcome {
    let (low, high) = (libc::SIGRTMIN(), libc::SIGRTMIN() + 1);
    mask(libc::SIG_BLOCK, &[low, high])?;
    for s in [low, high] {
        // SAFETY: all zero is a valid sigaction.
        let mut act: libc::sigaction = unsafe { core::mem::zeroed() };
        act.sa_sigaction = order as *const () as usize;
        act.sa_flags = libc::SA_SIGINFO;
        act.sa_mask = set(&[low, high]);
        c!(libc::sigaction(s, &act, null_mut()));
    }
    for (signal, value) in [(high, 1usize), (low, 2), (low, 3), (high, 4)] {
        c!(libc::sigqueue(me(), signal, libc::sigval { sival_ptr: value as *mut libc::c_void }));
    }
    mask(libc::SIG_UNBLOCK, &[low, high])?;
    let got: Vec<i32> = ORDER.iter().take(4).map(|o| o.load(SeqCst)).collect();
    // Linux delivers the lowest first, and queued ones in order; the frames stack, so the mask keeps them apart.
    eq!(got, vec![low * 100 + 2, low * 100 + 3, high * 100 + 1, high * 100 + 4]);
    Ok(())
}

pub(super) fn pending() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    c!(libc::raise(libc::SIGUSR1));
    // SAFETY: live sets.
    unsafe {
        let mut now: libc::sigset_t = core::mem::zeroed();
        c!(libc::sigpending(&mut now));
        eq!(libc::sigismember(&now, libc::SIGUSR1), 1);
        eq!(libc::sigismember(&now, libc::SIGUSR2), 0);
    }
    let pid = child(|| {
        // SAFETY: a live set.
        unsafe {
            let mut now: libc::sigset_t = core::mem::zeroed();
            libc::sigpending(&mut now);
            libc::sigismember(&now, libc::SIGUSR1) // a child has none
        }
    })?;
    eq!(exit_of(pid)?, 0);
    handle(libc::SIGUSR1, libc::SIG_IGN, 0)?; // and ignoring drops it
    // SAFETY: as above.
    unsafe {
        let mut now: libc::sigset_t = core::mem::zeroed();
        c!(libc::sigpending(&mut now));
        eq!(libc::sigismember(&now, libc::SIGUSR1), 0);
    }
    Ok(())
}

/// A thread that waits for signals for ever.
fn sleeper() {
    std::thread::spawn(|| {
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    });
}

/// A process that sends SIGUSR1 to this one for each byte it is given; the descriptor to write to.
fn sender() -> Result<i32, String> {
    let (r, w) = pipe()?;
    let to = me();
    child(|| {
        close(w);
        while read(r, 1).is_ok_and(|got| !got.is_empty()) {
            // SAFETY: numbers.
            unsafe { libc::kill(to, libc::SIGUSR1) };
        }
        0
    })?;
    close(r);
    Ok(w)
}

/// A signal that comes while its thread starts to block it is another thread's.
pub(super) fn handed_on() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let send = sender()?;
    sleeper();
    for n in 1..=500 {
        mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1])?;
        write(send, b"x")?;
        for _ in 0..n % 50 {
            std::hint::spin_loop();
        }
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
        until("a handler runs", || COUNT.load(SeqCst) == n)?;
    }
    Ok(())
}

/// And one that comes while its thread ends.
pub(super) fn handed_on_at_exit() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let send = sender()?;
    sleeper();
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    for n in 1..=300 {
        let thread = std::thread::spawn(move || {
            let open = mask(libc::SIG_UNBLOCK, &[libc::SIGUSR1]);
            open.and_then(|()| write(send, b"x"))
        });
        thread.join().map_err(|_| "panic")??;
        until("a handler runs", || COUNT.load(SeqCst) == n)?;
    }
    Ok(())
}

/// Who sees a child's end by waiting has its SIGCHLD already.
pub(super) fn sigchld_before_wait() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGCHLD])?;
    let only = set(&[libc::SIGCHLD]);
    for n in 0..1000 {
        let pid = child(|| n % 100)?;
        loop {
            // SAFETY: live variables.
            let (seen, pending) = unsafe {
                let mut info: libc::siginfo_t = core::mem::zeroed();
                let mut pending = core::mem::zeroed();
                let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                c!(libc::waitid(libc::P_PID, pid as u32, &mut info, flags));
                libc::sigpending(&mut pending);
                (info.si_pid() == pid, libc::sigismember(&pending, libc::SIGCHLD) == 1)
            };
            if seen {
                ck!(pending, "child {n} has ended, and there is no SIGCHLD");
                break;
            }
        }
        eq!(exit_of(pid)?, n % 100);
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        eq!(c!(libc::sigtimedwait(&only, null_mut(), &now)), libc::SIGCHLD);
    }
    Ok(())
}
