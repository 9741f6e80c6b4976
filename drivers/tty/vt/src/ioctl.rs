// SPDX-License-Identifier: GPL-2.0
//! Requests to a virtual terminal: `VT_*` (which is in front, who controls that) and `KD*` (keyboard, screen). May sleep. What is
//! not there answers as Linux does without it: loadable fonts `ENOSYS` (`KDFONTOP`), keymaps and the rest `ENOTTY`.
//! Source: `ioctl_console(2)`.

use crate::terminals::{self, SWITCHED, VT};
use crate::{COUNT, keyboard, line, switch};
use errno::{
    Result,
    code::{EBUSY, EFAULT, EINVAL, ENODEV, ENOSYS, ENXIO, EPERM},
};
use kalloc::Arc;
use tty::Tty;
use uapi::*;
use vfs::{File, user};
use vt_emul::Rgb;

/// A request; `None` if it is none of these.
pub(crate) fn ioctl(index: usize, tty: &Arc<Tty>, _file: &File, cmd: u32, arg: usize) -> Option<Result<usize>> {
    vt(index, tty, cmd, arg).or_else(|| keyboard_request(index, tty, cmd, arg)).or_else(|| screen(index, tty, cmd, arg))
}

/// Whether the caller may change this terminal: it is his, or he may change all.
fn permitted(tty: &Tty) -> Result {
    if tty.is_callers() || cred::capable(cred::CAP_SYS_TTY_CONFIG) { Ok(()) } else { Err(EPERM) }
}

fn privileged() -> Result {
    if cred::capable(cred::CAP_SYS_TTY_CONFIG) { Ok(()) } else { Err(EPERM) }
}

/// Terminal number `arg`, counted from 1. `ENXIO`.
fn number(arg: usize) -> Result<usize> {
    arg.checked_sub(1).filter(|&n| n < COUNT).ok_or(ENXIO)
}

/// Does something with terminal `index`; `ENODEV` if it is not there.
fn with<R>(index: usize, f: impl FnOnce(&mut terminals::Terminal) -> R) -> Result<R> {
    VT.lock_irqsave().get(index).map(f).ok_or(ENODEV)
}

fn put_int(arg: usize, value: i32) -> Result<usize> {
    user::put(arg, &value).map(|()| 0)
}

fn done(result: Result) -> Option<Result<usize>> {
    Some(result.map(|()| 0))
}

fn vt(index: usize, tty: &Arc<Tty>, cmd: u32, arg: usize) -> Option<Result<usize>> {
    match cmd {
        VT_OPENQRY => {
            let free = (0..COUNT).find(|&n| !terminals::is_open(n)).map_or(-1, |n| n as i32 + 1);
            Some(put_int(arg, free))
        }
        VT_GETSTATE => Some(get_state(arg)),
        VT_ACTIVATE => done(permitted(tty).and_then(|()| activate(number(arg)?))),
        VT_WAITACTIVE => done(permitted(tty).and_then(|()| wait_active(number(arg)?))),
        VT_GETMODE => Some(get_mode(index, arg)),
        VT_SETMODE => done(permitted(tty).and_then(|()| set_mode(index, arg))),
        VT_SETACTIVATE => done(permitted(tty).and_then(|()| set_activate(arg))),
        VT_RELDISP => done(permitted(tty).and_then(|()| switch::answer(index, arg))),
        VT_DISALLOCATE => done(disallocate(arg)),
        VT_RESIZE => done(permitted(tty).and_then(|()| resize_all(arg))),
        VT_RESIZEX => done(permitted(tty).and_then(|()| resize_extended(arg))),
        VT_LOCKSWITCH | VT_UNLOCKSWITCH => done(privileged().map(|()| {
            VT.lock_irqsave().locked = cmd == VT_LOCKSWITCH;
        })),
        // The font has no more than 256 characters that text mode shows.
        VT_GETHIFONTMASK => Some(user::put(arg, &0u16).map(|()| 0)),
        _ => None,
    }
}

fn get_state(arg: usize) -> Result<usize> {
    // Bit 0 stands for /dev/tty0, which is always there.
    let open = (0..15).filter(|&n| terminals::is_open(n)).fold(1u16, |mask, n| mask | 2 << n);
    let mut state: vt_stat = user::get(arg)?;
    state.v_active = terminals::front() as u16 + 1;
    state.v_state = open;
    user::put(arg, &state).map(|()| 0)
}

fn activate(to: usize) -> Result {
    terminals::allocate(to)?;
    // As with Linux, one that may not come to the front now is no error.
    let _ = switch::to(to);
    Ok(())
}

