// SPDX-License-Identifier: GPL-2.0
//! Terminals: pseudo-terminals, devpts, the line discipline and its settings, the console.

use crate::jobs::{pty, termios};
use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("tty.pty_names", pty_names),
    ("tty.pty_many", pty_many),
    ("tty.pty_locked", pty_locked),
    ("tty.default_termios", defaults),
    ("tty.canonical_lines", canonical),
    ("tty.echo_forms", echo),
    ("tty.erase_and_kill", erase),
    ("tty.word_erase_reprint", word_erase),
    ("tty.end_of_file", eof),
    ("tty.literal_next", lnext),
    ("tty.output_processing", output),
    ("tty.input_mapping", input_mapping),
    ("tty.raw_min_time", raw),
    ("tty.switch_to_raw_keeps_input", switch),
    ("tty.signals_off", no_isig),
    ("tty.flow_control", flow),
    ("tty.flush", flush),
    ("tty.tcsetattr_forms", set_forms),
    ("tty.window_size", window_size),
    ("tty.inq_outq", queues),
    ("tty.long_lines", long_lines),
    ("tty.packet_mode", packet),
    ("tty.master_close", master_close),
    ("tty.slave_reopen", slave_reopen),
    ("tty.nonblock", nonblock),
    ("tty.errors", errors),
    ("tty.console", console),
    ("tty.node_times", node_times),
    ("tty.sti_needs_owner", sti),
];

/// A pty with both ends open: (master, slave).
fn ends() -> Result<(i32, i32), String> {
    let (master, path) = pty()?;
    Ok((master, open(&path, libc::O_RDWR | libc::O_NOCTTY)?))
}

/// Changes the settings.
fn change(fd: i32, how: impl FnOnce(&mut libc::termios)) -> Outcome {
    let mut term = termios(fd)?;
    how(&mut term);
    c!(libc::tcsetattr(fd, libc::TCSANOW, &term));
    Ok(())
}

fn quiet(fd: i32) -> Outcome {
    change(fd, |t| t.c_lflag &= !libc::ECHO)
}

/// What the master can read within a moment.
fn shown(master: i32) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        let mut p = libc::pollfd { fd: master, events: libc::POLLIN, revents: 0 };
        let wait = if all.is_empty() { 2000 } else { 60 };
        if c!(libc::poll(&mut p, 1, wait)) == 0 || p.revents & libc::POLLIN == 0 {
            return Ok(all);
        }
        all.extend(read(master, 4096)?);
    }
}

/// No input for the slave within a moment.
fn silent(fd: i32) -> Outcome {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut p, 1, 60)), 0);
    Ok(())
}

fn pty_names() -> Outcome {
    let (master, path) = pty()?;
    ck!(path.starts_with("/dev/pts/"), "{path}");
    let mut number = -1i32;
    c!(libc::ioctl(master, libc::TIOCGPTN, &mut number));
    eq!(path, format!("/dev/pts/{number}"));
    // SAFETY: all zero is valid.
    let mut st: libc::stat = unsafe { core::mem::zeroed() };
    c!(libc::stat(cstr(&path).as_ptr(), &mut st));
    eq!(st.st_mode & libc::S_IFMT, libc::S_IFCHR);
    eq!((libc::major(st.st_rdev), libc::minor(st.st_rdev)), (136, number as u32));
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY)?;
    eq!(std::fs::read_link(format!("/proc/self/fd/{slave}")).map_err(|e| e.to_string())?.to_string_lossy(), path);
    close(slave);
    close(master);
    fails!(libc::stat(cstr(&path).as_ptr(), &mut st), libc::ENOENT);
    Ok(())
}

fn pty_many() -> Outcome {
    let all: Vec<(i32, String)> = (0..20).map(|_| pty()).collect::<Result<_, _>>()?;
    let names: std::collections::HashSet<&String> = all.iter().map(|a| &a.1).collect();
    eq!(names.len(), 20);
    let listed = std::fs::read_dir("/dev/pts").map_err(|e| e.to_string())?.count();
    ck!(listed >= 21, "{listed} entries"); // and ptmx
    Ok(())
}

