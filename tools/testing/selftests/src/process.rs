// SPDX-License-Identifier: GPL-2.0
//! fork, vfork, clone3, wait, exec and `#!`.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};
use std::ffi::CString;
use std::ptr::null;

pub const TESTS: &[Test] = &[
    ("process.fork_exit_status", fork_exit_status),
    ("process.fork_copies_memory", fork_copies_memory),
    ("process.fork_shares_offset", fork_shares_offset),
    ("process.fork_many", fork_many),
    ("process.fork_deep", fork_deep),
    ("process.getppid", getppid),
    ("process.reparent_to_init", reparent),
    ("process.subreaper", subreaper),
    ("process.vfork_waits", vfork_waits),
    ("process.clone3", clone3),
    ("process.clone3_pidfd", clone3_pidfd),
    ("process.clone_errors", clone_errors),
    ("process.wait_nohang", wait_nohang),
    ("process.wait_any_and_group", wait_any),
    ("process.wait_echild", wait_echild),
    ("process.waitid", waitid),
    ("process.waitid_nowait", waitid_nowait),
    ("process.wait_stop_continue", wait_stop),
    ("process.wait_rusage", wait_rusage),
    ("process.zombie", zombie),
    ("process.sigchld_ignore_reaps", sigchld_ignore),
    ("process.exec_args", exec_args),
    ("process.exec_env", exec_env),
    ("process.exec_keeps_pid_and_fds", exec_keeps),
    ("process.exec_cloexec", exec_cloexec),
    ("process.exec_resets_signals", exec_signals),
    ("process.exec_script", exec_script),
    ("process.exec_script_limits", exec_script_limits),
    ("process.exec_errors", exec_errors),
    ("process.exec_long_args", exec_long),
    ("process.exec_too_long", exec_too_long),
    ("process.execveat", execveat),
    ("process.exec_from_thread", exec_from_thread),
    ("process.auxv", auxv),
    ("process.exit_group_code", exit_code),
    ("process.prctl_name", prctl_name),
    ("process.pdeathsig", pdeathsig),
];

/// What this program does when a test executes it again: prints what it was given, or checks itself.
pub fn helper(words: &[String]) -> ! {
    let first = words.first().map(String::as_str).unwrap_or("");
    let code = match first {
        "args" => {
            print!("{}", words[1..].join("|"));
            0
        }
        "env" => {
            print!("{}", std::env::var(&words[1]).unwrap_or_else(|_| "unset".into()));
            0
        }
        "pid" => {
            print!("{}", std::process::id());
            0
        }
        // SAFETY: a number.
        "fd" => i32::from(unsafe { libc::fcntl(words[1].parse().unwrap_or(-1), libc::F_GETFD) } < 0),
        "count" => {
            print!("{} {}", words.len() - 1, words[1..].iter().map(String::len).sum::<usize>());
            0
        }
        "signals" => helper_signals(),
        // SAFETY: take nothing or a number.
        "euid" => unsafe { libc::geteuid() as i32 + if libc::getauxval(libc::AT_SECURE) != 0 { 100 } else { 0 } },
        "wait" => {
            sleep_ms(10_000);
            0
        }
        "exit" => words[1].parse().unwrap_or(99),
        _ => 98,
    };
    std::process::exit(code)
}

/// 1: USR1's handler survived exec; 2: USR2 is not ignored; 4: the mask was lost; 8: pending was lost.
fn helper_signals() -> i32 {
    // SAFETY: the structures are live.
    unsafe {
        let mut act: libc::sigaction = core::mem::zeroed();
        let mut bad = 0;
        libc::sigaction(libc::SIGUSR1, null(), &mut act);
        bad |= i32::from(act.sa_sigaction != libc::SIG_DFL);
        libc::sigaction(libc::SIGUSR2, null(), &mut act);
        bad |= if act.sa_sigaction != libc::SIG_IGN { 2 } else { 0 };
        let mut set = core::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, null(), &mut set);
        bad |= if libc::sigismember(&set, libc::SIGHUP) != 1 { 4 } else { 0 };
        libc::sigpending(&mut set);
        bad |= if libc::sigismember(&set, libc::SIGHUP) != 1 { 8 } else { 0 };
        bad
    }
}

fn fork_exit_status() -> Outcome {
    for want in [0, 1, 42, 255] {
        eq!(exit_of(child(|| want)?)?, want);
    }
    eq!(exit_of(child(|| 256 + 7)?)?, 7);
    Ok(())
}

