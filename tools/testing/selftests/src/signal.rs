// SPDX-License-Identifier: GPL-2.0
//! Signals: delivery, masks, restart, alternate stacks, what the handler is told.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::ptr::{null, null_mut};

pub const TESTS: &[Test] = &[
    ("signal.handler", handler),
    ("signal.siginfo_kill", siginfo_kill),
    ("signal.siginfo_queue", siginfo_queue),
    ("signal.siginfo_segv", siginfo_segv),
    ("signal.siginfo_fpe_ill", siginfo_fpe_ill),
    ("signal.siginfo_bus", siginfo_bus),
    ("signal.siginfo_chld", siginfo_chld),
    ("signal.context_changes_rip", context),
    ("signal.keeps_registers", keeps_fpu),
    ("signal.context_changes_fpu", context_fpu),
    ("signal.bad_fpu_frame_kills", bad_fpu),
    ("signal.mask_blocks", mask_blocks),
    ("signal.mask_in_handler", mask_in_handler),
    ("signal.nodefer_resethand", nodefer),
    ("signal.order_and_realtime", realtime),
    ("signal.pending", pending),
    ("signal.restart", restart),
    ("signal.eintr", eintr),
    ("signal.nanosleep_remaining", nanosleep_remaining),
    ("signal.altstack", altstack),
    ("signal.altstack_overflow", altstack_overflow),
    ("signal.default_actions", defaults),
    ("signal.uncatchable", uncatchable),
    ("signal.sigsuspend", sigsuspend),
    ("signal.sigtimedwait", sigtimedwait),
    ("signal.signalfd", signalfd),
    ("signal.kill_errors", kill_errors),
    ("signal.kill_group", kill_group),
    ("signal.tgkill", tgkill),
    ("signal.alarm", alarm),
    ("signal.itimer", itimer),
    ("signal.pipe", sigpipe),
    ("signal.core_dump_bit", core_bit),
    ("signal.bad_stack_kills", bad_stack),
];

static COUNT: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static FROM: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);
static SAW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    COUNT.fetch_add(1, SeqCst);
}

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    COUNT.fetch_add(1, SeqCst);
    // SAFETY: the kernel gives a complete siginfo; the fields are read as words whatever the code.
    unsafe {
        CODE.store((*info).si_code, SeqCst);
        FROM.store((*info).si_pid(), SeqCst);
        VALUE.store((*info).si_value().sival_ptr as u64, SeqCst);
    }
}

fn me() -> i32 {
    std::process::id() as i32
}

fn on(signal: i32, flags: i32) -> Outcome {
    handle(signal, count as *const () as usize, flags)
}

fn on_info(signal: i32, flags: i32) -> Outcome {
    handle(signal, note as *const () as usize, flags | libc::SA_SIGINFO)
}

fn handler() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    for want in 1..=100 {
        c!(libc::kill(me(), libc::SIGUSR1));
        eq!(COUNT.load(SeqCst), want);
    }
    c!(libc::raise(libc::SIGUSR1));
    eq!(COUNT.load(SeqCst), 101);
    Ok(())
}

fn siginfo_kill() -> Outcome {
    on_info(libc::SIGUSR1, libc::SA_RESTART)?;
    c!(libc::kill(me(), libc::SIGUSR1));
    eq!(CODE.load(SeqCst), libc::SI_USER);
    eq!(FROM.load(SeqCst), me());
    c!(libc::raise(libc::SIGUSR1));
    eq!(CODE.load(SeqCst), libc::SI_TKILL);
    let parent = me();
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe { libc::kill(parent, libc::SIGUSR1) }
    })?;
    eq!(exit_of(pid)?, 0);
    until("the child's signal", || COUNT.load(SeqCst) == 3)?;
    eq!(FROM.load(SeqCst), pid);
    Ok(())
}

fn siginfo_queue() -> Outcome {
    on_info(libc::SIGUSR1, 0)?;
    c!(libc::sigqueue(me(), libc::SIGUSR1, libc::sigval { sival_ptr: 0x1234_5678 as *mut libc::c_void }));
    eq!(CODE.load(SeqCst), libc::SI_QUEUE);
    eq!(VALUE.load(SeqCst), 0x1234_5678);
    Ok(())
}

static ADDRESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn fault(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: a fault's siginfo; then the process ends.
    unsafe {
        let right = (*info).si_addr() as usize == ADDRESS.load(SeqCst) && (*info).si_signo == signal;
        libc::_exit(if right { (*info).si_code } else { 99 });
    }
}

/// In a child: provokes a fault; its si_code must be `code` and its address the one noted.
fn faulting(signal: i32, code: i32, address: usize, provoke: impl FnOnce()) -> Outcome {
    let pid = child(|| {
        ADDRESS.store(address, SeqCst);
        let _ = handle(signal, fault as *const () as usize, libc::SA_SIGINFO);
        provoke();
        98
    })?;
    eq!(exit_of(pid)?, code);
    Ok(())
}

fn page(prot: i32) -> Result<*mut u8, String> {
    Ok(c!(libc::mmap(null_mut(), 4096, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)) as *mut u8)
}

fn siginfo_segv() -> Outcome {
    // SAFETY: meant to fault, in a child.
    faulting(libc::SIGSEGV, 1, 0x1008, || unsafe {
        (0x1008 as *const u8).read_volatile();
    })?;
    let ro = page(libc::PROT_READ)?;
    // SAFETY: as above.
    faulting(libc::SIGSEGV, 2, ro as usize + 5, || unsafe { ro.add(5).write_volatile(1) })?;
    let none = page(libc::PROT_NONE)?;
    // SAFETY: as above.
    faulting(libc::SIGSEGV, 2, none as usize, || unsafe {
        none.read_volatile();
    })?;
    // A jump to a page that is not executable.
    let data = page(libc::PROT_READ | libc::PROT_WRITE)?;
    // SAFETY: as above.
    faulting(libc::SIGSEGV, 2, data as usize, || unsafe { core::mem::transmute::<*mut u8, extern "C" fn()>(data)() })?;
    // The kernel's half, and an address that is no address (SI_KERNEL, address 0).
    // SAFETY: as above.
    faulting(libc::SIGSEGV, 1, 0xffff_ffff_8000_0000, || unsafe {
        (0xffff_ffff_8000_0000usize as *const u8).read_volatile();
    })?;
    // SAFETY: as above.
    faulting(libc::SIGSEGV, 0x80, 0, || unsafe {
        (0x8000_0000_0000_0000usize as *const u8).read_volatile();
    })
}

fn siginfo_fpe_ill() -> Outcome {
    extern "C" fn code(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: ends the process with the code.
        unsafe { libc::_exit((*info).si_code) };
    }
    let run = |signal: i32, provoke: fn()| -> Result<i32, String> {
        exit_of(child(|| {
            let _ = handle(signal, code as *const () as usize, libc::SA_SIGINFO);
            provoke();
            98
        })?)
    };
    // SAFETY: meant to trap, in a child.
    eq!(
        run(libc::SIGFPE, || unsafe {
            core::arch::asm!("xor ecx, ecx", "mov eax, 1", "cdq", "idiv ecx", out("eax") _, out("ecx") _, out("edx") _)
        })?,
        1
    );
    // SAFETY: as above.
    eq!(run(libc::SIGILL, || unsafe { core::arch::asm!("ud2") })?, 2); // ILL_ILLOPN
    // SAFETY: as above.
    eq!(run(libc::SIGTRAP, || unsafe { core::arch::asm!("int3") })?, 0x80); // SI_KERNEL
    // SAFETY: as above: a privileged instruction.
    eq!(run(libc::SIGSEGV, || unsafe { core::arch::asm!("hlt") })?, 0x80);
    Ok(())
}

fn siginfo_bus() -> Outcome {
    let path = dir()? + "/short";
    std::fs::write(&path, b"x").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDWR)?;
    let at = c!(libc::mmap(null_mut(), 8192, libc::PROT_READ, libc::MAP_SHARED, fd, 0)) as usize;
    // SAFETY: meant to fault: beyond the file's last page.
    faulting(libc::SIGBUS, 2, at + 4096, || unsafe {
        ((at + 4096) as *const u8).read_volatile();
    })
}

