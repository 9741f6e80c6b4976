// SPDX-License-Identifier: GPL-2.0
//! Small tests of the ABI that programs see; KTAP 1 on standard output.
//!
//! `selftest` runs all, `selftest NAME...` those whose name starts with a NAME (`signal`, `mm.cow`; `=NAME` is exact),
//! `selftest --list` lists them. Each test is a process of its own with a time limit, so one that dies does not take the
//! others along. As pid 1 it mounts what the tests need, runs the tests that the file /tests names (one a line; all if
//! there is none; `test=a,b` on the kernel's command line is stronger) and powers off.
//!
//! Every test passes on Linux; that is checked (selftests.py --linux).

mod aio;
mod alike;
mod creds;
mod entropy;
mod faults;
mod files;
mod flight;
mod futex;
mod handles;
mod hpet;
mod huge;
mod inotify;
mod ipc;
mod jobs;
mod ldt;
mod lease;
mod limits;
mod links;
mod mm;
mod mountapi;
mod mounts;
mod namespaces;
mod persona;
mod pidfd;
mod pidns;
mod pkeys;
mod poll;
mod process;
mod procfs;
mod procpid;
mod rare;
mod remount;
mod sigio;
mod signal;
mod sockets;
mod splice;
mod suspend;
mod sysctl;
mod sysvipc;
mod sysvmsg;
mod sysvsem;
mod threads;
mod time;
mod timers;
mod trace;
mod tty;
mod uring;
mod util;
mod vmem;
mod words;

use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use util::{Outcome, SKIP};

/// A test: its name (group.what) and its body.
pub type Test = (&'static str, fn() -> Outcome);

const LIMIT: u32 = 20;
/// For those that take much of everything.
const LONG_LIMIT: u32 = 60;

fn all() -> Vec<Test> {
    [
        process::TESTS,
        persona::TESTS,
        signal::TESTS,
        sigio::TESTS,
        pidfd::TESTS,
        pidns::TESTS,
        threads::TESTS,
        futex::TESTS,
        jobs::TESTS,
        ldt::TESTS,
        creds::TESTS,
        poll::TESTS,
        ipc::TESTS,
        splice::TESTS,
        sysvipc::TESTS,
        sysvsem::TESTS,
        sysvmsg::TESTS,
        inotify::TESTS,
        mm::TESTS,
        vmem::TESTS,
        faults::TESTS,
        huge::TESTS,
        pkeys::TESTS,
        files::TESTS,
        handles::TESTS,
        lease::TESTS,
        flight::TESTS,
        links::TESTS,
        mounts::TESTS,
        remount::TESTS,
        rare::TESTS,
        mountapi::TESTS,
        namespaces::TESTS,
        trace::TESTS,
        tty::TESTS,
        procfs::TESTS,
        procpid::TESTS,
        sysctl::TESTS,
        time::TESTS,
        aio::TESTS,
        uring::TESTS,
        timers::TESTS,
        hpet::TESTS,
        sockets::TESTS,
        words::TESTS,
        entropy::TESTS,
        alike::TESTS,
        alike::files::TESTS,
        alike::names::TESTS,
        alike::pipes::TESTS,
        alike::places::TESTS,
        alike::signals::TESTS,
        alike::sockets::TESTS,
        alike::memory::TESTS,
        alike::tasks::TESTS,
        limits::TESTS,
        suspend::TESTS,
    ]
    .concat()
}

/// Runs one test in a child process; what went wrong, if anything.
fn run(name: &str, body: fn() -> Outcome) -> Outcome {
    let limit = if name.starts_with("limits.") { LONG_LIMIT } else { LIMIT };
    let (reader, writer) = util::pipe()?;
    // SAFETY: the program has one thread here.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(format!("fork: {}", util::errno_name()));
    }
    if pid == 0 {
        // SAFETY: plain calls; the descriptor is owned by the file made of it.
        unsafe {
            libc::close(reader);
            libc::setpgid(0, 0);
            libc::alarm(limit);
            let outcome = util::dir().and_then(|_| body());
            if let Err(text) = &outcome {
                let mut out = std::fs::File::from_raw_fd(writer);
                let _ = out.write_all(text.as_bytes());
            }
            libc::_exit(i32::from(outcome.is_err()));
        }
    }
    // SAFETY: as above.
    let mut text = String::new();
    let mut status = 0;
    unsafe {
        libc::close(writer);
        // A test's strays may hold the pipe: the status comes first, and then they are ended.
        let mut left = 2 * limit * 100;
        while libc::waitpid(pid, &mut status, libc::WNOHANG) == 0 && left > 0 {
            libc::usleep(10_000);
            left -= 1;
        }
        libc::kill(-pid, libc::SIGKILL);
        if left == 0 {
            return Err("does not end, not even by SIGALRM".into());
        }
        while libc::waitpid(-pid, core::ptr::null_mut(), 0) > 0 {}
        while libc::waitpid(-1, core::ptr::null_mut(), libc::WNOHANG) > 0 {} // pid 1 has others' orphans too
        let _ = std::fs::File::from_raw_fd(reader).read_to_string(&mut text);
    }
    let _ = std::fs::remove_dir_all(util::dir_of(pid as u32));
    if libc::WIFSIGNALED(status) {
        return Err(format!("killed by signal {}", libc::WTERMSIG(status)));
    }
    if libc::WEXITSTATUS(status) != 0 {
        return Err(if text.is_empty() { format!("exit status {}", libc::WEXITSTATUS(status)) } else { text });
    }
    Ok(())
}

