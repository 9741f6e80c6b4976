// SPDX-License-Identifier: GPL-2.0
//! Random numbers: what counts as entropy, who may say so, and the settings below /proc/sys/kernel/random.

use crate::util::*;
use crate::{Test, c, ck, eq, fails};

pub const TESTS: &[Test] = &[
    ("entropy.count", count),
    ("entropy.rights", rights),
    ("entropy.settings", settings),
    ("entropy.poll", poll),
    ("entropy.getrandom", getrandom),
];

const RNDGETENTCNT: libc::c_ulong = 0x8004_5200;
const RNDADDTOENTCNT: libc::c_ulong = 0x4004_5201;
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDZAPENTCNT: libc::c_ulong = 0x5204;
const RNDCLEARPOOL: libc::c_ulong = 0x5206;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

fn device() -> Result<i32, String> {
    open("/dev/random", libc::O_RDWR)
}

fn avail() -> Result<i32, String> {
    text("/proc/sys/kernel/random/entropy_avail")?.trim().parse().map_err(|_| "no number".into())
}

fn count() -> Outcome {
    let fd = device()?;
    let mut bits = -1i32;
    c!(libc::ioctl(fd, RNDGETENTCNT, &raw mut bits));
    eq!(bits, 256);
    eq!(avail()?, 256);
    // The pool holds no more, and nothing is taken away.
    let more = 1000i32;
    c!(libc::ioctl(fd, RNDADDTOENTCNT, &raw const more));
    c!(libc::ioctl(fd, RNDADDENTROPY, [64i32, 8, 1, 2].as_ptr()));
    c!(libc::ioctl(fd, RNDZAPENTCNT, 0));
    c!(libc::ioctl(fd, RNDCLEARPOOL, 0));
    c!(libc::ioctl(fd, RNDRESEEDCRNG, 0));
    eq!(avail()?, 256);
    let less = -1i32;
    fails!(libc::ioctl(fd, RNDADDTOENTCNT, &raw const less), libc::EINVAL);
    fails!(libc::ioctl(fd, RNDADDENTROPY, [-1i32, 8, 1, 2].as_ptr()), libc::EINVAL);
    fails!(libc::ioctl(fd, RNDADDTOENTCNT, 8), libc::EFAULT);
    fails!(libc::ioctl(fd, 0x52ff, 0), libc::EINVAL);
    Ok(())
}

fn rights() -> Outcome {
    let fd = device()?;
    in_child(|| {
        c!(libc::setresuid(4321, 4321, 4321));
        let bits = 8i32;
        for request in [RNDADDTOENTCNT, RNDADDENTROPY, RNDZAPENTCNT, RNDCLEARPOOL, RNDRESEEDCRNG] {
            fails!(libc::ioctl(fd, request, &raw const bits), libc::EPERM);
        }
        // Anybody may ask, and mix something in.
        let mut bits = 0i32;
        c!(libc::ioctl(fd, RNDGETENTCNT, &raw mut bits));
        eq!(write(fd, b"dice")?, 4);
        Ok(())
    })
}

fn settings() -> Outcome {
    let at = |name: &str| format!("/proc/sys/kernel/random/{name}");
    for (name, value, mode) in [
        ("poolsize", "256\n", 0o444),
        ("write_wakeup_threshold", "256\n", 0o644),
        ("urandom_min_reseed_secs", "60\n", 0o644),
    ] {
        eq!(text(&at(name))?, value);
        let meta = std::fs::metadata(at(name)).map_err(|e| e.to_string())?;
        eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777, mode);
    }
    // What is written changes nothing.
    std::fs::write(at("write_wakeup_threshold"), "64").map_err(|e| e.to_string())?;
    std::fs::write(at("urandom_min_reseed_secs"), "1").map_err(|e| e.to_string())?;
    eq!(text(&at("write_wakeup_threshold"))?, "256\n");
    eq!(text(&at("urandom_min_reseed_secs"))?, "60\n");
    let (boot, uuid) = (text(&at("boot_id"))?, text(&at("uuid"))?);
    eq!(boot, text(&at("boot_id"))?);
    ck!(uuid != text(&at("uuid"))? && uuid.len() == 37 && boot.len() == 37);
    Ok(())
}

fn poll() -> Outcome {
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLRDNORM | libc::POLLWRNORM;
    let events = |fd: i32| {
        let mut entry = libc::pollfd { fd, events: all, revents: 0 };
        // SAFETY: one live entry.
        unsafe { libc::poll(&mut entry, 1, 0) };
        entry.revents
    };
    let (random, urandom) = (device()?, open("/dev/urandom", libc::O_RDWR)?);
    eq!(events(random), libc::POLLIN | libc::POLLRDNORM);
    eq!(events(urandom), all);
    let ep = c!(libc::epoll_create1(0));
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    c!(libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, random, &mut event));
    fails!(libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, urandom, &mut event), libc::EPERM);
    eq!(c!(libc::lseek(random, 100, libc::SEEK_SET)), 0);
    Ok(())
}

fn getrandom() -> Outcome {
    let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
    eq!(c!(libc::getrandom(a.as_mut_ptr().cast(), 32, libc::GRND_NONBLOCK)), 32);
    eq!(c!(libc::getrandom(b.as_mut_ptr().cast(), 32, libc::GRND_RANDOM)), 32);
    ck!(a != b && a != [0; 32]);
    const INSECURE: u32 = 4;
    eq!(c!(libc::getrandom(b.as_mut_ptr().cast(), 32, INSECURE)), 32);
    fails!(libc::getrandom(b.as_mut_ptr().cast(), 32, libc::GRND_RANDOM | INSECURE), libc::EINVAL);
    fails!(libc::getrandom(b.as_mut_ptr().cast(), 32, 8), libc::EINVAL);
    Ok(())
}
