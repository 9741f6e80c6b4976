// SPDX-License-Identifier: GPL-2.0
//! exec and `#!`.

use super::*;

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
const EXE_C: &std::ffi::CStr = c"/proc/self/exe";

pub(super) fn exec_args() -> Outcome {
    let (status, out) = helper_output(EXE, &["x", "--helper", "args", "one", "", "three four"], &[], || ())?;
    eq!(status, 0);
    eq!(out, "one||three four");
    Ok(())
}

pub(super) fn exec_env() -> Outcome {
    eq!(
        helper_output(EXE, &["x", "--helper", "env", "KEY"], &["A=b", "KEY=value=x"], || ())?,
        (0, "value=x".to_string())
    );
    eq!(helper_output(EXE, &["x", "--helper", "env", "KEY"], &[], || ())?, (0, "unset".to_string()));
    Ok(())
}

pub(super) fn exec_keeps() -> Outcome {
    let (_, out) = helper_output(EXE, &["x", "--helper", "pid"], &[], || ())?;
    ck!(out.parse::<i32>().is_ok_and(|p| p > std::process::id() as i32), "{out}");
    let fd = open("/dev/null", libc::O_RDONLY)?;
    eq!(helper_output(EXE, &["x", "--helper", "fd", &fd.to_string()], &[], || ())?.0, 0);
    Ok(())
}

pub(super) fn exec_cloexec() -> Outcome {
    let fd = open("/dev/null", libc::O_RDONLY | libc::O_CLOEXEC)?;
    eq!(c!(libc::fcntl(fd, libc::F_GETFD)), libc::FD_CLOEXEC);
    eq!(helper_output(EXE, &["x", "--helper", "fd", &fd.to_string()], &[], || ())?.0, 1);
    Ok(())
}