fn fork_copies_memory() -> Outcome {
    let mut value = vec![1u32; 50_000];
    let pid = child(|| {
        value.iter_mut().for_each(|v| *v += 1);
        i32::from(value.iter().any(|v| *v != 2))
    })?;
    value[10] = 9;
    eq!(exit_of(pid)?, 0);
    eq!(value[10], 9);
    ck!(value[11..].iter().all(|v| *v == 1));
    Ok(())
}

fn fork_shares_offset() -> Outcome {
    let path = dir()? + "/f";
    std::fs::write(&path, "abcdef").map_err(|e| e.to_string())?;
    let fd = open(&path, libc::O_RDONLY)?;
    let pid = child(|| i32::from(read(fd, 2) != Ok(b"ab".to_vec())))?;
    eq!(exit_of(pid)?, 0);
    eq!(read(fd, 2)?, b"cd");
    Ok(())
}

fn fork_many() -> Outcome {
    let pids: Vec<i32> = (0..60).map(|i| child(move || i)).collect::<Result<_, _>>()?;
    let mut seen = vec![false; 60];
    for _ in &pids {
        let mut status = 0;
        let pid = c!(libc::wait(&mut status));
        let at = pids.iter().position(|p| *p == pid).ok_or("an unknown child")?;
        eq!(libc::WEXITSTATUS(status), at as i32);
        seen[at] = true;
    }
    ck!(seen.iter().all(|s| *s));
    Ok(())
}

fn fork_deep() -> Outcome {
    fn down(level: i32) -> i32 {
        if level == 0 {
            return 5;
        }
        child(|| down(level - 1)).and_then(exit_of).unwrap_or(100)
    }
    eq!(down(12), 5);
    Ok(())
}

fn getppid() -> Outcome {
    let me = std::process::id() as i32;
    // SAFETY: takes nothing.
    eq!(exit_of(child(|| i32::from(unsafe { libc::getppid() } != me))?)?, 0);
    Ok(())
}

fn reparent() -> Outcome {
    let (r, w) = pipe()?;
    let middle = child(|| {
        let _ = child(|| {
            sleep_ms(100);
            // SAFETY: takes nothing.
            let parent = unsafe { libc::getppid() };
            let _ = write(w, &parent.to_ne_bytes());
            0
        });
        0
    })?;
    eq!(exit_of(middle)?, 0);
    let got = read(r, 4)?;
    eq!(i32::from_ne_bytes(got.try_into().map_err(|_| "short")?), 1);
    Ok(())
}

fn subreaper() -> Outcome {
    c!(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1));
    let middle = child(|| {
        let _ = child(|| {
            sleep_ms(50);
            7
        });
        0
    })?;
    eq!(exit_of(middle)?, 0);
    let mut status = 0;
    c!(libc::wait(&mut status));
    eq!(libc::WEXITSTATUS(status), 7);
    Ok(())
}

fn vfork_waits() -> Outcome {
    let path = CString::new("/proc/self/exe").unwrap_or_default();
    let words = [c"selftest", c"--helper", c"exit", c"33"];
    let argv: Vec<*const libc::c_char> = words.iter().map(|w| w.as_ptr()).chain([null()]).collect();
    let env = [null::<libc::c_char>()];
    let mut flag = 0u32;
    let shared = &raw mut flag;
    // SAFETY: the child only writes a word and executes; the parent is stopped until then.
    let pid = unsafe {
        #[allow(deprecated, reason = "what is tested")]
        let pid = libc::vfork();
        if pid == 0 {
            shared.write_volatile(77);
            libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
            libc::_exit(1);
        }
        pid
    };
    ck!(pid > 0, "vfork: {}", errno_name());
    // SAFETY: a live local.
    eq!(unsafe { shared.read_volatile() }, 77);
    eq!(exit_of(pid)?, 33);
    Ok(())
}

fn raw_clone3(args: &mut [u64; 11], size: usize) -> i64 {
    // SAFETY: no flags of ours share memory; the child returns here as after fork.
    unsafe { libc::syscall(libc::SYS_clone3, args.as_mut_ptr(), size) }
}

