// SPDX-License-Identifier: GPL-2.0
//! Executes mutations of ELF programs: `elf COUNT SEED FIRST PROGRAM...` prints for each program and number a line
//! `NUMBER what was done: what became of it`, the same for the same seed. As process 1 it reads its words from `/arguments`,
//! says how much memory is free before and after, and turns the machine off.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Where the mutated program lies.
const VICTIM: &str = "/tmp/victim";
/// Seconds a mutated program may run.
const PATIENCE: Duration = Duration::from_secs(4);

/// xorshift64*: the same numbers everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Values that checks tend to get wrong.
const ODD: [u64; 18] = [
    0,
    1,
    2,
    3,
    7,
    0xfff,
    0x1000,
    0x1001,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_f000,
    u64::MAX,
];

/// The fields of the file header: offset and size.
const EHDR: [(usize, usize); 13] =
    [(4, 1), (5, 1), (16, 2), (18, 2), (20, 4), (24, 8), (32, 8), (40, 8), (48, 4), (52, 2), (54, 2), (56, 2), (60, 2)];
/// The fields of a program header.
const PHDR: [(usize, usize); 8] = [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)];
const PHDR_LEN: usize = 56;

fn put(file: &mut [u8], at: usize, size: usize, value: u64) {
    if let Some(field) = file.get_mut(at..at + size) {
        field.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

fn get(file: &[u8], at: usize, size: usize) -> u64 {
    let mut bytes = [0; 8];
    if let Some(field) = file.get(at..at + size) {
        bytes[..size].copy_from_slice(field);
    }
    u64::from_le_bytes(bytes)
}

/// A new value for a field: an odd one, a random one, or one near the old.
fn value(rng: &mut Rng, old: u64) -> u64 {
    match rng.below(4) {
        0 | 1 => ODD[rng.below(ODD.len())],
        2 => rng.next(),
        _ => old.wrapping_add(rng.next() % 33).wrapping_sub(16),
    }
}

fn change_field(rng: &mut Rng, file: &mut [u8]) -> String {
    let phnum = get(file, 56, 2).min(64) as usize;
    let phoff = get(file, 32, 8) as usize;
    let (what, at, size) = if rng.below(3) == 0 || phnum == 0 {
        let (at, size) = EHDR[rng.below(EHDR.len())];
        ("ehdr", at, size)
    } else {
        let (offset, size) = PHDR[rng.below(PHDR.len())];
        ("phdr", phoff.wrapping_add(rng.below(phnum) * PHDR_LEN + offset), size)
    };
    let new = value(rng, get(file, at, size));
    put(file, at, size, new);
    format!("{what}+{at:#x}={new:#x}")
}

/// Damages `file`; says how.
fn mutate(rng: &mut Rng, file: &mut Vec<u8>) -> String {
    match rng.below(10) {
        0 => {
            let len = rng.below(file.len() + 1);
            file.truncate(len);
            format!("cut to {len}")
        }
        1 => {
            let len = rng.below(1024);
            file.truncate(len);
            format!("cut to {len}")
        }
        2 => {
            let (at, bit) = (rng.below(file.len()), rng.below(8));
            file[at] ^= 1 << bit;
            format!("bit {at:#x}.{bit}")
        }
        3 => {
            let (at, len) = (rng.below(512), 1 + rng.below(64));
            for byte in file.iter_mut().skip(at).take(len) {
                *byte = rng.next() as u8;
            }
            format!("noise {at:#x}+{len}")
        }
        n => (0..1 + (n - 4) / 2).map(|_| change_field(rng, file)).collect::<Vec<_>>().join(" "),
    }
}

/// What the child does: limits, then the program. Never returns.
fn child(report: i32) -> ! {
    // SAFETY: plain system calls on values of our own; the child of a process with one thread.
    unsafe {
        let limit = |seconds| libc::rlimit { rlim_cur: seconds, rlim_max: seconds };
        libc::setrlimit(libc::RLIMIT_CPU, &limit(2));
        libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
        libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for fd in 0..3 {
            libc::dup2(null, fd);
        }
        let path = CString::new(VICTIM).unwrap_or_default();
        let argv = [path.as_ptr(), std::ptr::null()];
        let envp = [std::ptr::null()];
        libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        let error = *libc::__errno_location();
        libc::write(report, (&raw const error).cast(), 4);
        libc::_exit(127)
    }
}

/// Runs the file; says what became of it.
fn run() -> String {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for both descriptors, which are ours from here on.
    let (reader, writer) = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return "no pipe".into();
        }
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    // SAFETY: the child only makes system calls.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => child(writer.as_raw_fd()),
        -1 => return format!("fork: {}", std::io::Error::last_os_error()),
        _ => drop(writer),
    }
    let (mut error, mut status) = (0i32, 0i32);
    // SAFETY: `error` has room for what is read.
    let failed = unsafe { libc::read(reader.as_raw_fd(), (&raw mut error).cast(), 4) } == 4;
    let end = Instant::now() + PATIENCE;
    // SAFETY: `status` is ours.
    while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > end {
            // SAFETY: our own child, not waited for yet.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, &mut status, 0);
            }
            return "runs on".into();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if failed {
        return format!("errno {error}");
    }
    match status & 0x7f {
        0 => format!("exit {}", status >> 8 & 0xff),
        signal => format!("signal {signal}"),
    }
}