fn pty_locked() -> Outcome {
    let master = c!(libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY));
    let mut number = -1i32;
    c!(libc::ioctl(master, libc::TIOCGPTN, &mut number));
    let path = cstr(&format!("/dev/pts/{number}"));
    fails!(libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NOCTTY), libc::EIO);
    c!(libc::unlockpt(master));
    let slave = c!(libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NOCTTY));
    write(slave, b"x")?;
    eq!(read(master, 5)?, b"x");
    let peer = c!(libc::ioctl(master, 0x5441, libc::O_RDWR | libc::O_NOCTTY)); // TIOCGPTPEER
    write(peer, b"y")?;
    eq!(read(master, 5)?, b"y");
    Ok(())
}

fn defaults() -> Outcome {
    let (_master, slave) = ends()?;
    let t = termios(slave)?;
    eq!(t.c_iflag, libc::ICRNL | libc::IXON);
    eq!(t.c_oflag, libc::OPOST | libc::ONLCR);
    eq!(t.c_cflag, libc::B38400 | libc::CS8 | libc::CREAD);
    eq!(
        t.c_lflag,
        libc::ISIG
            | libc::ICANON
            | libc::ECHO
            | libc::ECHOE
            | libc::ECHOK
            | libc::ECHOCTL
            | libc::ECHOKE
            | libc::IEXTEN
    );
    eq!(&t.c_cc[..17], &[3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0]);
    Ok(())
}

fn canonical() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"no line")?;
    silent(slave)?;
    write(master, b" yet\nsecond\n")?;
    eq!(read(slave, 100)?, b"no line yet\n"); // one line a read
    eq!(read(slave, 3)?, b"sec");
    eq!(read(slave, 100)?, b"ond\n");
    Ok(())
}

fn echo() -> Outcome {
    let (master, slave) = ends()?;
    write(master, b"a\x01\tb\n")?;
    eq!(shown(master)?, b"a^A\tb\r\n");
    eq!(read(slave, 20)?, b"a\x01\tb\n");
    change(slave, |t| t.c_lflag &= !libc::ECHOCTL)?;
    write(master, b"\x01\n")?;
    eq!(shown(master)?, b"\x01\r\n");
    change(slave, |t| {
        t.c_lflag &= !libc::ECHO;
        t.c_lflag |= libc::ECHONL;
    })?;
    write(master, b"hidden\n")?;
    eq!(shown(master)?, b"\r\n");
    Ok(())
}

fn erase() -> Outcome {
    let (master, slave) = ends()?;
    write(master, b"ab\x7fc\n")?;
    eq!(shown(master)?, b"ab\x08 \x08c\r\n");
    eq!(read(slave, 20)?, b"ac\n");
    write(master, b"\x7f\x7fx\x01\x7f\n")?; // nothing to erase; a control character is two columns
    eq!(shown(master)?, b"x^A\x08 \x08\x08 \x08\r\n");
    eq!(read(slave, 20)?, b"x\n");
    write(master, b"gone\x15kept\n")?;
    eq!(shown(master)?, b"gone\x08 \x08\x08 \x08\x08 \x08\x08 \x08kept\r\n");
    eq!(read(slave, 20)?, b"kept\n");
    // A tab is erased to the column where it began.
    write(master, b"ab\t\x7f\n")?;
    eq!(shown(master)?, b"ab\t\x08\x08\x08\x08\x08\x08\r\n");
    read(slave, 20)?;
    change(slave, |t| t.c_iflag |= libc::IUTF8)?;
    write(master, "é\x7f!\n".as_bytes())?;
    eq!(shown(master)?, "é\x08 \x08!\r\n".as_bytes());
    eq!(read(slave, 20)?, b"!\n");
    Ok(())
}