fn siginfo_chld() -> Outcome {
    on_info(libc::SIGCHLD, 0)?;
    let pid = child(|| 5)?;
    until("SIGCHLD", || COUNT.load(SeqCst) == 1)?;
    eq!(CODE.load(SeqCst), libc::CLD_EXITED);
    eq!(FROM.load(SeqCst), pid);
    eq!(exit_of(pid)?, 5);
    handle(libc::SIGCHLD, note as *const () as usize, libc::SA_SIGINFO | libc::SA_NOCLDSTOP)?;
    let pid = child(|| {
        loop {
            sleep_ms(10);
        }
    })?;
    c!(libc::kill(pid, libc::SIGSTOP));
    let mut status = 0;
    c!(libc::waitpid(pid, &mut status, libc::WUNTRACED));
    eq!(COUNT.load(SeqCst), 1);
    c!(libc::kill(pid, libc::SIGKILL));
    until("SIGCHLD again", || COUNT.load(SeqCst) == 2)?;
    eq!(CODE.load(SeqCst), libc::CLD_KILLED);
    Ok(())
}

extern "C" fn skip_ud2(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the third argument is a ucontext; rip is at a two-byte instruction.
    unsafe {
        let context = context.cast::<libc::ucontext_t>();
        (*context).uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
        (*context).uc_mcontext.gregs[libc::REG_RBX as usize] = 0x5150;
    }
}

fn context() -> Outcome {
    handle(libc::SIGILL, skip_ud2 as *const () as usize, libc::SA_SIGINFO)?;
    let value: u64;
    // SAFETY: the handler steps over ud2 and sets rbx, which is saved around.
    unsafe { core::arch::asm!("push rbx", "xor ebx, ebx", "ud2", "mov {0}, rbx", "pop rbx", out(reg) value) };
    eq!(value, 0x5150);
    Ok(())
}

extern "C" fn clobber(_: i32) {
    // SAFETY: only registers that a handler may change.
    unsafe {
        core::arch::asm!("pxor xmm6, xmm6", "pxor xmm15, xmm15", "xor r10d, r10d", out("xmm6") _, out("xmm15") _, out("r10") _)
    };
    COUNT.fetch_add(1, SeqCst);
}

fn keeps_fpu() -> Outcome {
    handle(libc::SIGUSR1, clobber as *const () as usize, 0)?;
    let (pid, nr, signal) = (me() as u64, libc::SYS_kill, libc::SIGUSR1 as u64);
    let (low, high, saved): (u64, u64, u64);
    let (r15, r10): (u64, u64);
    // SAFETY: kill() of itself; every register named is declared.
    unsafe {
        core::arch::asm!(
            "movq xmm6, {a}", "movq xmm15, {b}", "mov r10, 0x1111", "mov r15, 0x2222",
            "syscall",
            "movq {a}, xmm6", "movq {b}, xmm15",
            a = inout(reg) 0x0123_4567_89ab_cdefu64 => low, b = inout(reg) 0xfedc_ba98_7654_3210u64 => high,
            inout("rax") nr => saved, in("rdi") pid, in("rsi") signal, out("rcx") _, out("r11") _, out("r10") r10, out("r15") r15,
            out("xmm6") _, out("xmm15") _,
        );
    }
    eq!(saved, 0);
    eq!(COUNT.load(SeqCst), 1);
    eq!((low, high, r10, r15), (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x1111, 0x2222));
    Ok(())
}

/// The vector state in the frame.
///
/// # Safety
/// `context` is what a handler was given.
unsafe fn frame_fpu<'a>(context: *mut libc::c_void) -> &'a mut libc::_libc_fpstate {
    // SAFETY: by the contract; the kernel always writes the legacy part.
    unsafe { &mut *(*context.cast::<libc::ucontext_t>()).uc_mcontext.fpregs }
}

extern "C" fn set_xmm6(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let mut now = 0u32;
    // SAFETY: a handler's context, and a word to store MXCSR to.
    unsafe {
        core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut now, options(nostack));
        let fpu = frame_fpu(context);
        fpu._xmm[6].element = [1, 2, 3, 4];
        VALUE.store(u64::from(now) << 32 | u64::from(fpu.mxcsr), SeqCst);
    }
}

