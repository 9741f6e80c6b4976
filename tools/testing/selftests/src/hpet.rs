// SPDX-License-Identifier: GPL-2.0
//! `/dev/hpet`: who gets a comparator, what must be said before interrupts come, how many come in how much time.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("hpet.open", open_comparators),
    ("hpet.errors", errors),
    ("hpet.info", info),
    ("hpet.periodic", periodic),
    ("hpet.one_by_one", one_by_one),
    ("hpet.poll", poll),
    ("hpet.signal", signal),
    ("hpet.rights", rights),
];

const IE_ON: libc::Ioctl = 0x6801;
const IE_OFF: libc::Ioctl = 0x6802;
const INFO: libc::Ioctl = 0x8018_6803_u32 as libc::Ioctl;
const EPI: libc::Ioctl = 0x6804;
const DPI: libc::Ioctl = 0x6805;
const IRQFREQ: libc::Ioctl = 0x4008_6806;
const PERIODIC: u64 = 16;
const FREQUENCY: u64 = 64;

/// A comparator.
fn hpet() -> Result<i32, String> {
    if std::fs::metadata("/dev/hpet").is_err() {
        return Err(format!("{SKIP}no /dev/hpet"));
    }
    open("/dev/hpet", libc::O_RDONLY)
}

/// Reads how many interrupts came.
fn count(fd: i32) -> Result<u64, String> {
    let bytes = read(fd, 8)?;
    Ok(u64::from_ne_bytes(bytes.try_into().map_err(|_| "not 8 bytes")?))
}

/// Waits for so many interrupts; how many milliseconds that took.
fn wait_for(fd: i32, interrupts: u64) -> Result<u64, String> {
    let (start, mut came) = (now_ms(), 0);
    while came < interrupts {
        let more = count(fd)?;
        ck!(more != 0, "a read of no interrupt");
        came += more;
    }
    Ok(now_ms() - start)
}

fn open_comparators() -> Outcome {
    let mut all = vec![hpet()?];
    let path = cstr("/dev/hpet");
    fails!(libc::open(path.as_ptr(), libc::O_RDWR), libc::EINVAL);
    loop {
        // SAFETY: a path.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
        if fd < 0 {
            break;
        }
        all.push(fd);
        ck!(all.len() < 32, "more comparators than there can be");
    }
    eq!(errno(), libc::EBUSY);
    all.into_iter().for_each(close);
    close(hpet()?);
    Ok(())
}

fn errors() -> Outcome {
    let fd = hpet()?;
    let mut buffer = [0u8; 8];
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 8), libc::EIO);
    fails!(libc::ioctl(fd, IE_ON), libc::EIO);
    fails!(libc::ioctl(fd, IRQFREQ, 0u64), libc::EINVAL);
    fails!(libc::ioctl(fd, 0x68ff), libc::EINVAL);
    c!(libc::ioctl(fd, IE_OFF));
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 4), libc::EINVAL);
    c!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK));
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 8), libc::EAGAIN);
    c!(libc::ioctl(fd, IE_ON));
    fails!(libc::ioctl(fd, IE_ON), libc::EBUSY);
    c!(libc::ioctl(fd, IE_OFF));
    close(fd);
    Ok(())
}

fn info() -> Outcome {
    let fd = hpet()?;
    let mut info = [0u64; 3];
    c!(libc::ioctl(fd, INFO, info.as_mut_ptr()));
    eq!(info[0], 0);
    ck!(info[1] & !PERIODIC == 0, "flags {:#x}", info[1]);
    // The number of the chip, then that of the comparator, of which the kernel has the first two.
    eq!(info[2] & 0xffff, 0);
    ck!((2..32).contains(&(info[2] >> 16)), "comparator {:#x}", info[2]);
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    c!(libc::ioctl(fd, INFO, info.as_mut_ptr()));
    eq!(info[0], FREQUENCY);
    close(fd);
    Ok(())
}

fn periodic() -> Outcome {
    let fd = hpet()?;
    let mut info = [0u64; 3];
    c!(libc::ioctl(fd, INFO, info.as_mut_ptr()));
    if info[1] & PERIODIC == 0 {
        fails!(libc::ioctl(fd, EPI), libc::ENXIO);
        return Ok(());
    }
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    c!(libc::ioctl(fd, EPI));
    c!(libc::ioctl(fd, IE_ON));
    let ms = wait_for(fd, 100)?;
    // 100 are 1562 ms; a slow machine loses some.
    ck!((1500..8000).contains(&ms), "100 interrupts in {ms} ms");
    c!(libc::ioctl(fd, IE_OFF));
    // What came before is still there, and no more.
    c!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK));
    let _ = count(fd);
    sleep_ms(100);
    let mut buffer = [0u8; 8];
    fails!(libc::read(fd, buffer.as_mut_ptr().cast(), 8), libc::EAGAIN);
    close(fd);
    Ok(())
}

fn one_by_one() -> Outcome {
    let fd = hpet()?;
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    c!(libc::ioctl(fd, IE_ON));
    let ms = wait_for(fd, 32)?;
    ck!((450..4000).contains(&ms), "32 interrupts in {ms} ms");
    // Another rate, after they were off.
    c!(libc::ioctl(fd, IE_OFF));
    c!(libc::ioctl(fd, IRQFREQ, 16u64));
    c!(libc::ioctl(fd, DPI));
    c!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK));
    let _ = count(fd);
    c!(libc::fcntl(fd, libc::F_SETFL, 0));
    c!(libc::ioctl(fd, IE_ON));
    let ms = wait_for(fd, 8)?;
    ck!((400..4000).contains(&ms), "8 interrupts in {ms} ms");
    close(fd);
    Ok(())
}

fn poll() -> Outcome {
    let fd = hpet()?;
    let mut what = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    eq!(c!(libc::poll(&mut what, 1, 0)), 0);
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    eq!(c!(libc::poll(&mut what, 1, 0)), 0);
    c!(libc::ioctl(fd, IE_ON));
    eq!(c!(libc::poll(&mut what, 1, 5000)), 1);
    eq!(what.revents, libc::POLLIN);
    ck!(count(fd)? >= 1);
    close(fd);
    Ok(())
}

fn signal() -> Outcome {
    let fd = hpet()?;
    mask(libc::SIG_BLOCK, &[libc::SIGIO])?;
    c!(libc::fcntl(fd, libc::F_SETOWN, libc::getpid()));
    c!(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC));
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
    c!(libc::ioctl(fd, IE_ON));
    let (signals, wait) = (set(&[libc::SIGIO]), libc::timespec { tv_sec: 5, tv_nsec: 0 });
    for _ in 0..3 {
        eq!(c!(libc::sigtimedwait(&signals, std::ptr::null_mut(), &wait)), libc::SIGIO);
    }
    close(fd);
    Ok(())
}

fn rights() -> Outcome {
    let fd = hpet()?;
    eq!(text("/proc/sys/dev/hpet/max-user-freq")?.trim(), "64");
    c!(libc::ioctl(fd, IRQFREQ, FREQUENCY + 1));
    in_child(|| {
        c!(libc::setuid(1000));
        fails!(libc::ioctl(fd, IRQFREQ, FREQUENCY + 1), libc::EACCES);
        c!(libc::ioctl(fd, IRQFREQ, FREQUENCY));
        Ok(())
    })?;
    close(fd);
    Ok(())
}