fn word_erase() -> Outcome {
    let (master, slave) = ends()?;
    write(master, b"one two  \x17x\n")?;
    eq!(shown(master)?, b"one two  \x08 \x08\x08 \x08\x08 \x08\x08 \x08\x08 \x08x\r\n");
    eq!(read(slave, 20)?, b"one x\n");
    write(master, b"again\x12\n")?;
    eq!(shown(master)?, b"again^R\r\nagain\r\n");
    eq!(read(slave, 20)?, b"again\n");
    Ok(())
}

fn eof() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"\x04")?;
    eq!(read(slave, 20)?, b"");
    write(master, b"part\x04")?;
    eq!(read(slave, 20)?, b"part");
    write(master, b"x\x04\x04")?;
    eq!(read(slave, 20)?, b"x");
    eq!(read(slave, 20)?, b"");
    // A second end-of-line character of the user's own.
    change(slave, |t| t.c_cc[libc::VEOL] = b';')?;
    write(master, b"a;b\n")?;
    eq!(read(slave, 20)?, b"a;");
    eq!(read(slave, 20)?, b"b\n");
    Ok(())
}

fn lnext() -> Outcome {
    let (master, slave) = ends()?;
    write(master, b"\x16\x03\x16\x7f\x16\n\n")?;
    eq!(shown(master)?, b"^\x08^C^\x08^?^\x08^J\r\n");
    eq!(read(slave, 20)?, b"\x03\x7f\n\n");
    Ok(())
}

fn output() -> Outcome {
    let (master, slave) = ends()?;
    write(slave, b"a\nb\r\n")?;
    eq!(shown(master)?, b"a\r\nb\r\r\n");
    change(slave, |t| t.c_oflag = libc::OPOST | libc::OCRNL)?;
    write(slave, b"a\rb\n")?;
    eq!(shown(master)?, b"a\nb\n");
    change(slave, |t| t.c_oflag = libc::OPOST | libc::ONOCR)?;
    write(slave, b"\n\rx\ry")?; // at column 0 the return is dropped (the newline alone does not reset it)
    let got = shown(master)?;
    ck!(got.ends_with(b"x\ry"), "{got:?}");
    change(slave, |t| t.c_oflag = libc::OPOST | libc::OLCUC)?;
    write(slave, b"up")?;
    eq!(shown(master)?, b"UP");
    change(slave, |t| t.c_oflag = libc::OPOST | libc::TAB3)?;
    write(slave, b"\r")?;
    shown(master)?;
    write(slave, b"ab\tc")?;
    eq!(shown(master)?, b"ab      c");
    change(slave, |t| t.c_oflag = libc::ONLCR)?; // without OPOST nothing
    write(slave, b"\n")?;
    eq!(shown(master)?, b"\n");
    Ok(())
}

fn input_mapping() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"a\r")?;
    eq!(read(slave, 9)?, b"a\n");
    change(slave, |t| t.c_iflag = libc::IGNCR)?;
    write(master, b"b\r\n")?;
    eq!(read(slave, 9)?, b"b\n");
    change(slave, |t| t.c_iflag = libc::INLCR | libc::ICRNL)?;
    write(master, b"c\nd\r")?;
    eq!(read(slave, 9)?, b"c\rd\n");
    change(slave, |t| t.c_iflag = libc::ISTRIP)?;
    write(master, b"\xe1\n")?;
    eq!(read(slave, 9)?, b"a\n");
    change(slave, |t| t.c_iflag = libc::IUCLC)?;
    write(master, b"UP\n")?;
    eq!(read(slave, 9)?, b"up\n");
    Ok(())
}

/// Waits until `count` bytes can be read: what is written to a master goes through a worker.
fn arrived(slave: i32, count: i32) -> Outcome {
    let mut there = -1i32;
    let all = until("input arrives", || {
        // SAFETY: a live number.
        unsafe { libc::ioctl(slave, libc::FIONREAD, &mut there) == 0 && there == count }
    });
    all.map_err(|why| format!("{there} of {count} bytes: {why}"))
}