/// What a handler writes into the frame is in the registers afterwards; it starts itself with initial ones.
fn context_fpu() -> Outcome {
    handle(libc::SIGUSR1, set_xmm6 as *const () as usize, libc::SA_SIGINFO)?;
    let (pid, nr, signal) = (me() as u64, libc::SYS_kill, libc::SIGUSR1 as u64);
    let (changed, kept): (u64, u64);
    let (mut flush, normal) = (0x9f80u32, 0x1f80u32);
    // SAFETY: kill() of itself; every register named is declared, MXCSR is put back.
    unsafe {
        core::arch::asm!(
            "ldmxcsr [{flush}]", "movq xmm6, {a}", "movq xmm7, {a}", "syscall", "movq {a}, xmm6", "movq {b}, xmm7",
            "stmxcsr [{flush}]", "ldmxcsr [{normal}]",
            a = inout(reg) 0x77u64 => changed, b = out(reg) kept, flush = in(reg) &raw mut flush, normal = in(reg) &normal,
            inout("rax") nr => _, in("rdi") pid, in("rsi") signal, out("rcx") _, out("r11") _,
            out("xmm6") _, out("xmm7") _, options(nostack),
        );
    }
    eq!((changed, kept), (2 << 32 | 1, 0x77));
    eq!(VALUE.load(SeqCst), 0x1f80 << 32 | 0x9f80);
    eq!(flush & !0x3f, 0x9f80); // but for what raised flags
    Ok(())
}

extern "C" fn spoil_header(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: a handler's context; where there is XSAVE its header follows the 512 bytes of the legacy part.
    unsafe { core::ptr::from_mut(frame_fpu(context)).cast::<u64>().add(64).write_unaligned(u64::MAX) };
}