pub(super) fn exec_signals() -> Outcome {
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

fn own_path() -> Result<String, String> {
    std::fs::read_link(EXE).map(|p| p.to_string_lossy().into_owned()).map_err(|e| e.to_string())
}

pub(super) fn exec_script() -> Outcome {
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

pub(super) fn exec_script_limits() -> Outcome {
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

pub(super) fn exec_errors() -> Outcome {
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

pub(super) fn exec_long() -> Outcome {
    let words: Vec<String> = (0..1000).map(|i| format!("{i:0>100}")).collect();
    let mut all = vec!["x", "--helper", "count"];
    all.extend(words.iter().map(String::as_str));
    eq!(helper_output(EXE, &all, &[], || ())?, (0, "1000 100000".to_string()));
    Ok(())
}

pub(super) fn exec_too_long() -> Outcome {
    let one = "y".repeat(131_072); // MAX_ARG_STRLEN counts the NUL
    eq!(helper_output(EXE, &["x", &one], &[], || ())?.0 - 100, libc::E2BIG);
    let many: Vec<&str> = (0..30).map(|_| &one[1..]).collect();
    eq!(helper_output(EXE, &many, &[], || ())?.0 - 100, libc::E2BIG);
    eq!(helper_output(EXE, &["x", "--helper", "count", &one[1..]], &[], || ())?, (0, "1 131071".to_string()));
    Ok(())
}

pub(super) fn execveat() -> Outcome {
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

pub(super) fn exec_from_thread() -> Outcome {
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

/// When a process started, in ticks since boot.
fn start_time(pid: &str) -> Result<String, String> {
    let stat = text(&format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(") ").next().ok_or("no name")?;
    Ok(after_name.split(' ').nth(19).ok_or("too short")?.into())
}

/// The helper of [`exec_thread_leader`]: what is pending, what is queued for the user, the age, and the session it makes.
pub(super) fn leader() -> String {
    // SAFETY: a live set; numbers.
    let (pending, sid, pid, tid) = unsafe {
        let mut pending = core::mem::zeroed();
        libc::sigpending(&mut pending);
        let pending = LEADER_SIGNALS.map(|signal| libc::sigismember(&pending, signal()));
        (pending, libc::setsid(), libc::getpid(), libc::gettid())
    };
    let status = text("/proc/self/status").unwrap_or_default();
    let queued = status.split("SigQ:\t").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or("?");
    let started = start_time("self").unwrap_or_default();
    format!("{pending:?} {queued} {started} {}", sid == pid && tid == pid && sid > 0)
}

/// For the old leader alone, for the process, for the thread that executes.
const LEADER_SIGNALS: [fn() -> i32; 3] = [|| libc::SIGRTMIN() + 1, || libc::SIGRTMIN() + 2, || libc::SIGRTMIN() + 3];

/// The thread that executes is the leader then: its number is the process's, its age the old leader's, and what was pending for that
/// one alone is gone and not queued any more.
pub(super) fn exec_thread_leader() -> Outcome {
    const USER: u32 = 4322;
    let (started, out) = {
        let (r, w) = pipe()?;
        let (told, tell) = pipe()?;
        let pid = child(|| {
            // SAFETY: numbers; NUL-terminated lists of NUL-terminated strings.
            unsafe {
                libc::dup2(w, 1);
                close(told);
                let signals = LEADER_SIGNALS.map(|signal| signal());
                if libc::setresuid(USER, USER, USER) != 0 || mask(libc::SIG_BLOCK, &signals).is_err() {
                    return 1;
                }
                let pid = libc::getpid();
                libc::syscall(libc::SYS_tgkill, pid, pid, signals[0]);
                libc::kill(pid, signals[1]);
                // Some time after the leader.
                let _ = write(tell, start_time("self").unwrap_or_default().as_bytes());
                close(tell);
                sleep_ms(50);
                let thread = std::thread::spawn(move || {
                    libc::syscall(libc::SYS_tgkill, pid, libc::gettid(), signals[2]);
                    let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"leader".as_ptr(), null()];
                    libc::execv(EXE_C.as_ptr(), argv.as_ptr());
                });
                let _ = thread.join();
            }
            2
        })?;
        close(w);
        close(tell);
        let started = String::from_utf8_lossy(&read_all(told)?).into_owned();
        let out = String::from_utf8_lossy(&read_all(r)?).into_owned();
        eq!(exit_of(pid)?, 0);
        (started, out)
    };
    eq!(out, format!("[0, 1, 1] 2 {started} true"));
    Ok(())
}

/// Threads that make threads without end do not outlive an execve.
pub(super) fn exec_beside_new_threads() -> Outcome {
    fn breeder() {
        let more = std::thread::Builder::new().stack_size(16 << 10).spawn(breeder);
        if more.is_err() {
            std::thread::yield_now();
        }
    }
    for _ in 0..10 {
        let pid = child(|| {
            for _ in 0..3 {
                std::thread::spawn(|| {
                    loop {
                        breeder();
                        std::thread::yield_now();
                    }
                });
            }
            sleep_ms(5);
            // SAFETY: NUL-terminated lists of NUL-terminated strings.
            unsafe {
                let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"5".as_ptr(), null()];
                libc::execv(EXE_C.as_ptr(), argv.as_ptr());
            }
            1
        })?;
        eq!(exit_of(pid)?, 5);
    }
    Ok(())
}

/// A thread that stops while another one executes does not keep that one waiting.
pub(super) fn exec_beside_stops() -> Outcome {
    let (r, w) = pipe()?;
    for turn in 0..150 {
        let pid = child(|| {
            for _ in 0..3 {
                std::thread::spawn(|| {
                    loop {
                        std::thread::yield_now();
                    }
                });
            }
            let _ = write(w, b"x");
            // SAFETY: NUL-terminated lists of NUL-terminated strings.
            unsafe {
                let argv = [c"x".as_ptr(), c"--helper".as_ptr(), c"exit".as_ptr(), c"5".as_ptr(), null()];
                libc::execv(EXE_C.as_ptr(), argv.as_ptr());
            }
            1
        })?;
        read(r, 1)?;
        for _ in 0..turn * 100 {
            std::hint::spin_loop();
        }
        c!(libc::kill(pid, libc::SIGSTOP));
        let mut status = 0;
        eq!(c!(libc::waitpid(pid, &mut status, libc::WUNTRACED)), pid);
        if libc::WIFSTOPPED(status) {
            c!(libc::kill(pid, libc::SIGCONT));
            eq!(c!(libc::waitpid(pid, &mut status, 0)), pid);
        }
        ck!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 5, "turn {turn}: {status:#x}");
    }
    Ok(())
}

pub(super) fn auxv() -> Outcome {
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