fn raw() -> Outcome {
    let (master, slave) = ends()?;
    change(slave, |t| {
        t.c_lflag &= !(libc::ICANON | libc::ECHO | libc::ISIG);
        t.c_cc[libc::VMIN] = 3;
        t.c_cc[libc::VTIME] = 0;
    })?;
    let pid = child(|| {
        sleep_ms(40);
        let _ = write(master, b"ab");
        sleep_ms(40);
        let _ = write(master, b"\x03d");
        0
    })?;
    eq!(read(slave, 10)?, b"ab\x03d");
    eq!(exit_of(pid)?, 0);
    let times = |min: u8, time: u8| {
        change(slave, move |t| {
            t.c_cc[libc::VMIN] = min;
            t.c_cc[libc::VTIME] = time;
        })
    };
    times(0, 0)?; // poll
    eq!(read(slave, 10)?, b"");
    write(master, b"x")?;
    arrived(slave, 1)?;
    eq!(read(slave, 10)?, b"x");
    times(0, 1)?; // a time to the first byte
    let start = now_ms();
    eq!(read(slave, 10)?, b"");
    ck!((90..15_000).contains(&(now_ms() - start)), "{} ms", now_ms() - start);
    times(5, 1)?; // a time between bytes
    write(master, b"yz")?;
    eq!(read(slave, 10)?, b"yz");
    times(1, 0)?;
    write(master, b"1234")?;
    eq!(read(slave, 2)?, b"12");
    eq!(read(slave, 9)?, b"34");
    Ok(())
}

fn switch() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"typed ahead")?;
    silent(slave)?;
    change(slave, |t| {
        t.c_lflag &= !libc::ICANON;
        t.c_cc[libc::VMIN] = 1;
    })?;
    eq!(read(slave, 20)?, b"typed ahead");
    Ok(())
}

fn no_isig() -> Outcome {
    let (master, slave) = ends()?;
    change(slave, |t| t.c_lflag &= !(libc::ISIG | libc::ECHO))?;
    write(master, b"\x03\x1a\x1c\n")?;
    eq!(read(slave, 20)?, b"\x03\x1a\x1c\n");
    Ok(())
}

fn flow() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"\x13in order\n")?; // ^S
    arrived(slave, 9)?;
    let pid = child(|| i32::from(write(slave, b"held\n") != Ok(5)))?;
    let mut p = libc::pollfd { fd: master, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut p, 1, 100)), 0);
    write(master, b"\x11")?; // ^Q
    eq!(shown(master)?, b"held\r\n");
    eq!(exit_of(pid)?, 0);
    c!(libc::tcflow(slave, libc::TCOOFF));
    let pid = child(|| i32::from(write(slave, b"again\n") != Ok(6)))?;
    eq!(c!(libc::poll(&mut p, 1, 100)), 0);
    c!(libc::tcflow(slave, libc::TCOON));
    eq!(shown(master)?, b"again\r\n");
    eq!(exit_of(pid)?, 0);
    Ok(())
}

fn flush() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"lost\n")?;
    arrived(slave, 5)?;
    c!(libc::tcflush(slave, libc::TCIFLUSH));
    silent(slave)?;
    write(master, b"kept\n")?;
    eq!(read(slave, 20)?, b"kept\n");
    fails!(libc::tcflush(slave, 99), libc::EINVAL);
    c!(libc::tcdrain(slave));
    Ok(())
}