/// Components that do not exist named in the frame: the return is a SIGSEGV, and no trouble for the kernel. After a handler for
/// that the program goes on where the first signal found it.
fn bad_fpu() -> Outcome {
    if !std::is_x86_feature_detected!("xsave") {
        return Err(format!("{SKIP}the CPU has no XSAVE"));
    }
    let pid = child(|| {
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        let _ = handle(libc::SIGUSR1, spoil_header as *const () as usize, libc::SA_SIGINFO);
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    let pid = child(|| {
        let _ = handle(libc::SIGSEGV, count as *const () as usize, 0);
        let _ = handle(libc::SIGUSR1, spoil_header as *const () as usize, libc::SA_SIGINFO);
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        COUNT.load(SeqCst)
    })?;
    eq!(exit_of(pid)?, 1);
    Ok(())
}

fn mask_blocks() -> Outcome {
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

fn mask_in_handler() -> Outcome {
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

fn nodefer() -> Outcome {
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

fn realtime() -> Outcome {
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

fn pending() -> Outcome {
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

/// A child that sends `signal` to this process after 100 ms and, if asked, a byte to `fd` after 200.
fn later(signal: i32, fd: Option<i32>) -> Result<i32, String> {
    let parent = me();
    child(|| {
        sleep_ms(100);
        // SAFETY: numbers.
        unsafe { libc::kill(parent, signal) };
        sleep_ms(100);
        if let Some(fd) = fd {
            let _ = write(fd, b"k");
        }
        0
    })
}

fn restart() -> Outcome {
    on(libc::SIGUSR1, libc::SA_RESTART)?;
    let (r, w) = pipe()?;
    let pid = later(libc::SIGUSR1, Some(w))?;
    eq!(read(r, 1)?, b"k");
    eq!(COUNT.load(SeqCst), 1);
    eq!(exit_of(pid)?, 0);
    // wait restarts too
    let slow = child(|| {
        sleep_ms(300);
        8
    })?;
    let pid = later(libc::SIGUSR1, None)?;
    eq!(exit_of(slow)?, 8);
    eq!(COUNT.load(SeqCst), 2);
    eq!(exit_of(pid)?, 0);
    // poll does not, SA_RESTART or not
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::poll(null_mut(), 0, 3000), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    // an ignored signal, and stop and continue, are not seen
    handle(libc::SIGUSR1, libc::SIG_IGN, 0)?;
    let pid = later(libc::SIGUSR1, Some(w))?;
    eq!(read(r, 1)?, b"k");
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn eintr() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let (r, _w) = pipe()?;
    let mut byte = 0u8;
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::read(r, (&raw mut byte).cast(), 1), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    let pid = later(libc::SIGUSR1, None)?;
    fails!(libc::pause(), libc::EINTR);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn nanosleep_remaining() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let pid = later(libc::SIGUSR1, None)?;
    let want = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    fails!(libc::nanosleep(&want, &mut left), libc::EINTR);
    ck!(left.tv_sec == 4, "{}.{:09} left", left.tv_sec, left.tv_nsec);
    eq!(exit_of(pid)?, 0);
    // Stopped and continued it goes on to its end (restart block).
    let pid = child(|| {
        let start = now_ms();
        // SAFETY: live structures.
        let ret = unsafe { libc::nanosleep(&libc::timespec { tv_sec: 0, tv_nsec: 400_000_000 }, null_mut()) };
        i32::from(ret != 0 || now_ms() - start < 400)
    })?;
    sleep_ms(100);
    c!(libc::kill(pid, libc::SIGSTOP));
    sleep_ms(50);
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(exit_of(pid)?, 0);
    Ok(())
}

extern "C" fn where_am_i(_: i32) {
    let local = 0u8;
    SAW.store(&raw const local as usize, SeqCst);
    // SAFETY: a live structure.
    unsafe {
        let mut now: libc::stack_t = core::mem::zeroed();
        libc::sigaltstack(null(), &mut now);
        CODE.store(now.ss_flags, SeqCst);
    }
}

fn altstack() -> Outcome {
    let stack = vec![0u8; 65536];
    let base = stack.as_ptr() as usize;
    let new = libc::stack_t { ss_sp: base as *mut libc::c_void, ss_flags: 0, ss_size: stack.len() };
    c!(libc::sigaltstack(&new, null_mut()));
    handle(libc::SIGUSR1, where_am_i as *const () as usize, libc::SA_ONSTACK)?;
    c!(libc::raise(libc::SIGUSR1));
    ck!((base..base + stack.len()).contains(&SAW.load(SeqCst)));
    eq!(CODE.load(SeqCst), libc::SS_ONSTACK);
    handle(libc::SIGUSR1, where_am_i as *const () as usize, 0)?;
    c!(libc::raise(libc::SIGUSR1));
    ck!(!(base..base + stack.len()).contains(&SAW.load(SeqCst)));
    let small = libc::stack_t { ss_sp: base as *mut libc::c_void, ss_flags: 0, ss_size: 100 };
    fails!(libc::sigaltstack(&small, null_mut()), libc::ENOMEM);
    // SAFETY: as above.
    unsafe {
        let off = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        c!(libc::sigaltstack(&off, null_mut()));
        let mut now: libc::stack_t = core::mem::zeroed();
        c!(libc::sigaltstack(null(), &mut now));
        eq!(now.ss_flags, libc::SS_DISABLE);
    }
    Ok(())
}

extern "C" fn leave(_: i32) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(44) };
}

fn altstack_overflow() -> Outcome {
    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        let big = [depth; 128];
        core::hint::black_box(&big);
        if depth == u64::MAX { 0 } else { recurse(depth + 1) + big[5] }
    }
    let pid = child(|| {
        let stack = vec![0u8; 65536].leak();
        let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: 65536 };
        // SAFETY: a live structure.
        unsafe { libc::sigaltstack(&new, null_mut()) };
        let _ = handle(libc::SIGSEGV, leave as *const () as usize, libc::SA_ONSTACK);
        recurse(0) as i32
    })?;
    eq!(exit_of(pid)?, 44);
    // Without one there is no place for the frame: the signal kills.
    let pid = child(|| {
        // SAFETY: a live structure: Rust's own alternate stack is switched off.
        unsafe {
            libc::sigaltstack(&libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 }, null_mut())
        };
        let _ = handle(libc::SIGSEGV, leave as *const () as usize, 0);
        recurse(0) as i32
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}

fn defaults() -> Outcome {
    let mut wrong = Vec::new();
    for signal in 1..=64 {
        if [32, 33, libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal) {
            continue;
        }
        let pid = child(|| {
            let _ = handle(signal, libc::SIG_DFL, 0);
            // SAFETY: numbers.
            unsafe { libc::kill(libc::getpid(), signal) };
            77
        })?;
        let status = wait(pid)?;
        let ignored = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH].contains(&signal);
        let right = if ignored {
            libc::WIFEXITED(status)
        } else {
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal
        };
        if !right {
            wrong.push((signal, status));
        }
    }
    eq!(wrong, Vec::new());
    Ok(())
}

fn uncatchable() -> Outcome {
    // SAFETY: all zero is a valid sigaction.
    let act: libc::sigaction = unsafe { core::mem::zeroed() };
    for signal in [libc::SIGKILL, libc::SIGSTOP, 0, 65, -1] {
        let raw: [usize; 4] = [1, 0, 0, 0];
        fails!(libc::syscall(libc::SYS_rt_sigaction, signal, raw.as_ptr(), 0usize, 8usize), libc::EINVAL);
    }
    c!(libc::syscall(libc::SYS_rt_sigaction, libc::SIGKILL, 0usize, &raw const act, 8usize));
    Ok(())
}

fn sigsuspend() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    c!(libc::raise(libc::SIGUSR1));
    let none = set(&[]);
    fails!(libc::sigsuspend(&none), libc::EINTR);
    eq!(COUNT.load(SeqCst), 1);
    c!(libc::raise(libc::SIGUSR1));
    eq!(COUNT.load(SeqCst), 1); // the mask is back
    Ok(())
}

fn sigtimedwait() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1, libc::SIGUSR2])?;
    let want = set(&[libc::SIGUSR1, libc::SIGUSR2]);
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let short = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    fails!(libc::sigtimedwait(&want, &mut info, &short), libc::EAGAIN);
    c!(libc::raise(libc::SIGUSR2));
    eq!(c!(libc::sigtimedwait(&want, &mut info, &short)), libc::SIGUSR2);
    eq!(info.si_code, libc::SI_USER); // glibc makes it so of SI_TKILL
    let pid = later(libc::SIGUSR1, None)?;
    eq!(c!(libc::sigwaitinfo(&want, &mut info)), libc::SIGUSR1);
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn signalfd() -> Outcome {
    mask(libc::SIG_BLOCK, &[libc::SIGUSR1])?;
    let want = set(&[libc::SIGUSR1]);
    // SAFETY: a live set.
    let fd = unsafe { libc::signalfd(-1, &want, libc::SFD_NONBLOCK) };
    if fd < 0 && errno() == libc::ENOSYS {
        return Err(format!("{SKIP}no signalfd"));
    }
    ck!(fd >= 0, "{}", errno_name());
    let mut info = [0u8; 128];
    fails!(libc::read(fd, info.as_mut_ptr().cast(), 128), libc::EAGAIN);
    c!(libc::raise(libc::SIGUSR1));
    eq!(c!(libc::read(fd, info.as_mut_ptr().cast(), 128)), 128);
    eq!(u32::from_ne_bytes([info[0], info[1], info[2], info[3]]), libc::SIGUSR1 as u32);
    Ok(())
}