fn clone3() -> Outcome {
    let mut tid = 0i32;
    let mut args = [0u64; 11];
    args[0] = (libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_SETTID) as u64;
    args[2] = &raw mut tid as u64;
    args[3] = &raw mut tid as u64;
    args[4] = libc::SIGCHLD as u64;
    let pid = raw_clone3(&mut args, 88);
    if pid == 0 {
        // SAFETY: ends the child; the tid is its own copy, written by the kernel.
        unsafe { libc::_exit(i32::from((&raw const tid).read_volatile() != libc::getpid())) };
    }
    ck!(pid > 0, "clone3: {}", errno_name());
    // SAFETY: a live local.
    eq!(unsafe { (&raw const tid).read_volatile() }, pid as i32);
    eq!(exit_of(pid as i32)?, 0);
    let mut zero = [0u64; 11];
    zero[0] = 1 << 62;
    fails!(raw_clone3(&mut zero, 88), libc::EINVAL);
    zero[0] = 0;
    fails!(raw_clone3(&mut zero, 8), libc::EINVAL);
    Ok(())
}

fn clone3_pidfd() -> Outcome {
    let mut pidfd = -1i32;
    let mut args = [0u64; 11];
    args[0] = libc::CLONE_PIDFD as u64;
    args[1] = &raw mut pidfd as u64;
    args[4] = libc::SIGCHLD as u64;
    let pid = raw_clone3(&mut args, 88);
    if pid == 0 {
        sleep_ms(50);
        // SAFETY: ends the child.
        unsafe { libc::_exit(3) };
    }
    ck!(pid > 0, "clone3: {}", errno_name());
    // SAFETY: a live local.
    let fd = unsafe { (&raw const pidfd).read_volatile() };
    ck!(fd >= 0);
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut poll, 1, 5000)), 1);
    eq!(exit_of(pid as i32)?, 3);
    Ok(())
}

fn clone_errors() -> Outcome {
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_SIGHAND, 0, 0, 0, 0), libc::EINVAL);
    fails!(libc::syscall(libc::SYS_clone, libc::CLONE_NEWNS | libc::CLONE_FS, 0, 0, 0, 0), libc::EINVAL);
    Ok(())
}

fn wait_nohang() -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        let _ = read(r, 1);
        0
    })?;
    let mut status = 0;
    eq!(c!(libc::waitpid(pid, &mut status, libc::WNOHANG)), 0);
    close(w);
    eq!(exit_of(pid)?, 0);
    fails!(libc::waitpid(pid, &mut status, libc::WNOHANG), libc::ECHILD);
    Ok(())
}

fn wait_any() -> Outcome {
    let own = child(|| {
        // SAFETY: numbers.
        unsafe { libc::setpgid(0, 0) };
        sleep_ms(100);
        4
    })?;
    // SAFETY: numbers; EACCES cannot be, the child does not execute.
    unsafe { libc::setpgid(own, own) };
    let mine = child(|| 5)?;
    let mut status = 0;
    eq!(c!(libc::waitpid(0, &mut status, 0)), mine);
    eq!(libc::WEXITSTATUS(status), 5);
    eq!(c!(libc::waitpid(-own, &mut status, 0)), own);
    eq!(libc::WEXITSTATUS(status), 4);
    Ok(())
}

fn wait_echild() -> Outcome {
    let mut status = 0;
    fails!(libc::waitpid(-1, &mut status, 0), libc::ECHILD);
    fails!(libc::waitpid(1, &mut status, 0), libc::ECHILD);
    fails!(libc::waitpid(-1, &mut status, 0x4000), libc::EINVAL);
    Ok(())
}

fn waitid() -> Outcome {
    let pid = child(|| 9)?;
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED));
    eq!(info.si_signo, libc::SIGCHLD);
    eq!(info.si_code, libc::CLD_EXITED);
    // SAFETY: the fields of a SIGCHLD.
    unsafe {
        eq!(info.si_pid(), pid);
        eq!(info.si_status(), 9);
    }
    let pid = child(|| {
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        0
    })?;
    c!(libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED));
    eq!(info.si_code, libc::CLD_KILLED);
    // SAFETY: as above.
    unsafe {
        eq!(info.si_pid(), pid);
        eq!(info.si_status(), libc::SIGKILL);
    }
    fails!(libc::waitid(libc::P_ALL, 0, &mut info, 0), libc::EINVAL);
    Ok(())
}

fn waitid_nowait() -> Outcome {
    let pid = child(|| 1)?;
    // SAFETY: all zero is a valid siginfo.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED | libc::WNOWAIT));
    c!(libc::waitid(libc::P_PID, pid as u32, &mut info, libc::WEXITED | libc::WNOWAIT));
    eq!(exit_of(pid)?, 1);
    Ok(())
}

