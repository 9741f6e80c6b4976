// SPDX-License-Identifier: GPL-2.0
//! Capabilities that files give to who executes them (`security.capability`), and what executing does to rights else.

use super::program;
use crate::util::*;
use crate::{c, ck, eq, fails};
use std::ffi::CString;

const NET_RAW: u32 = 13;
const SYS_PTRACE: u32 = 19;
const SYS_TIME: u32 = 25;
const BPF: u32 = 39;
/// A bit of the flags of the attribute.
const EFFECTIVE: u32 = 1;
const USER: u32 = 1000;

fn set_of(caps: &[u32]) -> u64 {
    caps.iter().fold(0, |set, cap| set | 1 << cap)
}

/// The attribute in the form `version` (1, 2, 3).
fn attribute(version: u32, flags: u32, permitted: &[u32], inheritable: &[u32], root: Option<u32>) -> Vec<u8> {
    let (permitted, inheritable) = (set_of(permitted), set_of(inheritable));
    let mut words = vec![version << 24 | flags, permitted as u32, inheritable as u32];
    words.extend([(permitted >> 32) as u32, (inheritable >> 32) as u32]);
    words.extend(root);
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn set(path: &str, value: &[u8]) -> Outcome {
    let (path, name) = (cstr(path), c"security.capability");
    c!(libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0));
    Ok(())
}

fn get(path: &str) -> Result<Vec<u8>, String> {
    let mut value = [0u8; 64];
    let (path, name) = (cstr(path), c"security.capability");
    let len = c!(libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()));
    Ok(value[..len as usize].to_vec())
}

/// What a program has: permitted, effective, ambient, and whether it was told to be careful.
#[derive(Debug, PartialEq)]
struct Has(u64, u64, u64, bool);

/// The helper that [`run`] executes.
pub fn shown() -> String {
    let status = text("/proc/self/status").unwrap_or_default();
    let set = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_string();
    // SAFETY: numbers.
    let (secure, dumpable) = unsafe { (libc::getauxval(libc::AT_SECURE), libc::prctl(libc::PR_GET_DUMPABLE)) };
    let mut stack = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: live.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut stack) };
    let stack = stack.rlim_cur;
    format!("{} {} {} {secure} {stack} {dumpable}", set("CapPrm:"), set("CapEff:"), set("CapAmb:"))
}

/// Executes the program as it is after `before`; what it has, or errno.
fn run_raw(path: &str, before: impl FnOnce() -> Outcome) -> Result<Result<String, i32>, String> {
    let (r, w) = pipe()?;
    let path = cstr(path);
    let pid = child(|| {
        if before().is_err() {
            return 1;
        }
        let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"caps".as_ptr(), core::ptr::null()];
        // SAFETY: NUL-terminated.
        unsafe {
            libc::dup2(w, 1);
            close(r);
            libc::execv(path.as_ptr(), argv.as_ptr());
        }
        100 + errno()
    })?;
    close(w);
    let text = String::from_utf8_lossy(&read_all(r)?).into_owned();
    close(r);
    match exit_of(pid)? {
        0 => Ok(Ok(text)),
        failed @ 100.. => Ok(Err(failed - 100)),
        other => Err(format!("the program did not get so far: {other}")),
    }
}

fn run(path: &str, before: impl FnOnce() -> Outcome) -> Result<Result<Has, i32>, String> {
    let text = match run_raw(path, before)? {
        Ok(text) => text,
        Err(errno) => return Ok(Err(errno)),
    };
    let words: Vec<&str> = text.split(' ').collect();
    let set = |at: usize| u64::from_str_radix(words.get(at).unwrap_or(&""), 16).map_err(|_| text.clone());
    Ok(Ok(Has(set(0)?, set(1)?, set(2)?, words.get(3) == Some(&"1"))))
}

fn as_user() -> Outcome {
    c!(libc::setgroups(0, core::ptr::null()));
    c!(libc::setresgid(USER, USER, USER));
    c!(libc::setresuid(USER, USER, USER));
    Ok(())
}