fn write_victim(bytes: &[u8]) -> std::io::Result<()> {
    // A new inode each time: the old one may be mapped still.
    match fs::remove_file(VICTIM) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(VICTIM, bytes)?;
    fs::set_permissions(VICTIM, fs::Permissions::from_mode(0o755))
}

fn campaign(words: &[String]) -> Result<(), String> {
    let [count, seed, first, programs @ ..] = words else { return Err("too few words".into()) };
    let number = |word: &String| word.parse::<u64>().map_err(|_| format!("{word} is no number"));
    let (count, seed, first) = (number(count)?, number(seed)?, number(first)?);
    for program in programs {
        let original = fs::read(program).map_err(|e| format!("{program}: {e}"))?;
        println!("# {program}, {} bytes", original.len());
        for n in first..first + count {
            let mut rng = Rng((seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let mut file = original.clone();
            let how = if n == 0 { "whole".into() } else { mutate(&mut rng, &mut file) };
            write_victim(&file).map_err(|e| format!("{VICTIM}: {e}"))?;
            println!("{n} {how}: {}", run());
        }
    }
    let _ = fs::remove_file(VICTIM);
    Ok(())
}

/// Free memory in kB, after what is on its way out has had time to go.
fn free_memory() -> u64 {
    std::thread::sleep(Duration::from_millis(500));
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("MemFree:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn mount(what: &std::ffi::CStr, at: &std::ffi::CStr) {
    // SAFETY: both are NUL-terminated; no data.
    unsafe { libc::mount(what.as_ptr(), at.as_ptr(), what.as_ptr(), 0, std::ptr::null()) };
}

fn main() {
    if std::process::id() != 1 {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if let Err(error) = campaign(&words) {
            eprintln!("elf: {error}");
            std::process::exit(1);
        }
        return;
    }
    mount(c"proc", c"/proc");
    mount(c"devtmpfs", c"/dev");
    mount(c"tmpfs", c"/tmp");
    let text = fs::read_to_string("/arguments").unwrap_or_default();
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    // Once for what is only made at first use.
    let warm: Vec<String> =
        ["20", "77", "0"].into_iter().map(str::to_owned).chain(words.iter().skip(3).cloned()).collect();
    println!("@WARM@");
    let _ = campaign(&warm);
    let before = free_memory();
    println!("@START@");
    if let Err(error) = campaign(&words) {
        println!("elf: {error}");
    }
    println!("@END free {before} {}@", free_memory());
    let _ = std::io::stdout().flush();
    // What was written is to be out before the kernel speaks again.
    // SAFETY: neither takes memory.
    unsafe {
        libc::tcdrain(1);
        libc::reboot(libc::RB_POWER_OFF);
    }
}