fn set_forms() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    write(master, b"before\n")?;
    arrived(slave, 7)?;
    let term = termios(slave)?;
    c!(libc::tcsetattr(slave, libc::TCSADRAIN, &term));
    eq!(read(slave, 20)?, b"before\n");
    write(master, b"before\n")?;
    arrived(slave, 7)?;
    c!(libc::tcsetattr(slave, libc::TCSAFLUSH, &term));
    silent(slave)?;
    // The other interface to the same settings; unknown bits in the characters stay.
    let mut raw = [0u8; 44];
    c!(libc::ioctl(slave, 0x802c_542a, raw.as_mut_ptr())); // TCGETS2
    eq!(u32::from_ne_bytes([raw[12], raw[13], raw[14], raw[15]]), term.c_lflag);
    eq!(u32::from_ne_bytes([raw[40], raw[41], raw[42], raw[43]]), 38400);
    Ok(())
}

fn window_size() -> Outcome {
    let (master, slave) = ends()?;
    // SAFETY: all zero is valid.
    let mut size: libc::winsize = unsafe { core::mem::zeroed() };
    c!(libc::ioctl(slave, libc::TIOCGWINSZ, &mut size));
    eq!((size.ws_row, size.ws_col), (0, 0));
    size.ws_row = 40;
    size.ws_col = 132;
    c!(libc::ioctl(slave, libc::TIOCSWINSZ, &size));
    c!(libc::ioctl(master, libc::TIOCGWINSZ, &mut size));
    eq!((size.ws_row, size.ws_col), (40, 132));
    Ok(())
}

fn queues() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    let mut count = -1i32;
    write(master, b"12345\n678")?;
    arrived(slave, 6)?; // whole lines
    c!(libc::ioctl(slave, libc::TIOCOUTQ, &mut count));
    eq!(count, 0);
    Ok(())
}

fn long_lines() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    // A line of 4095 bytes and its end fit; what is more is dropped, the end is kept.
    let line = vec![b'x'; 5000];
    let mut done = 0;
    while done < line.len() {
        done += write(master, &line[done..(done + 500).min(line.len())])?;
    }
    write(master, b"\n")?;
    let got = read(slave, 8192)?;
    eq!((got.len(), got.last()), (4096, Some(&b'\n')));
    Ok(())
}

fn packet() -> Outcome {
    let (master, slave) = ends()?;
    quiet(slave)?;
    let on = 1i32;
    c!(libc::ioctl(master, libc::TIOCPKT, &on));
    write(slave, b"data")?;
    eq!(read(master, 20)?, b"\0data");
    c!(libc::tcflush(slave, libc::TCIFLUSH));
    eq!(read(master, 20)?, [1]); // TIOCPKT_FLUSHREAD
    Ok(())
}

fn master_close() -> Outcome {
    let (master, slave) = ends()?;
    write(master, b"pending\n")?;
    arrived(slave, 8)?;
    close(master);
    eq!(read(slave, 20)?, b""); // a hang-up, and the input is gone
    fails!(libc::write(slave, b"x".as_ptr().cast(), 1), libc::EIO);
    let mut p = libc::pollfd { fd: slave, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut p, 1, 0)), 1);
    ck!(p.revents & libc::POLLHUP != 0);
    fails!(libc::tcgetattr(slave, &mut termios(pty()?.0)?), libc::EIO);
    Ok(())
}

fn slave_reopen() -> Outcome {
    let (master, path) = pty()?;
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY)?;
    write(slave, b"last words")?;
    close(slave);
    eq!(read(master, 20)?, b"last words");
    fails!(libc::read(master, [0u8; 1].as_mut_ptr().cast(), 1), libc::EIO);
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY)?;
    write(slave, b"back")?;
    eq!(read(master, 20)?, b"back");
    Ok(())
}

fn nonblock() -> Outcome {
    let (master, path) = pty()?;
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK)?;
    fails!(libc::read(slave, [0u8; 1].as_mut_ptr().cast(), 1), libc::EAGAIN);
    // The buffers between the two have an end.
    let mut total = 0usize;
    loop {
        // SAFETY: a live buffer.
        let n = unsafe { libc::write(slave, [b'x'; 1024].as_ptr().cast(), 1024) };
        if n < 0 {
            eq!(errno(), libc::EAGAIN);
            break;
        }
        total += n as usize;
        ck!(total < 1 << 20, "no end");
    }
    ck!(total >= 1024, "only {total}");
    let mut got = 0;
    while got < total {
        got += read(master, 4096)?.len();
    }
    eq!(got, total);
    Ok(())
}

