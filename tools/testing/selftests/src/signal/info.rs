// SPDX-License-Identifier: GPL-2.0
//! What a handler is told.

use super::*;

static FROM: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    COUNT.fetch_add(1, SeqCst);
    // SAFETY: the kernel gives a complete siginfo; the fields are read as words whatever the code.
    unsafe {
        CODE.store((*info).si_code, SeqCst);
        FROM.store((*info).si_pid(), SeqCst);
        VALUE.store((*info).si_value().sival_ptr as u64, SeqCst);
    }
}

fn on_info(signal: i32, flags: i32) -> Outcome {
    handle(signal, note as *const () as usize, flags | libc::SA_SIGINFO)
}

pub(super) fn siginfo_kill() -> Outcome {
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

pub(super) fn siginfo_queue() -> Outcome {
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

pub(super) fn siginfo_segv() -> Outcome {
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

pub(super) fn siginfo_fpe_ill() -> Outcome {
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

pub(super) fn siginfo_bus() -> Outcome {
    let path = dir()? + "/short";
    std::fs::write(&path, b"x").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDWR)?;
    let at = c!(libc::mmap(null_mut(), 8192, libc::PROT_READ, libc::MAP_SHARED, fd, 0)) as usize;
    // SAFETY: meant to fault: beyond the file's last page.
    faulting(libc::SIGBUS, 2, at + 4096, || unsafe {
        ((at + 4096) as *const u8).read_volatile();
    })
}

pub(super) fn siginfo_chld() -> Outcome {
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