fn wait_stop() -> Outcome {
    let pid = child(|| {
        loop {
            sleep_ms(10);
        }
    })?;
    let mut status = 0;
    c!(libc::kill(pid, libc::SIGSTOP));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
    ck!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP, "status {status:#x}");
    eq!(state(pid), 'T');
    c!(libc::kill(pid, libc::SIGCONT));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WCONTINUED)), pid);
    ck!(libc::WIFCONTINUED(status), "status {status:#x}");
    c!(libc::kill(pid, libc::SIGSTOP));
    eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
    c!(libc::kill(pid, libc::SIGKILL));
    eq!(signal_of(pid)?, libc::SIGKILL);
    Ok(())
}

fn wait_rusage() -> Outcome {
    let pid = child(|| {
        let end = now_ms() + 60;
        while now_ms() < end {}
        0
    })?;
    let mut status = 0;
    // SAFETY: all zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
    eq!(c!(libc::wait4(pid, &mut status, 0, &mut usage)), pid);
    let spent =
        (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    ck!(spent > 10_000, "only {spent} us of CPU counted");
    ck!(usage.ru_maxrss > 0);
    Ok(())
}

fn zombie() -> Outcome {
    let pid = child(|| 0)?;
    until("the child is a zombie", || state(pid) == 'Z')?;
    c!(libc::kill(pid, 0));
    eq!(exit_of(pid)?, 0);
    fails!(libc::kill(pid, 0), libc::ESRCH);
    Ok(())
}

fn sigchld_ignore() -> Outcome {
    handle(libc::SIGCHLD, libc::SIG_IGN, 0)?;
    child(|| 0)?;
    let mut status = 0;
    fails!(libc::wait(&mut status), libc::ECHILD);
    Ok(())
}

/// Executes this program's helper; returns (exit status, what it printed).
fn helper_output(path: &str, words: &[&str], env: &[&str], before: impl FnOnce()) -> Result<(i32, String), String> {
    let (r, w) = pipe()?;
    let path = cstr(path);
    let words: Vec<CString> = words.iter().map(|w| cstr(w)).collect();
    let env: Vec<CString> = env.iter().map(|w| cstr(w)).collect();
    let pid = child(|| {
        let argv: Vec<_> = words.iter().map(|w| w.as_ptr()).chain([null()]).collect();
        let envp: Vec<_> = env.iter().map(|w| w.as_ptr()).chain([null()]).collect();
        before();
        // SAFETY: NUL-terminated lists of NUL-terminated strings.
        unsafe {
            libc::dup2(w, 1);
            libc::close(w);
            libc::close(r);
            libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        }
        100 + errno()
    })?;
    close(w);
    let text = read_all(r)?;
    close(r);
    Ok((exit_of(pid)?, String::from_utf8_lossy(&text).into_owned()))
}

const EXE: &str = "/proc/self/exe";

fn exec_args() -> Outcome {
    let (status, out) = helper_output(EXE, &["x", "--helper", "args", "one", "", "three four"], &[], || ())?;
    eq!(status, 0);
    eq!(out, "one||three four");
    Ok(())
}

fn exec_env() -> Outcome {
    eq!(
        helper_output(EXE, &["x", "--helper", "env", "KEY"], &["A=b", "KEY=value=x"], || ())?,
        (0, "value=x".to_string())
    );
    eq!(helper_output(EXE, &["x", "--helper", "env", "KEY"], &[], || ())?, (0, "unset".to_string()));
    Ok(())
}

fn exec_keeps() -> Outcome {
    let (_, out) = helper_output(EXE, &["x", "--helper", "pid"], &[], || ())?;
    ck!(out.parse::<i32>().is_ok_and(|p| p > std::process::id() as i32), "{out}");
    let fd = open("/dev/null", libc::O_RDONLY)?;
    eq!(helper_output(EXE, &["x", "--helper", "fd", &fd.to_string()], &[], || ())?.0, 0);
    Ok(())
}

fn exec_cloexec() -> Outcome {
    let fd = open("/dev/null", libc::O_RDONLY | libc::O_CLOEXEC)?;
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(helper_output(EXE, &["x", "--helper", "fd", &fd.to_string()], &[], || ())?.0, 1);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn exec_signals() -> Outcome {
    let (status, _) = helper_output(EXE, &["x", "--helper", "signals"], &[], || {
        let _ = handle(libc::SIGUSR1, nothing as *const () as usize, 0);
        let _ = handle(libc::SIGUSR2, libc::SIG_IGN, 0);
        let _ = mask(libc::SIG_BLOCK, &[libc::SIGHUP]);
        // SAFETY: numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGHUP) };
    })?;
    eq!(status, 0);
    Ok(())
}

/// Writes an executable file; returns its path.
fn program(name: &str, data: &[u8]) -> Result<String, String> {
    let path = format!("{}/{name}", dir()?);
    std::fs::write(&path, data).map_err(|e| e.to_string())?;
    c!(libc::chmod(cstr(&path).as_ptr(), 0o755));
    Ok(path)
}

fn own_path() -> Result<String, String> {
    std::fs::read_link(EXE).map(|p| p.to_string_lossy().into_owned()).map_err(|e| e.to_string())
}

fn exec_script() -> Outcome {
    let exe = own_path()?;
    // The interpreter gets the optional argument as one word, then the script's path, then the arguments.
    let real = program("real", format!("#!{exe} --helper\n").as_bytes())?;
    let (status, out) = helper_output(&real, &["name", "a", "b"], &[], || ())?;
    eq!(status, 98); // "--helper", then the path as its word: unknown
    eq!(out, "");
    let link = format!("{}/args", dir()?);
    std::os::unix::fs::symlink(&real, &link).map_err(|e| e.to_string())?;
    c!(libc::chdir(cstr(&dir()?).as_ptr()));
    eq!(helper_output("args", &["name", "a", "b"], &[], || ())?, (0, "a|b".to_string()));
    // A script whose interpreter is a script.
    let outer = program("outer", format!("#!{link} x y\n").as_bytes())?;
    let (status, _) = helper_output(&outer, &["n"], &[], || ())?;
    eq!(status, 98);
    Ok(())
}

fn exec_script_limits() -> Outcome {
    let enoexec =
        |data: &[u8]| -> Result<i32, String> { Ok(helper_output(&program("s", data)?, &["s"], &[], || ())?.0 - 100) };
    eq!(enoexec(b"#!\n")?, libc::ENOEXEC);
    eq!(enoexec(b"#! \t \n")?, libc::ENOEXEC);
    eq!(enoexec(b"#!/nosuch/interpreter\n")?, libc::ENOENT);
    eq!(enoexec(b"plain text\n")?, libc::ENOEXEC);
    eq!(enoexec(b"")?, libc::ENOEXEC);
    eq!(enoexec(b"#!/dev/null\n")?, libc::EACCES);
    let long = [b"#!/".as_slice(), &[b'x'; 400], b"\n"].concat();
    eq!(enoexec(&long)?, libc::ENOEXEC);
    let me = format!("{}/s", dir()?);
    eq!(enoexec(format!("#!{me}\n").as_bytes())?, libc::ELOOP);
    Ok(())
}

fn exec_errors() -> Outcome {
    let result = |path: &str| -> Result<i32, String> { Ok(helper_output(path, &["x"], &[], || ())?.0 - 100) };
    eq!(result("/nosuch")?, libc::ENOENT);
    eq!(result("/tmp")?, libc::EACCES);
    eq!(result("/dev/null")?, libc::EACCES);
    eq!(result("/dev/null/x")?, libc::ENOTDIR);
    eq!(result("")?, libc::ENOENT);
    let plain = program("plain", b"\x7fELF")?;
    eq!(result(&plain)?, libc::ENOEXEC);
    c!(libc::chmod(cstr(&plain).as_ptr(), 0o644));
    eq!(result(&plain)?, libc::EACCES);
    fails!(libc::syscall(libc::SYS_execve, 1usize, 0usize, 0usize), libc::EFAULT);
    let busy = open(&own_path()?, libc::O_RDONLY)?;
    close(busy);
    // SAFETY: the name is NUL-terminated.
    fails!(unsafe { libc::open(cstr(&own_path()?).as_ptr(), libc::O_WRONLY) }, libc::ETXTBSY);
    Ok(())
}

fn exec_long() -> Outcome {
    let words: Vec<String> = (0..1000).map(|i| format!("{i:0>100}")).collect();
    let mut all = vec!["x", "--helper", "count"];
    all.extend(words.iter().map(String::as_str));
    eq!(helper_output(EXE, &all, &[], || ())?, (0, "1000 100000".to_string()));
    Ok(())
}

fn exec_too_long() -> Outcome {
    let one = "y".repeat(131_072); // MAX_ARG_STRLEN counts the NUL
    eq!(helper_output(EXE, &["x", &one], &[], || ())?.0 - 100, libc::E2BIG);
    let many: Vec<&str> = (0..30).map(|_| &one[1..]).collect();
    eq!(helper_output(EXE, &many, &[], || ())?.0 - 100, libc::E2BIG);
    eq!(helper_output(EXE, &["x", "--helper", "count", &one[1..]], &[], || ())?, (0, "1 131071".to_string()));
    Ok(())
}

fn execveat() -> Outcome {
    let fd = open(EXE, libc::O_RDONLY | libc::O_CLOEXEC)?;
    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"21".as_ptr(), null()];
    let env: [*const libc::c_char; 1] = [null()];
    let pid = child(|| {
        // SAFETY: as for execve.
        unsafe {
            libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH)
        };
        1
    })?;
    eq!(exit_of(pid)?, 21);
    Ok(())
}