/// As [`USER`] with `inheritable` (and nothing else), of which `ambient`, too.
fn as_user_with(inheritable: &[u32], ambient: &[u32]) -> Outcome {
    c!(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0));
    as_user()?;
    let (header, set) = ([0x2008_0522u32, 0], set_of(inheritable));
    let (low, high) = (set as u32, (set >> 32) as u32);
    let keep = if ambient.is_empty() { 0 } else { u32::MAX };
    let data = [low & keep, low & keep, low, high & keep, high & keep, high];
    c!(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()));
    for cap in ambient {
        c!(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, *cap, 0, 0));
    }
    Ok(())
}

fn no_new_privs() -> Outcome {
    c!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    as_user()
}

/// A program that all may execute, with these capabilities.
fn with_caps(value: &[u8]) -> Result<String, String> {
    let path = program(0, 0o755)?;
    set(&path, value)?;
    Ok(path)
}

pub(super) fn given() -> Outcome {
    let both = set_of(&[NET_RAW, BPF]);
    let path = with_caps(&attribute(2, EFFECTIVE, &[NET_RAW, BPF], &[], None))?;
    eq!(run(&path, as_user)?, Ok(Has(both, both, 0, true)));
    eq!(run(&path, no_new_privs)?, Ok(Has(0, 0, 0, true)));
    // Permitted alone are for programs that know of them.
    set(&path, &attribute(2, 0, &[NET_RAW, BPF], &[], None))?;
    eq!(run(&path, as_user)?, Ok(Has(both, 0, 0, true)));
    eq!(run(&path, no_new_privs)?, Ok(Has(0, 0, 0, false)));
    // Inheritable ones are for who has them so.
    let raw = set_of(&[NET_RAW]);
    set(&path, &attribute(2, EFFECTIVE, &[], &[NET_RAW, SYS_TIME], None))?;
    eq!(run(&path, || as_user_with(&[NET_RAW], &[]))?, Ok(Has(raw, raw, 0, true)));
    eq!(run(&path, as_user)?, Ok(Has(0, 0, 0, true)));
    // None at all.
    c!(libc::removexattr(cstr(&path).as_ptr(), c"security.capability".as_ptr()));
    eq!(run(&path, as_user)?, Ok(Has(0, 0, 0, false)));
    Ok(())
}

/// The bounding set holds, and a program that does not know of capabilities starts with all of its own or not at all.
pub(super) fn bounded() -> Outcome {
    let drop_time = || {
        c!(libc::prctl(libc::PR_CAPBSET_DROP, SYS_TIME, 0, 0, 0));
        as_user()
    };
    let path = with_caps(&attribute(2, EFFECTIVE, &[NET_RAW, SYS_TIME], &[], None))?;
    eq!(run(&path, drop_time)?, Err(libc::EPERM));
    set(&path, &attribute(2, 0, &[NET_RAW, SYS_TIME], &[], None))?;
    eq!(run(&path, drop_time)?, Ok(Has(set_of(&[NET_RAW]), 0, 0, true)));
    Ok(())
}

pub(super) fn ambient() -> Outcome {
    let (raw, time) = (set_of(&[NET_RAW]), set_of(&[SYS_TIME]));
    let with_raw = || as_user_with(&[NET_RAW], &[NET_RAW]);
    let path = program(0, 0o755)?;
    eq!(run(&path, with_raw)?, Ok(Has(raw, raw, raw, false)));
    // A file with capabilities gives its own only; so does a set-id one.
    set(&path, &attribute(2, EFFECTIVE, &[SYS_TIME], &[], None))?;
    eq!(run(&path, with_raw)?, Ok(Has(time, time, 0, true)));
    let path = program(33, 0o4755)?;
    eq!(run(&path, with_raw)?, Ok(Has(0, 0, 0, true)));
    Ok(())
}

