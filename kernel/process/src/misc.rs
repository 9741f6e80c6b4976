// SPDX-License-Identifier: GPL-2.0
//! System calls about a process that fit nowhere else: limits, `prctl`, `arch_prctl`, `uname`, host name, personality, `sysinfo`.

use crate::ns::time;
use crate::ns::uts::{self, FIELD};
use crate::pid;
use crate::signal::syscalls::this;
use crate::thread::{current_process, process_of, thread_of};
use crate::user::{copy_to_user, read_user, write_user, write_user_opt};
use core::sync::atomic::{AtomicI32, Ordering};
use errno::Result;
use errno::code::{EFAULT, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ESRCH};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KString};
use rlimit::{Limit, Rlimits};
use task::{Task, current};
use x86_cpu::regs::PtRegs;

/// The release string: level of the UAPI headers, then `-rideau`.
pub const RELEASE: &str = uapi::UTS_RELEASE;
/// `AT_PLATFORM`, NUL-terminated.
pub(crate) const PLATFORM: &[u8] = b"x86_64\0";
/// What `uname -v` shows.
pub const VERSION: &str = "#1 SMP PREEMPT Rideau";

/// The host name.
pub fn hostname() -> uts::Name {
    uts::names().node
}

/// `uname(2)`.
pub fn sys_newuname(regs: &PtRegs) -> Result<usize> {
    let names = uts::names();
    let personality = this(|_, thread| Ok(thread.process().personality.load(Ordering::Relaxed)))?;
    let machine: &[u8] = if personality & PER_MASK == PER_LINUX32 { b"i686" } else { b"x86_64" };
    let old_style = if personality & uapi::UNAME26 == 0 { None } else { Some(release_of_26()?) };
    let release = old_style.as_ref().map_or(RELEASE.as_bytes(), |release| release.as_bytes());
    let fields: [&[u8]; 6] = [b"Linux", &names.node, release, VERSION.as_bytes(), machine, &names.domain];
    let mut buffer = [0u8; FIELD * 6];
    for (chunk, field) in buffer.chunks_exact_mut(FIELD).zip(fields) {
        for (to, from) in chunk.iter_mut().take(FIELD - 1).zip(field) {
            *to = *from;
        }
    }
    copy_to_user(regs.arg0(), &buffer)?;
    Ok(0)
}

/// The release, as programs that know only numbers from 2.6 see it with `UNAME26`: 6.1 is 2.6.61 there.
fn release_of_26() -> Result<KString> {
    // What follows the second dot of the release (or what is no number or dot) stays as it is.
    let mut dots = 0;
    let rest = RELEASE.find(|c: char| {
        dots += u32::from(c == '.');
        !(c.is_ascii_digit() || c == '.') || dots >= 3
    });
    let minor = RELEASE.split(|c: char| !c.is_ascii_digit()).nth(1).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    let rest = rest.and_then(|at| RELEASE.get(at..)).unwrap_or("");
    Ok(KString::from_fmt(format_args!("2.6.{}{rest}", minor.saturating_add(60)), GFP_KERNEL)?)
}

fn limits_of(task: &Task) -> Result<Arc<Rlimits>> {
    rlimit::of(task).cloned().ok_or(ESRCH)
}

/// Sets a limit; gives the one before, which is what it was raised from.
fn set_limit(task: &Task, limits: &Rlimits, resource: u32, new: Limit) -> Result<Limit> {
    if new.cur > new.max {
        return Err(EINVAL);
    }
    if resource == uapi::RLIMIT_NOFILE && new.max > u64::from(vfs::tasks::nr_open()) {
        return Err(EPERM);
    }
    let old = limits.update(resource, |old| {
        let allowed = new.max <= old.max || cred::capable(cred::CAP_SYS_RESOURCE);
        if allowed { Ok(new) } else { Err(EPERM) }
    })?;
    if resource == uapi::RLIMIT_CPU
        && let Some(process) = process_of(task)
    {
        crate::cpu_limit::limited(&process, new)?;
    }
    Ok(old)
}