fn errors() -> Outcome {
    let (_master, slave) = ends()?;
    fails!(libc::ioctl(slave, 0x5499, 0), libc::ENOTTY);
    fails!(libc::ioctl(slave, libc::TCGETS, 8), libc::EFAULT);
    fails!(libc::tcgetattr(900, core::ptr::null_mut()), libc::EBADF);
    let null = open("/dev/null", libc::O_RDWR)?;
    fails!(libc::ioctl(null, libc::TIOCGWINSZ, 0), libc::ENOTTY);
    fails!(libc::tcgetpgrp(slave), libc::ENOTTY); // not our controlling terminal
    fails!(libc::open(c"/dev/pts/9999".as_ptr(), libc::O_RDWR), libc::ENOENT);
    fails!(libc::lseek(slave, 0, 0), libc::ESPIPE);
    Ok(())
}

fn console() -> Outcome {
    let fd = open("/dev/console", libc::O_RDWR | libc::O_NOCTTY)?;
    ck!(c!(libc::isatty(fd)) == 1);
    let t = termios(fd)?;
    ck!(t.c_oflag & libc::OPOST != 0 || t.c_oflag == 0);
    c!(libc::access(c"/dev/ttyS0".as_ptr(), libc::F_OK));
    c!(libc::access(c"/dev/tty".as_ptr(), libc::F_OK));
    c!(libc::access(c"/dev/ptmx".as_ptr(), libc::F_OK));
    Ok(())
}

fn sti() -> Outcome {
    let (_master, slave) = ends()?;
    in_child(|| {
        c!(libc::setuid(1000));
        // SAFETY: one byte.
        let ret = unsafe { libc::ioctl(slave, libc::TIOCSTI, c"x".as_ptr()) };
        ck!(ret == -1 && matches!(errno(), libc::EPERM | libc::EIO), "{}", errno_name());
        Ok(())
    })
}

/// Reading moves the node's access time, writing its modification time: seconds alone, and only if eight of them have gone by.
fn node_times() -> Outcome {
    let (master, path) = pty()?;
    let slave = open(&path, libc::O_RDWR | libc::O_NOCTTY)?;
    let times = || -> Result<libc::stat, String> {
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        c!(libc::fstat(slave, &mut stat));
        Ok(stat)
    };
    let set = |sec| -> Outcome {
        let time = libc::timespec { tv_sec: sec, tv_nsec: 5 };
        c!(libc::futimens(slave, [time, time].as_ptr()));
        Ok(())
    };
    let now = || unsafe { libc::time(std::ptr::null_mut()) };
    set(1000)?;
    c!(libc::write(slave, c"x".as_ptr().cast(), 1));
    let after = times()?;
    eq!((after.st_atime, after.st_atime_nsec, after.st_mtime_nsec), (1000, 5, 5));
    ck!((0..=2).contains(&(now() - after.st_mtime)), "modified at {}", after.st_mtime);
    set(1000)?;
    c!(libc::write(master, c"a\n".as_ptr().cast(), 2));
    let mut byte = [0u8; 8];
    eq!(c!(libc::read(slave, byte.as_mut_ptr().cast(), 8)), 2);
    let after = times()?;
    ck!((0..=2).contains(&(now() - after.st_atime)), "read at {}", after.st_atime);
    eq!((after.st_atime_nsec, after.st_mtime), (5, 1000));
    // Within the same eight seconds nothing moves.
    let stays = now() & !7;
    set(stays)?;
    c!(libc::write(slave, c"x".as_ptr().cast(), 1));
    if now() & !7 == stays {
        eq!(times()?.st_mtime, stays);
    }
    unsafe { (libc::close(slave), libc::close(master)) };
    Ok(())
}