fn exec_from_thread() -> Outcome {
    let (status, out) = helper_output(EXE, &["x", "--helper", "exit", "6"], &[], || {
        // The other threads go, whoever calls.
        for _ in 0..3 {
            std::thread::spawn(|| {
                loop {
                    std::thread::park();
                }
            });
        }
        let argv = [
            c"x".as_ptr() as usize,
            c"--helper".as_ptr() as usize,
            c"exit".as_ptr() as usize,
            c"0".as_ptr() as usize,
            0,
        ];
        let _ = std::thread::spawn(move || {
            // SAFETY: as for execve.
            unsafe { libc::execve(c"/proc/self/exe".as_ptr(), argv.as_ptr().cast(), argv[4..].as_ptr().cast()) };
        })
        .join();
    })?;
    // The thread's exec replaced the process before the ordinary one: it exits 0.
    eq!((status, out.as_str()), (0, ""));
    Ok(())
}

fn auxv() -> Outcome {
    // SAFETY: numbers.
    unsafe {
        eq!(libc::getauxval(libc::AT_PAGESZ), 4096);
        eq!(libc::getauxval(libc::AT_UID), libc::getuid() as u64);
        eq!(libc::getauxval(libc::AT_SECURE), 0);
        eq!(libc::getauxval(libc::AT_CLKTCK), 100);
        ck!(libc::getauxval(libc::AT_RANDOM) != 0);
        ck!(libc::getauxval(libc::AT_SYSINFO_EHDR) != 0);
        ck!(libc::getauxval(libc::AT_PHNUM) > 0 && libc::getauxval(libc::AT_PHENT) == 56);
        ck!(libc::getauxval(libc::AT_ENTRY) != 0);
        let platform = std::ffi::CStr::from_ptr(libc::getauxval(libc::AT_PLATFORM) as *const libc::c_char);
        eq!(platform.to_bytes(), b"x86_64");
        ck!(libc::getauxval(libc::AT_EXECFN) != 0);
        let random = core::slice::from_raw_parts(libc::getauxval(libc::AT_RANDOM) as *const u8, 16);
        ck!(random.iter().any(|b| *b != 0));
    }
    let data = std::fs::read("/proc/self/auxv").map_err(|e| e.to_string())?;
    eq!(data.len() % 16, 0);
    Ok(())
}

fn exit_code() -> Outcome {
    let pid = child(|| {
        std::thread::spawn(|| {
            // SAFETY: ends all threads.
            unsafe { libc::syscall(libc::SYS_exit_group, 17) };
        });
        loop {
            sleep_ms(1000);
        }
    })?;
    eq!(exit_of(pid)?, 17);
    Ok(())
}

fn prctl_name() -> Outcome {
    let mut name = [0u8; 16];
    c!(libc::prctl(libc::PR_SET_NAME, c"a-name-that-is-too-long".as_ptr()));
    c!(libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()));
    eq!(&name, b"a-name-that-is-\0");
    eq!(text("/proc/self/comm")?, "a-name-that-is-\n");
    Ok(())
}

fn pdeathsig() -> Outcome {
    let (r, w) = pipe()?;
    let middle = child(|| {
        let _ = child(|| {
            // SAFETY: numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let _ = write(w, b"x");
            sleep_ms(10_000);
            0
        });
        close(w);
        let _ = read(r, 1);
        0
    })?;
    close(w);
    eq!(exit_of(middle)?, 0);
    eq!(read(r, 1)?, b""); // the end comes when the grandchild died
    Ok(())
}