fn wait_active(wanted: usize) -> Result {
    SWITCHED.wait_interruptible(|| terminals::front() == wanted)
}

fn get_mode(index: usize, arg: usize) -> Result<usize> {
    let mode = with(index, |t| vt_mode {
        mode: t.switching.mode as i8,
        waitv: t.switching.waitv,
        relsig: t.switching.relsig.cast_signed(),
        acqsig: t.switching.acqsig.cast_signed(),
        frsig: 0,
    })?;
    user::put(arg, &mode).map(|()| 0)
}

fn set_mode(index: usize, arg: usize) -> Result {
    let wanted: vt_mode = user::get(arg)?;
    let mode = u32::from(wanted.mode.cast_unsigned());
    if mode != VT_AUTO && mode != VT_PROCESS {
        return Err(EINVAL);
    }
    let new = terminals::Switching {
        mode,
        waitv: wanted.waitv,
        relsig: wanted.relsig.cast_unsigned(),
        acqsig: wanted.acqsig.cast_unsigned(),
        owner: terminals::caller(),
        wanted: None,
    };
    let old = with(index, |t| core::mem::replace(&mut t.switching, new))?;
    drop(old);
    Ok(())
}

/// `VT_SETACTIVATE`: a mode for a terminal, and that to the front.
fn set_activate(arg: usize) -> Result {
    // struct vt_setactivate: the number, then a vt_mode.
    let console: u32 = user::get(arg)?;
    let to = number(console as usize)?;
    terminals::allocate(to)?;
    set_mode(to, arg.checked_add(4).ok_or(EFAULT)?)?;
    let _ = switch::to(to);
    Ok(())
}

/// `VT_DISALLOCATE`: one terminal (`EBUSY` if it is used), or with 0 all that nobody uses.
fn disallocate(arg: usize) -> Result {
    if arg == 0 {
        for n in 1..COUNT {
            // Those that are used stay.
            let _ = terminals::free(n);
        }
        return Ok(());
    }
    if terminals::free(number(arg)?) { Ok(()) } else { Err(EBUSY) }
}

/// Resizes every terminal there is, and tells the jobs in front of those that are open.
fn resize_to(cols: usize, rows: usize) -> Result {
    for n in 0..COUNT {
        let tty = match VT.lock_irqsave().get(n) {
            Some(terminal) => terminal.tty.clone(),
            None => continue,
        };
        match tty {
            Some(tty) => tty.resize(line::window((cols, rows)))?,
            None => line::resize(n, cols, rows)?,
        }
    }
    Ok(())
}

fn resize_all(arg: usize) -> Result {
    let sizes: vt_sizes = user::get(arg)?;
    resize_to(sizes.v_cols.into(), sizes.v_rows.into())
}

/// `VT_RESIZEX`: the size may be given in pixels and the character's height.
fn resize_extended(arg: usize) -> Result {
    let size: vt_consize = user::get(arg)?;
    let mut rows = usize::from(size.v_rows);
    if size.v_vlin != 0 && size.v_clin != 0 {
        let from_pixels = usize::from(size.v_vlin / size.v_clin);
        if rows != 0 && rows != from_pixels {
            return Err(EINVAL);
        }
        rows = from_pixels;
    }
    if size.v_clin > 32 {
        return Err(EINVAL);
    }
    resize_to(size.v_cols.into(), rows)
}

fn keyboard_request(index: usize, tty: &Arc<Tty>, cmd: u32, arg: usize) -> Option<Result<usize>> {
    match cmd {
        KDGKBTYPE => Some(user::put(arg, &(KB_101 as u8)).map(|()| 0)),
        KDGKBMODE => Some(with(index, |t| t.key_mode.cast_signed()).and_then(|mode| put_int(arg, mode))),
        KDSKBMODE => done(permitted(tty).and_then(|()| match u32::try_from(arg) {
            Ok(mode @ (K_RAW | K_MEDIUMRAW | K_XLATE | K_UNICODE | K_OFF)) => with(index, |t| t.key_mode = mode),
            _ => Err(EINVAL),
        })),
        KDGKBMETA => Some(
            with(index, |t| if t.meta_bit { K_METABIT } else { K_ESCPREFIX })
                .and_then(|meta| put_int(arg, meta.cast_signed())),
        ),
        KDSKBMETA => done(match u32::try_from(arg) {
            Ok(mode @ (K_METABIT | K_ESCPREFIX)) => with(index, |t| t.meta_bit = mode == K_METABIT),
            _ => Err(EINVAL),
        }),
        // The locks, in both nibbles what they are: those at the start are none.
        KDGKBLED => Some(locks(index).and_then(|locks| user::put(arg, &locks).map(|()| 0))),
        KDGETLED => Some(locks(index).and_then(|locks| user::put(arg, &locks).map(|()| 0))),
        KDSKBLED => {
            done(permitted(tty).and_then(|()| if arg & !0x77 != 0 { Err(EINVAL) } else { set_locks(index, arg) }))
        }
        KDSETLED => done(permitted(tty).map(|()| {
            // Lights that say something else than the locks, until those change.
            match u8::try_from(arg) {
                Ok(leds) if leds & !7 == 0 => input::set_leds(leds),
                _ => keyboard::set_lights(),
            }
        })),
        _ => None,
    }
}