/// Root's own rights, and those of who becomes root by a file.
pub(super) fn root() -> Outcome {
    let raw = set_of(&[NET_RAW]);
    let all = || Ok(());
    let plain = program(0, 0o755)?;
    let Ok(Has(full, effective, 0, false)) = run(&plain, all)? else { return Err("root has no rights".into()) };
    ck!(full == effective && full & raw != 0);
    // A file's capabilities take nothing from root.
    set(&plain, &attribute(2, EFFECTIVE, &[NET_RAW], &[], None))?;
    eq!(run(&plain, all)?, Ok(Has(full, full, 0, false)));
    // But who becomes root by a file with capabilities gets those.
    c!(libc::chmod(cstr(&plain).as_ptr(), 0o4755));
    eq!(run(&plain, as_user)?, Ok(Has(raw, raw, 0, true)));
    c!(libc::removexattr(cstr(&plain).as_ptr(), c"security.capability".as_ptr()));
    eq!(run(&plain, as_user)?, Ok(Has(full, full, 0, true)));
    // SECBIT_NOROOT: root is a user like others.
    let no_root = || {
        c!(libc::prctl(libc::PR_SET_SECUREBITS, 1, 0, 0, 0));
        Ok(())
    };
    eq!(run(&plain, no_root)?, Ok(Has(0, 0, 0, false)));
    set(&plain, &attribute(2, EFFECTIVE, &[NET_RAW], &[], None))?;
    eq!(run(&plain, no_root)?, Ok(Has(raw, raw, 0, false)));
    Ok(())
}

/// The third form belongs to the root of a user name space; of this one it is shown as the second.
pub(super) fn forms() -> Outcome {
    let raw = set_of(&[NET_RAW]);
    let path = with_caps(&attribute(3, EFFECTIVE, &[NET_RAW], &[], Some(0)))?;
    eq!(get(&path)?, attribute(2, EFFECTIVE, &[NET_RAW], &[], None));
    eq!(run(&path, as_user)?, Ok(Has(raw, raw, 0, true)));
    let foreign = attribute(3, EFFECTIVE, &[NET_RAW], &[], Some(USER));
    set(&path, &foreign)?;
    eq!(get(&path)?, foreign);
    eq!(run(&path, as_user)?, Ok(Has(0, 0, 0, false)));
    let name = c"security.capability";
    for (wrong, error) in [
        (attribute(3, 0, &[], &[], Some(u32::MAX)), libc::EINVAL),
        (attribute(2, 2, &[], &[], None), libc::EINVAL),
        (attribute(1, 0, &[], &[], None), libc::EINVAL),
        (attribute(2, 0, &[], &[], Some(0)), libc::EINVAL),
    ] {
        fails!(libc::setxattr(cstr(&path).as_ptr(), name.as_ptr(), wrong.as_ptr().cast(), wrong.len(), 0), error);
    }
    Ok(())
}

/// Who changes a file takes its capabilities away, root too.
pub(super) fn taken_away() -> Outcome {
    let value = attribute(2, EFFECTIVE, &[NET_RAW], &[], None);
    let path = dir()? + "/data";
    std::fs::write(&path, "some text").map_err(|e| e.to_string())?;
    let name: CString = cstr(&path);
    let gone = |what: &str| -> Outcome {
        let mut value = [0u8; 64];
        // SAFETY: live bytes.
        let got =
            unsafe { libc::getxattr(name.as_ptr(), c"security.capability".as_ptr(), value.as_mut_ptr().cast(), 64) };
        ck!(got == -1 && errno() == libc::ENODATA, "after {what}: {got}, {}", errno_name());
        Ok(())
    };
    // Twice: the first time it is found out that there are none.
    for _ in 0..2 {
        set(&path, &value)?;
        let fd = open(&path, libc::O_WRONLY)?;
        eq!(get(&path)?, value);
        eq!(write(fd, b"x")?, 1);
        gone("write")?;
        set(&path, &value)?;
        c!(libc::ftruncate(fd, 2));
        gone("ftruncate")?;
        set(&path, &value)?;
        close(fd);
        eq!(get(&path)?, value);
        c!(libc::chown(name.as_ptr(), 5, 5));
        gone("chown")?;
        set(&path, &value)?;
        close(open(&path, libc::O_WRONLY | libc::O_TRUNC)?);
        gone("O_TRUNC")?;
        // What changes no contents leaves them.
        set(&path, &value)?;
        c!(libc::chmod(name.as_ptr(), 0o644));
        close(open(&path, libc::O_RDWR)?);
        eq!(get(&path)?, value);
    }
    Ok(())
}