fn wanted(name: &str, words: &[String]) -> bool {
    words.is_empty() || words.iter().any(|w| w.strip_prefix('=').map_or(name.starts_with(w.as_str()), |w| w == name))
}

fn prepare() {
    let mounts = [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"tmpfs", c"/tmp"),
        (c"devpts", c"/dev/pts"),
    ];
    for (kind, at) in mounts {
        // SAFETY: both are NUL-terminated; no data.
        unsafe {
            libc::mkdir(at.as_ptr(), 0o755);
            libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, core::ptr::null());
        }
    }
}

fn main() {
    // SAFETY: takes nothing.
    let init = unsafe { libc::getpid() } == 1;
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|w| w == "--helper") {
        process::helper(&words[1..]);
    }
    if let [word, way] = words.as_slice()
        && word == "--hog"
    {
        limits::hog::run(way);
    }
    let tests = all();
    if words.first().is_some_and(|w| w == "--list") {
        for (name, _) in &tests {
            println!("{name}");
        }
        return;
    }
    if init {
        prepare();
        let list = std::env::var("test").or_else(|_| util::text("/tests")).unwrap_or_default();
        words = list.split([',', '\n']).filter(|w| !w.is_empty()).map(String::from).collect();
    }
    // SAFETY: before any child; a full umask is what the file tests expect.
    unsafe { libc::umask(0o022) };
    let chosen: Vec<&Test> = tests.iter().filter(|t| wanted(t.0, &words)).collect();
    println!("KTAP version 1\n1..{}", chosen.len());
    let mut failed = 0;
    for (at, (name, body)) in chosen.iter().enumerate() {
        println!("# run {name}");
        let _ = std::io::stdout().flush();
        match run(name, *body) {
            Ok(()) => println!("ok {} {name}", at + 1),
            Err(why) if why.starts_with(SKIP) => println!("ok {} {name} # SKIP {}", at + 1, &why[SKIP.len()..]),
            Err(why) => {
                failed += 1;
                println!("# {}", why.replace('\n', "\n# "));
                println!("not ok {} {name}", at + 1);
            }
        }
    }
    println!("# failed {failed}");
    println!("# end of tests");
    let _ = std::io::stdout().flush();
    if init {
        // SAFETY: plain calls.
        unsafe {
            // The kernel's last words go to the console at once, past what the terminal has not sent.
            libc::tcdrain(1);
            libc::reboot(libc::RB_POWER_OFF);
            libc::reboot(libc::RB_AUTOBOOT);
        }
        loop {
            std::thread::park();
        }
    }
    std::process::exit(i32::from(failed != 0));
}
