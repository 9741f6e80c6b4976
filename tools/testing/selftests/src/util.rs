// SPDX-License-Identifier: GPL-2.0
//! What the tests share: checks that say what they saw, children, descriptors.

/// The end of a test: nothing, or what was wrong.
pub type Outcome = Result<(), String>;

/// An `Err` that starts so is not a failure: the facility is not configured.
pub const SKIP: &str = "SKIP ";

/// Fails unless the condition holds.
#[macro_export]
macro_rules! ck {
    ($cond:expr) => {
        if !$cond {
            return Err(format!("{}:{}: not so: {}", file!(), line!(), stringify!($cond)));
        }
    };
    ($cond:expr, $($what:tt)+) => {
        if !$cond {
            return Err(format!("{}:{}: {}", file!(), line!(), format!($($what)+)));
        }
    };
}

/// Fails unless both are equal.
#[macro_export]
macro_rules! eq {
    ($left:expr, $right:expr) => {{
        // A match keeps the temporaries of both sides alive.
        match (&$left, &$right) {
            (left, right) => {
                if *left != *right {
                    return Err(format!(
                        "{}:{}: {} is {:?}, not {:?}",
                        file!(),
                        line!(),
                        stringify!($left),
                        left,
                        right
                    ));
                }
            }
        }
    }};
}

/// The value of a libc call that must succeed.
#[macro_export]
macro_rules! c {
    ($call:expr) => {{
        // SAFETY: the arguments are live objects of this test or plain numbers.
        #[allow(unused_unsafe, reason = "some calls are inside an unsafe block already")]
        let ret = unsafe { $call };
        if ret as i64 == -1 {
            return Err(format!("{}:{}: {}: {}", file!(), line!(), stringify!($call), $crate::util::errno_name()));
        }
        ret
    }};
}

/// A libc call that must fail with the errno given.
#[macro_export]
macro_rules! fails {
    ($call:expr, $errno:expr) => {{
        // SAFETY: the arguments are live objects of this test or plain numbers.
        #[allow(unused_unsafe, reason = "some calls are inside an unsafe block already")]
        let ret = unsafe { $call } as i64;
        let got = $crate::util::errno();
        if ret != -1 {
            return Err(format!("{}:{}: {} gave {} instead of an error", file!(), line!(), stringify!($call), ret));
        }
        if got != $errno {
            return Err(format!(
                "{}:{}: {} failed with {}, not {}",
                file!(),
                line!(),
                stringify!($call),
                $crate::util::name_of(got),
                $crate::util::name_of($errno)
            ));
        }
    }};
}

/// errno of the last call.
pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// The text for an errno.
pub fn name_of(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}

/// The text for the last errno.
pub fn errno_name() -> String {
    name_of(errno())
}

/// A pipe: (read end, write end).
pub fn pipe() -> Result<(i32, i32), String> {
    pipe_flags(0)
}

/// A pipe with flags.
pub fn pipe_flags(flags: i32) -> Result<(i32, i32), String> {
    let mut fds = [0; 2];
    c!(libc::pipe2(fds.as_mut_ptr(), flags));
    Ok((fds[0], fds[1]))
}

/// Forks; the child runs `body`, whose value is its exit status. Returns the pid.
pub fn child(body: impl FnOnce() -> i32) -> Result<i32, String> {
    let pid = c!(libc::fork());
    if pid == 0 {
        let status = body();
        // SAFETY: ends this process.
        unsafe { libc::_exit(status) };
    }
    Ok(pid)
}

/// Waits for `pid` and returns the raw status.
pub fn wait(pid: i32) -> Result<i32, String> {
    let mut status = 0;
    let got = c!(libc::waitpid(pid, &mut status, 0));
    eq!(got, pid);
    Ok(status)
}

/// Waits for `pid`, which must exit by itself; returns its exit status.
pub fn exit_of(pid: i32) -> Result<i32, String> {
    let status = wait(pid)?;
    ck!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
    Ok(libc::WEXITSTATUS(status))
}

/// Waits for `pid`, which must be ended by a signal; returns it.
pub fn signal_of(pid: i32) -> Result<i32, String> {
    let status = wait(pid)?;
    ck!(libc::WIFSIGNALED(status), "the child was not ended by a signal, status {status:#x}");
    Ok(libc::WTERMSIG(status))
}

/// Runs `body` in a child; its error is this test's.
pub fn in_child(body: impl FnOnce() -> Outcome) -> Outcome {
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(r);
        match body() {
            Ok(()) => 0,
            Err(why) => {
                let _ = write(w, why.as_bytes());
                1
            }
        }
    })?;
    close(w);
    let text = read_all(r)?;
    close(r);
    let status = exit_of(pid)?;
    ck!(status == 0, "{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// Closes a descriptor.
pub fn close(fd: i32) {
    // SAFETY: a number.
    unsafe { libc::close(fd) };
}

/// Writes all of `data` in one call; returns how much went.
pub fn write(fd: i32, data: &[u8]) -> Result<usize, String> {
    Ok(c!(libc::write(fd, data.as_ptr().cast(), data.len())) as usize)
}

/// One read of at most `most` bytes.
pub fn read(fd: i32, most: usize) -> Result<Vec<u8>, String> {
    let mut buf = vec![0u8; most];
    let got = c!(libc::read(fd, buf.as_mut_ptr().cast(), most)) as usize;
    buf.truncate(got);
    Ok(buf)
}

/// Reads to the end of the file.
pub fn read_all(fd: i32) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        let part = read(fd, 4096)?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend(part);
    }
}