/// On a mount with `nosuid` they do not count.
pub(super) fn nosuid() -> Outcome {
    let path = with_caps(&attribute(2, EFFECTIVE, &[NET_RAW], &[], None))?;
    in_child(|| {
        c!(libc::unshare(libc::CLONE_NEWNS));
        let (dir, none) = (cstr(&dir()?), core::ptr::null());
        c!(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, core::ptr::null()));
        c!(libc::mount(dir.as_ptr(), dir.as_ptr(), none, libc::MS_BIND, core::ptr::null()));
        let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_NOSUID;
        c!(libc::mount(none, dir.as_ptr(), none, flags, core::ptr::null()));
        eq!(run(&path, as_user)?, Ok(Has(0, 0, 0, false)));
        Ok(())
    })
}

/// Nor where somebody without them has a hand in the program: a tracer, a process with the same directories.
pub(super) fn unsafe_company() -> Outcome {
    let path = with_caps(&attribute(2, EFFECTIVE, &[NET_RAW], &[], None))?;
    let raw = set_of(&[NET_RAW]);
    let traced = |privileged: bool| -> Result<Result<Has, i32>, String> {
        // The child is the tracer of what it forks.
        run(&path, || {
            if privileged {
                c!(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0));
            }
            as_user()?;
            if privileged {
                let (header, cap) = ([0x2008_0522u32, 0], 1 << SYS_PTRACE);
                let data = [cap, cap, 0, 0, 0, 0];
                c!(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()));
            }
            let pid = c!(libc::fork());
            if pid == 0 {
                c!(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0));
                return Ok(());
            }
            loop {
                let status = wait(pid)?;
                if !libc::WIFSTOPPED(status) {
                    // SAFETY: ends this process as its child ended.
                    unsafe { libc::_exit(libc::WEXITSTATUS(status)) };
                }
                // The trap after execve goes no further.
                let signal = if libc::WSTOPSIG(status) == libc::SIGTRAP { 0 } else { libc::WSTOPSIG(status) };
                c!(libc::ptrace(libc::PTRACE_CONT, pid, 0, signal));
            }
        })
    };
    eq!(traced(false)?, Ok(Has(0, 0, 0, true)));
    eq!(traced(true)?, Ok(Has(raw, raw, 0, true)));
    let shared = run(&path, || {
        as_user()?;
        let flags = libc::CLONE_FS | libc::SIGCHLD;
        let pid = c!(libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)) as i32;
        if pid != 0 {
            let code = exit_of(pid)?;
            // SAFETY: ends this process as its child ended.
            unsafe { libc::_exit(code) };
        }
        Ok(())
    })?;
    eq!(shared, Ok(Has(0, 0, 0, true)));
    Ok(())
}

/// What a user may not read it may not read in memory, either.
pub(super) fn unreadable() -> Outcome {
    let path = program(0, 0o755)?;
    let dumpable = |path: &str| -> Result<bool, String> {
        let text = run_raw(path, as_user)?.map_err(name_of)?;
        Ok(text.ends_with(" 1"))
    };
    eq!(dumpable(&path)?, true);
    c!(libc::chmod(cstr(&path).as_ptr(), 0o711));
    eq!(dumpable(&path)?, false);
    Ok(())
}