fn check_resource(raw: usize) -> Result<u32> {
    u32::try_from(raw).ok().filter(|&r| (r as usize) < rlimit::COUNT).ok_or(EINVAL)
}

/// `getrlimit(2)`.
pub fn sys_getrlimit(regs: &PtRegs) -> Result<usize> {
    let limit = limits_of(&current())?.get(check_resource(regs.arg0())?);
    write_user(regs.arg1(), &[limit.cur, limit.max])?;
    Ok(0)
}

/// `setrlimit(2)`.
pub fn sys_setrlimit(regs: &PtRegs) -> Result<usize> {
    let resource = check_resource(regs.arg0())?;
    let [cur, max]: [u64; 2] = read_user(regs.arg1())?;
    let task = current();
    set_limit(&task, &*limits_of(&task)?, resource, Limit { cur, max })?;
    Ok(0)
}

/// `prlimit64(2)`.
pub fn sys_prlimit64(regs: &PtRegs) -> Result<usize> {
    // What cannot be read counts first, and whose limits are meant before which.
    let new: Option<[u64; 2]> = match regs.arg2() {
        0 => None,
        address => Some(read_user(address)?),
    };
    let task = match u32::try_from(regs.arg0() as i32).map_err(|_| ESRCH)? {
        0 => current().to_arc(),
        pid => {
            let task = pid::find_thread_here(pid).ok_or(ESRCH)?;
            // Whoever it is, its own are its own.
            if task.tid() != current().tid() {
                check_prlimit(&task)?;
            }
            task
        }
    };
    let resource = check_resource(regs.arg1())?;
    let limits = limits_of(&task)?;
    let old = match new {
        Some([cur, max]) => set_limit(&task, &limits, resource, Limit { cur, max })?,
        None => limits.get(resource),
    };
    write_user_opt(regs.arg3(), &[old.cur, old.max])?;
    Ok(0)
}

/// Another process's limits are for those with all its ids, or `CAP_SYS_RESOURCE`.
fn check_prlimit(task: &Task) -> Result {
    let (mine, theirs) = (cred::current_cred()?, cred::task_cred(task).ok_or(ESRCH)?);
    let same_user = [theirs.euid, theirs.suid, theirs.uid].iter().all(|&id| id == mine.uid);
    let same_group = [theirs.egid, theirs.sgid, theirs.gid].iter().all(|&id| id == mine.gid);
    let allowed = (same_user && same_group) || mine.capable(cred::CAP_SYS_RESOURCE);
    if allowed { Ok(()) } else { Err(EPERM) }
}

/// One more than the number of the last component that XSAVE can have.
const XFEATURE_MAX: usize = 19;