fn locks(index: usize) -> Result<u8> {
    let mut vt = VT.lock_irqsave();
    if vt.front == index {
        return Ok(vt.keyboard.leds());
    }
    vt.get(index).map(|t| t.leds).ok_or(ENODEV)
}

fn set_locks(index: usize, arg: usize) -> Result {
    let leds = arg as u8 & 7;
    with(index, |t| t.leds = leds)?;
    if terminals::front() == index {
        VT.lock_irqsave().keyboard.set_leds(leds);
        keyboard::set_lights();
    }
    Ok(())
}

fn screen(index: usize, tty: &Arc<Tty>, cmd: u32, arg: usize) -> Option<Result<usize>> {
    match cmd {
        KDGETMODE => Some(with(index, |t| t.screen_mode.cast_signed()).and_then(|mode| put_int(arg, mode))),
        KDSETMODE => done(permitted(tty).and_then(|()| match u32::try_from(arg) {
            Ok(KD_GRAPHICS) => {
                switch::set_screen_mode(index, KD_GRAPHICS);
                Ok(())
            }
            Ok(KD_TEXT | KD_TEXT0 | KD_TEXT1) => {
                switch::set_screen_mode(index, KD_TEXT);
                Ok(())
            }
            _ => Err(EINVAL),
        })),
        KDMAPDISP | KDUNMAPDISP => Some(Err(EINVAL)),
        KDFONTOP => Some(Err(ENOSYS)),
        GIO_CMAP => Some(get_palette(index, arg)),
        PIO_CMAP => done(permitted(tty).and_then(|()| set_palette(arg))),
        TIOCLINUX => Some(linux(tty, arg)),
        _ => None,
    }
}

/// The colours, 3 bytes each, in the order of ECMA-48.
fn get_palette(index: usize, arg: usize) -> Result<usize> {
    let palette = with(index, |t| *t.emulator.palette())?;
    let mut bytes = [0u8; 48];
    for (n, entry) in bytes.chunks_exact_mut(3).enumerate() {
        if let (Some(Rgb(red, green, blue)), [r, g, b]) = (palette.get(from_ansi(n)), entry) {
            (*r, *g, *b) = (*red, *green, *blue);
        }
    }
    user::copy_out(arg, &bytes).map(|()| 0)
}

/// Sets the colours of all terminals.
fn set_palette(arg: usize) -> Result {
    let mut bytes = [0u8; 48];
    user::copy_in(arg, &mut bytes)?;
    let mut palette = vt_emul::DEFAULT_PALETTE;
    for (n, entry) in bytes.chunks_exact(3).enumerate() {
        if let (Some(color), &[r, g, b]) = (palette.get_mut(from_ansi(n)), entry) {
            *color = Rgb(r, g, b);
        }
    }
    let mut vt = VT.lock_irqsave();
    for n in 0..COUNT {
        if let Some(terminal) = vt.get(n) {
            terminal.emulator.set_palette(palette);
        }
    }
    vt.refresh();
    drop(vt);
    terminals::schedule_draw();
    Ok(())
}

/// The place of ECMA-48's colour `n` in VGA's order.
fn from_ansi(n: usize) -> usize {
    n & 0b1010 | (n & 1) << 2 | (n & 4) >> 2
}

/// `TIOCLINUX`: of its requests those that need no selection and no blanking.
fn linux(tty: &Tty, arg: usize) -> Result<usize> {
    // Linux asks for the administrator, or for the caller's own terminal.
    if !tty.is_callers() && !cred::capable(cred::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    match u32::from(user::get::<u8>(arg)?) {
        TIOCL_GETFGCONSOLE => Ok(terminals::front()),
        // Log messages always go to the terminal in front.
        TIOCL_GETKMSGREDIRECT => Ok(0),
        _ => Err(EINVAL),
    }
}