/// Nor by who traces it from before its start.
pub(super) fn unreadable_traced() -> Outcome {
    let path = program(0, 0o711)?;
    let file = cstr(&path);
    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"0".as_ptr(), core::ptr::null()];
    let look = |readable: bool| {
        in_child(|| {
            as_user()?;
            // SAFETY: NUL-terminated.
            let traced = child(|| unsafe {
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                libc::execv(file.as_ptr(), argv.as_ptr());
                99
            })?;
            let status = wait(traced)?;
            ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP, "{status:#x}");
            // SAFETY: plain numbers.
            let mut regs: libc::user_regs_struct = unsafe { core::mem::zeroed() };
            c!(libc::ptrace(libc::PTRACE_GETREGS, traced, 0, &mut regs));
            let mut word = 0u64;
            let request = libc::PTRACE_PEEKDATA as usize;
            // SAFETY: a word of this frame.
            let got = unsafe { libc::syscall(libc::SYS_ptrace, request, traced, regs.rsp, &raw mut word) };
            ck!(readable == (got == 0) && (readable || errno() == libc::EIO), "{got}, {}", errno_name());
            c!(libc::kill(traced, libc::SIGKILL));
            eq!(signal_of(traced)?, libc::SIGKILL);
            Ok(())
        })
    };
    look(false)?;
    c!(libc::chmod(file.as_ptr(), 0o755));
    look(true)
}

/// A program with more rights than its caller does not get a stack that is as large as that likes.
pub(super) fn stack_limit() -> Outcome {
    let path = program(33, 0o755)?;
    let limit = |path: &str, soft: u64| -> Result<String, String> {
        let before = || {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: libc::RLIM_INFINITY };
            c!(libc::setrlimit(libc::RLIMIT_STACK, &limit));
            as_user()
        };
        let text = run_raw(path, before)?.map_err(name_of)?;
        Ok(text.split(' ').nth(4).unwrap_or("?").into())
    };
    eq!(limit(&path, 64 << 20)?, (64 << 20).to_string());
    c!(libc::chmod(cstr(&path).as_ptr(), 0o4755));
    eq!(limit(&path, 64 << 20)?, (8 << 20).to_string());
    eq!(limit(&path, 4 << 20)?, (4 << 20).to_string());
    Ok(())
}

/// Whoever begins to trace a program while it starts either has not the right to any more, or keeps it from getting its own.
pub(super) fn attach_race() -> Outcome {
    let path = with_caps(&attribute(2, EFFECTIVE, &[NET_RAW], &[], None))?;
    let path = cstr(&path);
    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"0".as_ptr(), core::ptr::null()];
    in_child(|| {
        as_user()?;
        for n in 0..200 {
            let victim = child(|| {
                // SAFETY: NUL-terminated.
                unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
                99
            })?;
            for _ in 0..n * 200 {
                std::hint::spin_loop();
            }
            // SAFETY: numbers.
            if unsafe { libc::ptrace(libc::PTRACE_ATTACH, victim, 0, 0) } == -1 {
                ck!([libc::EPERM, libc::ESRCH].contains(&errno()), "attach: {}", errno_name());
                eq!(exit_of(victim)?, 0);
                continue;
            }
            loop {
                let status = wait(victim)?;
                if !libc::WIFSTOPPED(status) {
                    break;
                }
                let caps = text(&format!("/proc/{victim}/status"))?;
                ck!(caps.contains("\nCapPrm:\t0000000000000000\n"), "traced by an unprivileged one:\n{caps}");
                c!(libc::ptrace(libc::PTRACE_CONT, victim, 0, 0));
            }
        }
        Ok(())
    })
}

/// A program that is given to root loses its bits by that: at no moment does it run as root.
pub(super) fn given_away() -> Outcome {
    const OWNER: u32 = 1001;
    // As the helper tells them; AT_SECURE adds 100.
    let (root, owner, caller) = (100, (OWNER as i32 + 100) & 0xff, USER as i32 & 0xff);
    let path = program(OWNER, 0o4755)?;
    let file = cstr(&path);
    let giver = child(|| {
        loop {
            // SAFETY: NUL-terminated.
            unsafe {
                libc::chown(file.as_ptr(), 0, 0);
                libc::chown(file.as_ptr(), OWNER, OWNER);
                libc::chmod(file.as_ptr(), 0o4755);
            }
        }
    })?;
    for turn in 0..300 {
        let ran = super::run_as_user(&path, || ())?;
        ck!(ran != root, "turn {turn}: as root");
        ck!([owner, caller].contains(&ran), "turn {turn}: {ran}");
    }
    c!(libc::kill(giver, libc::SIGKILL));
    eq!(signal_of(giver)?, libc::SIGKILL);
    Ok(())
}