fn kill_errors() -> Outcome {
    fails!(libc::kill(me(), 65), libc::EINVAL);
    fails!(libc::kill(me(), -1), libc::EINVAL);
    fails!(libc::kill(0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::kill(-0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::syscall(libc::SYS_tgkill, me(), 0x3fff_ffff, 0), libc::ESRCH);
    fails!(libc::syscall(libc::SYS_tgkill, 0, 1, 0), libc::EINVAL);
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::kill(1, 0), libc::EPERM);
        fails!(libc::kill(1, libc::SIGTERM), libc::EPERM);
        Ok(())
    })
}

fn kill_group() -> Outcome {
    let leader = child(|| {
        // SAFETY: numbers.
        unsafe { libc::setpgid(0, 0) };
        for _ in 0..2 {
            let _ = child(|| {
                loop {
                    sleep_ms(10);
                }
            });
        }
        loop {
            sleep_ms(10);
        }
    })?;
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    // SAFETY: numbers.
    until("the group", || unsafe { libc::getpgid(leader) } == leader)?;
    sleep_ms(50);
    c!(libc::kill(-leader, libc::SIGTERM));
    eq!(signal_of(leader)?, libc::SIGTERM);
    for _ in 0..2 {
        let mut status = 0;
        c!(libc::wait(&mut status));
        eq!(libc::WTERMSIG(status), libc::SIGTERM);
    }
    Ok(())
}