/// A NUL-terminated copy.
pub fn cstr(text: &str) -> std::ffi::CString {
    std::ffi::CString::new(text).unwrap_or_default()
}

/// Opens a path.
pub fn open(path: &str, flags: i32) -> Result<i32, String> {
    let name = cstr(path);
    let fd = unsafe_open(&name, flags);
    ck!(fd >= 0, "open {path}: {}", errno_name());
    Ok(fd)
}

fn unsafe_open(name: &std::ffi::CStr, flags: i32) -> i32 {
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::open(name.as_ptr(), flags, 0o644) }
}

static DIR: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// An empty directory of this test's own in /tmp; its children see the same. The runner makes it and takes it away.
pub fn dir() -> Result<String, String> {
    let path = DIR.get_or_init(|| dir_of(std::process::id()));
    std::fs::create_dir_all(path).map_err(|e| format!("{path}: {e}"))?;
    Ok(path.clone())
}

/// The directory of the test that runs as `pid`.
pub fn dir_of(pid: u32) -> String {
    format!("/tmp/selftest.{pid}")
}

/// The text of a file.
pub fn text(path: &str) -> Result<String, String> {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).map_err(|e| format!("{path}: {e}"))
}

/// Sleeps.
pub fn sleep_ms(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

/// Milliseconds of CLOCK_MONOTONIC.
pub fn now_ms() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is live.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    ts.tv_sec as u64 * 1000 + ts.tv_nsec as u64 / 1_000_000
}

/// Sets a handler (a plain function, or with SA_SIGINFO one of three arguments).
pub fn handle(signal: i32, handler: usize, flags: i32) -> Outcome {
    // SAFETY: all zero is a valid sigaction.
    let mut act: libc::sigaction = unsafe { core::mem::zeroed() };
    act.sa_sigaction = handler;
    act.sa_flags = flags;
    c!(libc::sigaction(signal, &act, core::ptr::null_mut()));
    Ok(())
}

/// A signal set of those given.
pub fn set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: initialised by sigemptyset.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::sigemptyset(&mut set);
        for s in signals {
            libc::sigaddset(&mut set, *s);
        }
        set
    }
}

/// Blocks, unblocks or sets the mask.
pub fn mask(how: i32, signals: &[i32]) -> Outcome {
    let set = set(signals);
    c!(libc::sigprocmask(how, &set, core::ptr::null_mut()));
    Ok(())
}

/// Waits (at most 15 s: the host may be busy) until `done` says yes.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Outcome {
    let end = now_ms() + 15_000;
    while !done() {
        ck!(now_ms() < end, "not within 15 s: {what}");
        sleep_ms(2);
    }
    Ok(())
}

/// The state letter of a process in /proc.
pub fn state(pid: i32) -> char {
    let stat = text(&format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|s| s.chars().next()).unwrap_or('?')
}

/// Waits until `pid` waits for something: it is in the call that it was going to make.
pub fn asleep(pid: i32) -> Outcome {
    until("it waits", || state(pid) == 'S')
}

/// A child that waits for a word, and then ends with `code`. Its pid, and the descriptor whose closing is the word.
pub fn held(code: i32) -> Result<(i32, i32), String> {
    let (r, w) = pipe()?;
    let pid = child(|| {
        close(w);
        // A stop and a tracer interrupt it.
        while read(r, 1).is_err() {}
        code
    })?;
    close(r);
    Ok((pid, w))
}

/// Goes to the test's own directory, for tests that use names relative to it.
pub fn home() -> Outcome {
    std::env::set_current_dir(dir()?).map_err(|e| e.to_string())
}

/// Takes the count of an event descriptor.
pub fn count_of(fd: i32) -> Result<u64, String> {
    Ok(u64::from_ne_bytes(read(fd, 8)?.try_into().map_err(|_| "short")?))
}

/// Sends descriptors (253 at the most) with a byte, without waiting; what sendmsg gave.
pub fn send_fds(to: i32, fds: &[i32]) -> isize {
    let mut byte = *b"f";
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 140];
    let size = (fds.len() * 4) as u32;
    // SAFETY: the control buffer is aligned and large enough for 253 descriptors.
    unsafe {
        let mut msg: libc::msghdr = core::mem::zeroed();
        msg.msg_iov = &mut vector;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = libc::CMSG_SPACE(size) as usize;
        let head = libc::CMSG_FIRSTHDR(&msg);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size) as usize;
        for (index, fd) in fds.iter().enumerate() {
            libc::CMSG_DATA(head).cast::<i32>().add(index).write_unaligned(*fd);
        }
        libc::sendmsg(to, &msg, libc::MSG_DONTWAIT)
    }
}