/// `arch_prctl(2)`.
pub fn sys_arch_prctl(regs: &PtRegs) -> Result<usize> {
    let (code, address) = (regs.arg0() as u32, regs.arg1());
    match code {
        uapi::ARCH_SET_FS if task::switch::set_fs_base(address as u64) => {}
        uapi::ARCH_SET_GS if task::switch::set_gs_base(address as u64) => {}
        uapi::ARCH_SET_FS | uapi::ARCH_SET_GS => return Err(EPERM),
        uapi::ARCH_GET_FS => write_user(address, &task::switch::segments().fs_base)?,
        uapi::ARCH_GET_GS => write_user(address, &task::switch::segments().gs_base)?,
        // The instruction is there for everybody; the CPU's way to keep programs from it is not used.
        uapi::ARCH_GET_CPUID => return Ok(1),
        uapi::ARCH_SET_CPUID => return Err(ENODEV),
        uapi::ARCH_GET_XCOMP_SUPP | uapi::ARCH_GET_XCOMP_PERM => {
            /// x87 and SSE, which FXSAVE has.
            const LEGACY: u64 = 3;
            write_user(address, &(x86_fpu::xfeatures() | LEGACY))?;
        }
        // None of the components that a program has to ask for is in use.
        uapi::ARCH_REQ_XCOMP_PERM => return Err(if address >= XFEATURE_MAX { EINVAL } else { EOPNOTSUPP }),
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// `prctl(2)`: the options that are there.
pub fn sys_prctl(regs: &PtRegs) -> Result<usize> {
    let (option, arg) = (regs.arg0() as u32, regs.arg1());
    let task = current();
    match option {
        uapi::PR_SET_NAME => {
            let mut name = [0u8; task::COMM_LEN];
            for (offset, byte) in name.iter_mut().enumerate().take(task::COMM_LEN - 1) {
                *byte = read_user::<u8>(arg.checked_add(offset).ok_or(EFAULT)?)?;
                if *byte == 0 {
                    break;
                }
            }
            let len = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            task.set_comm(name.get(..len).unwrap_or(&[]));
        }
        uapi::PR_GET_NAME => copy_to_user(arg, &task.comm())?,
        uapi::PR_SET_PDEATHSIG => {
            let signal = u32::try_from(arg).ok().filter(|&s| s <= crate::signal::NSIG).ok_or(EINVAL)?;
            this(|_, thread| {
                thread.parent_death_signal.store(signal, Ordering::Relaxed);
                Ok(())
            })?;
        }
        uapi::PR_GET_PDEATHSIG => {
            let signal = this(|_, thread| Ok(thread.parent_death_signal.load(Ordering::Relaxed)))?;
            write_user(arg, &signal)?;
        }
        uapi::PR_SET_CHILD_SUBREAPER => {
            current_process().ok_or(ESRCH)?.subreaper.store(arg != 0, Ordering::Relaxed);
        }
        uapi::PR_GET_CHILD_SUBREAPER => {
            let value = u32::from(current_process().ok_or(ESRCH)?.subreaper.load(Ordering::Relaxed));
            write_user(arg, &value)?;
        }
        uapi::PR_SET_DUMPABLE if arg <= 1 => {
            current_process().ok_or(ESRCH)?.dumpable.store(u8::from(arg != 0), Ordering::Relaxed);
        }
        uapi::PR_GET_DUMPABLE => {
            return Ok(usize::from(current_process().ok_or(ESRCH)?.dumpable.load(Ordering::Relaxed)));
        }
        uapi::PR_SET_NO_NEW_PRIVS if arg == 1 && regs.arg2() == 0 && regs.arg3() == 0 && regs.arg4() == 0 => {
            this(|_, thread| {
                thread.no_new_privs.store(true, Ordering::Relaxed);
                Ok(())
            })?;
        }
        uapi::PR_GET_NO_NEW_PRIVS if arg == 0 && regs.arg2() == 0 && regs.arg3() == 0 && regs.arg4() == 0 => {
            return this(|_, thread| Ok(usize::from(thread.no_new_privs.load(Ordering::Relaxed))));
        }
        // Not positive: back to what the task started with.
        uapi::PR_SET_TIMERSLACK => sched::set_timer_slack_ns(&task, u64::try_from(arg as i64).unwrap_or(0)),
        uapi::PR_GET_TIMERSLACK => return Ok(sched::timer_slack_ns(&task) as usize),
        uapi::PR_CAP_AMBIENT => return crate::setid::prctl_ambient(regs),
        uapi::PR_GET_SECUREBITS => return Ok(cred::current_cred()?.securebits as usize),
        uapi::PR_SET_SECUREBITS => return crate::setid::set_securebits(arg),
        uapi::PR_GET_KEEPCAPS => return Ok(usize::from(cred::current_cred()?.securebits & (1 << 4) != 0)),
        uapi::PR_SET_KEEPCAPS if arg <= 1 => {
            let mut new = (*cred::current_cred()?).clone();
            if new.securebits & 1 << 5 != 0 {
                // `SECBIT_KEEP_CAPS_LOCKED`.
                return Err(EPERM);
            }
            new.securebits = if arg == 1 { new.securebits | 1 << 4 } else { new.securebits & !(1 << 4) };
            cred::commit(Arc::new(new, GFP_KERNEL)?)?;
        }
        uapi::PR_CAPBSET_READ => {
            let cap = u32::try_from(arg).ok().and_then(cred::Cap::from_number).ok_or(EINVAL)?;
            return Ok(usize::from(cred::current_cred()?.cap_bset.has(cap)));
        }
        uapi::PR_CAPBSET_DROP => {
            if !cred::capable(cred::CAP_SETPCAP) {
                return Err(EPERM);
            }
            let cap = u32::try_from(arg).ok().and_then(cred::Cap::from_number).ok_or(EINVAL)?;
            let mut new = (*cred::current_cred()?).clone();
            new.cap_bset = new.cap_bset.without(cap);
            cred::commit(Arc::new(new, GFP_KERNEL)?)?;
        }
        _ => return crate::prctl::more(option, regs),
    }
    Ok(0)
}

/// The execution domain in a personality, and that of 32-bit programs.
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;
/// "Only ask".
const ASK: u32 = u32::MAX;

/// `personality(2)`: `PER_LINUX` and `PER_LINUX32` (what `uname` shows), `ADDR_NO_RANDOMIZE`, `ADDR_COMPAT_LAYOUT`, `MMAP_PAGE_ZERO` (from
/// the next program on), `READ_IMPLIES_EXEC` (until then), `STICKY_TIMEOUTS`, `UNAME26`. The other bits change nothing for 64-bit programs.
pub fn sys_personality(regs: &PtRegs) -> Result<usize> {
    let wanted = regs.arg0() as u32;
    this(|_, thread| {
        let old = thread.process().personality.load(Ordering::Relaxed);
        if wanted != ASK {
            thread.process().personality.store(wanted, Ordering::Relaxed);
            mm::with_current_mm(|mm| {
                mm.set_read_implies_exec(wanted & uapi::READ_IMPLIES_EXEC != 0);
                Ok(())
            })?;
        }
        Ok(old as usize)
    })
}

/// `getcpu(2)`.
pub fn sys_getcpu(regs: &PtRegs) -> Result<usize> {
    write_user_opt(regs.arg0(), &x86_cpu::cpu_id())?;
    write_user_opt(regs.arg1(), &0u32)?;
    Ok(0)
}

/// `sysinfo(2)`.
pub fn sys_sysinfo(regs: &PtRegs) -> Result<usize> {
    let memory = mm::meminfo();
    let bytes = |pages: u64| pages.saturating_mul(mm_alloc::PAGE_SIZE as u64);
    let (swap_total, swap_free) = mm::swap::totals();
    let (total, free, shared) = (bytes(memory.total), bytes(memory.free), bytes(memory.shmem));
    // Threads, whatever the name says.
    let processes = u64::from(pid::thread_count());
    let uptime = time::shown(time::Shifted::Boottime, ktime::boottime_ns()) / 1_000_000_000;
    // struct sysinfo: uptime, loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap, procs + pad, totalhigh,
    // freehigh, mem_unit. Loads have 16 fraction bits here, 11 inside.
    let [l1, l5, l15] = sched::load::averages().map(|l| l << 5);
    let mut words = [0u64; 14];
    let values = [
        uptime,
        l1,
        l5,
        l15,
        total,
        free,
        shared,
        bytes(vfs::hooks::device_pages()),
        bytes(swap_total),
        bytes(swap_free),
        processes & 0xffff,
        0,
        0,
        1,
    ];
    words.copy_from_slice(&values);
    copy_to_user(regs.arg0(), zerocopy::IntoBytes::as_bytes(&words))?;
    Ok(0)
}

const REBOOT_MAGIC1: u32 = 0xfee1_dead;
const REBOOT_MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];
/// Whether ctrl-alt-del restarts at once (not 0) or signals init (`kernel.ctrl-alt-del`).
pub static CTRL_ALT_DEL: AtomicI32 = AtomicI32::new(1);

/// Ctrl-Alt-Del on a console keyboard: restarts, or sends init `SIGINT`. Any context.
pub fn ctrl_alt_del() {
    if CTRL_ALT_DEL.load(Ordering::Relaxed) != 0 {
        crate::hooks::restart();
    } else if let Some(init) = pid::find_thread(1).and_then(|t| process_of(&t)) {
        // A standard signal from the kernel cannot fail for want of room.
        let _ = crate::signal::send_to_process(&init, crate::signal::SigInfo::kernel(uapi::SIGINT));
    }
}

/// Held by who takes the machine down or to sleep.
pub static SYSTEM_TRANSITION: sync::Mutex<()> = sync::Mutex::new(());

/// `reboot(2)` inside a name space of process numbers: its first process is killed, and who waits for it sees a signal that tells why.
fn reboot_namespace(ns: pid::PidNs, command: u32) -> Result<usize> {
    let signal = match command {
        uapi::LINUX_REBOOT_CMD_RESTART | uapi::LINUX_REBOOT_CMD_RESTART2 => uapi::SIGHUP,
        uapi::LINUX_REBOOT_CMD_POWER_OFF | uapi::LINUX_REBOOT_CMD_HALT => uapi::SIGINT,
        _ => return Err(EINVAL),
    };
    ns.set_reboot(signal.cast_signed());
    if let Some(init) = pid::find_thread(ns.reaper()).and_then(|task| process_of(&task)) {
        // `SIGKILL` cannot fail for want of room.
        let _ = crate::signal::send_to_process(&init, crate::signal::SigInfo::kernel(uapi::SIGKILL));
    }
    // The exit does not come back.
    drop(ns);
    crate::exit::do_exit(0)
}

/// `reboot(2)`.
pub fn sys_reboot(regs: &PtRegs) -> Result<usize> {
    if !cred::capable(cred::CAP_SYS_BOOT) {
        return Err(EPERM);
    }
    if regs.arg0() as u32 != REBOOT_MAGIC1 || !REBOOT_MAGIC2.contains(&(regs.arg1() as u32)) {
        return Err(EINVAL);
    }
    let ns = pid_namespace::here();
    if !ns.is_first() {
        return reboot_namespace(ns, regs.arg2() as u32);
    }
    // One at a time, as on Linux: the machine's hooks count on it.
    let _transition = SYSTEM_TRANSITION.lock();
    let down = [
        uapi::LINUX_REBOOT_CMD_RESTART,
        uapi::LINUX_REBOOT_CMD_RESTART2,
        uapi::LINUX_REBOOT_CMD_POWER_OFF,
        uapi::LINUX_REBOOT_CMD_HALT,
    ];
    if down.contains(&(regs.arg2() as u32)) {
        crate::hooks::shut_devices_down();
    }
    match regs.arg2() as u32 {
        uapi::LINUX_REBOOT_CMD_RESTART | uapi::LINUX_REBOOT_CMD_RESTART2 => crate::hooks::restart(),
        uapi::LINUX_REBOOT_CMD_POWER_OFF => crate::hooks::power_off(),
        uapi::LINUX_REBOOT_CMD_HALT => crate::hooks::halt(),
        uapi::LINUX_REBOOT_CMD_CAD_ON => CTRL_ALT_DEL.store(1, Ordering::Relaxed),
        uapi::LINUX_REBOOT_CMD_CAD_OFF => CTRL_ALT_DEL.store(0, Ordering::Relaxed),
        _ => return Err(EINVAL),
    }
    // A machine that cannot do it leaves us here.
    if matches!(regs.arg2() as u32, uapi::LINUX_REBOOT_CMD_CAD_ON | uapi::LINUX_REBOOT_CMD_CAD_OFF) {
        Ok(0)
    } else {
        let _ = thread_of(&current());
        Err(ENODEV)
    }
}