fn tgkill() -> Outcome {
    on(libc::SIGUSR1, 0)?;
    let tid = std::sync::Arc::new(AtomicI32::new(0));
    let (theirs, stop) = (tid.clone(), std::sync::Arc::new(AtomicI32::new(0)));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: takes nothing.
        theirs.store(unsafe { libc::gettid() }, SeqCst);
        while stopped.load(SeqCst) == 0 {
            sleep_ms(5);
        }
        COUNT.load(SeqCst)
    });
    until("the thread", || tid.load(SeqCst) != 0)?;
    c!(libc::syscall(libc::SYS_tgkill, me(), tid.load(SeqCst), libc::SIGUSR1));
    until("its signal", || COUNT.load(SeqCst) == 1)?;
    stop.store(1, SeqCst);
    eq!(thread.join().unwrap_or(0), 1);
    Ok(())
}

fn alarm() -> Outcome {
    on(libc::SIGALRM, 0)?;
    // SAFETY: numbers.
    unsafe {
        libc::alarm(100);
        eq!(libc::alarm(1), 100);
        let start = now_ms();
        libc::pause();
        ck!((900..3000).contains(&(now_ms() - start)), "{} ms", now_ms() - start);
        eq!(libc::alarm(0), 0);
    }
    eq!(COUNT.load(SeqCst), 1);
    Ok(())
}

fn itimer() -> Outcome {
    on(libc::SIGALRM, 0)?;
    let ms = |ms: i64| libc::timeval { tv_sec: 0, tv_usec: ms * 1000 };
    let value = libc::itimerval { it_interval: ms(20), it_value: ms(20) };
    // SAFETY: live structures; argument 0 is ITIMER_REAL, 1 ITIMER_VIRTUAL.
    unsafe {
        c!(libc::syscall(libc::SYS_setitimer, 0, &raw const value, 0usize));
        until("five ticks", || COUNT.load(SeqCst) >= 5)?;
        let mut now: libc::itimerval = core::mem::zeroed();
        c!(libc::syscall(libc::SYS_getitimer, 0, &raw mut now));
        eq!(now.it_interval.tv_usec, 20_000);
        let off: libc::itimerval = core::mem::zeroed();
        c!(libc::syscall(libc::SYS_setitimer, 0, &raw const off, 0usize));
        fails!(libc::syscall(libc::SYS_setitimer, 9, &raw const off, 0usize), libc::EINVAL);
    }
    Ok(())
}

fn sigpipe() -> Outcome {
    let (r, w) = pipe()?;
    close(r);
    let pid = child(|| {
        let _ = handle(libc::SIGPIPE, libc::SIG_DFL, 0);
        let _ = write(w, b"x");
        0
    })?;
    eq!(signal_of(pid)?, libc::SIGPIPE);
    handle(libc::SIGPIPE, libc::SIG_IGN, 0)?;
    fails!(libc::write(w, b"x".as_ptr().cast(), 1), libc::EPIPE);
    Ok(())
}

fn core_bit() -> Outcome {
    let zero = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    c!(libc::setrlimit(libc::RLIMIT_CORE, &zero));
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGQUIT) };
        0
    })?;
    let status = wait(pid)?;
    eq!(status, libc::SIGQUIT); // and no 0x80: no core was written
    Ok(())
}

fn bad_stack() -> Outcome {
    let pid = child(|| {
        let _ = on(libc::SIGUSR1, 0);
        let _ = handle(libc::SIGSEGV, libc::SIG_DFL, 0); // Rust's start-up set one, on a stack of its own
        // SAFETY: ends in a signal that cannot be delivered: no stack. Nothing runs after.
        unsafe {
            core::arch::asm!("mov rsp, 0x10", "syscall", "ud2", in("rax") libc::SYS_kill, in("rdi") libc::getpid(), in("rsi") libc::SIGUSR1,
                             options(noreturn))
        }
    })?;
    eq!(signal_of(pid)?, libc::SIGSEGV);
    Ok(())
}
