// SPDX-License-Identifier: GPL-2.0
//! Messages on their way through a socket, with their control parts: descriptors (`SCM_RIGHTS`) and credentials
//! (`SCM_CREDENTIALS`). Source: `sendmsg(2)`, `recvmsg(2)`, `cmsg(3)`, `unix(7)`. No locks.

use crate::address::SockAddr;
use crate::options::Timestamp;
use cred::{CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN, capable};
use errno::{Error, Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use pid_namespace::PidName;
use uapi::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET};
use vfs::{File, IovIter, fdget_raw, get_unused_fd, user};

/// Most descriptors in one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
/// Bytes of a control message's header (`struct cmsghdr`).
const HEADER: usize = 16;
/// Most bytes of control messages in one call.
const CONTROL_MAX: usize = 20480;

/// Who a process is (`struct ucred`).
#[derive(Clone, PartialEq, Debug)]
pub struct Ucred {
    /// What the process is called, wherever that is read.
    pub pid: PidName,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Ucred {
    /// Nobody known.
    pub const NOBODY: Self = Self { pid: PidName::NONE, uid: u32::MAX, gid: u32::MAX };

    /// Who sent a message when nobody asked for that: the ids stand for what has no number (`overflowuid`).
    pub const UNSAID: Self = Self { pid: PidName::NONE, uid: 65534, gid: 65534 };

    /// The kernel.
    pub const KERNEL: Self = Self { pid: PidName::NONE, uid: 0, gid: 0 };

    /// The current process, by its effective ids (what a peer is shown).
    pub fn effective() -> Result<Self> {
        let cred = cred::current_cred()?;
        Ok(Self { pid: vfs::hooks::current_name(), uid: cred.euid, gid: cred.egid })
    }

    /// The current process, by its real ids (what goes with a message).
    pub fn real() -> Result<Self> {
        let cred = cred::current_cred()?;
        Ok(Self { pid: vfs::hooks::current_name(), uid: cred.uid, gid: cred.gid })
    }

    fn bytes(&self) -> [u8; 12] {
        let mut out = [0; 12];
        for (to, word) in out.chunks_mut(4).zip([self.pid.here(), self.uid, self.gid]) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        out
    }

    /// Reads and checks what a program claims to be. `EPERM` if it must not, `ESRCH` for another process that is not there.
    fn from_program(bytes: &[u8]) -> Result<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(EINVAL)?;
            Ok::<u32, Error>(u32::from_ne_bytes(*bytes))
        };
        let (number, uid, gid) = (word(0)?, word(4)?, word(8)?);
        let cred = cred::current_cred()?;
        let own = vfs::hooks::current_name();
        let pid_ok = number == own.own() || capable(CAP_SYS_ADMIN);
        let uid_ok = [cred.uid, cred.euid, cred.suid].contains(&uid) || capable(CAP_SETUID);
        let gid_ok = [cred.gid, cred.egid, cred.sgid].contains(&gid) || capable(CAP_SETGID);
        if !pid_ok || !uid_ok || !gid_ok {
            return Err(EPERM);
        }
        let pid = if number == own.own() { own } else { vfs::hooks::name_of(number).ok_or(ESRCH)? };
        Ok(Self { pid, uid, gid })
    }
}

/// What goes with a message besides its bytes.
#[derive(Default)]
pub struct Control {
    /// Open files.
    pub files: KVec<Arc<File>>,
    /// Who sent it, if the sender said so.
    pub credentials: Option<Ucred>,
    /// When it was sent, for who asked for that.
    pub timestamp: Option<Timestamp>,
}

/// A message to be sent.
pub struct Send<'a, 'b> {
    /// The bytes.
    pub data: &'a mut IovIter<'b>,
    /// Where to; `None` is where the socket is connected to.
    pub to: Option<&'a SockAddr>,
    /// Control part; the socket takes it.
    pub control: Control,
    /// `MSG_*`.
    pub flags: u32,
}

impl<'a, 'b> Send<'a, 'b> {
    /// Plain bytes.
    pub fn new(data: &'a mut IovIter<'b>, flags: u32) -> Self {
        Self { data, to: None, control: Control::default(), flags }
    }
}

/// Room for a message to be received.
pub struct Recv<'a, 'b> {
    /// Where the bytes go.
    pub data: &'a mut IovIter<'b>,
    /// `MSG_*` as given.
    pub flags: u32,
    /// `MSG_*` to be returned.
    pub out_flags: u32,
    /// Who sent it; empty if it has no name.
    pub from: SockAddr,
    /// Control part.
    pub control: Control,
    /// Whether the caller has room for a control part.
    pub wants_control: bool,
}

impl<'a, 'b> Recv<'a, 'b> {
    /// Plain bytes.
    pub fn new(data: &'a mut IovIter<'b>, flags: u32) -> Self {
        Self { data, flags, out_flags: 0, from: SockAddr::NONE, control: Control::default(), wants_control: false }
    }
}

fn aligned(len: usize) -> usize {
    (len + 7) & !7
}

/// Reads the control part of a `struct msghdr`.
pub(crate) fn control_from_user(at: usize, len: usize) -> Result<Control> {
    let mut control = Control::default();
    if at == 0 || len == 0 {
        return Ok(control);
    }
    if len > CONTROL_MAX {
        return Err(ENOBUFS);
    }
    let mut bytes = KVec::from_elem(0u8, len, GFP_KERNEL)?;
    user::copy_in(at, &mut bytes)?;
    let mut rest: &[u8] = &bytes;
    while rest.len() >= HEADER {
        let word =
            |at: usize| rest.get(at..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let size = rest.first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let size = usize::try_from(size)?;
        let body = rest.get(HEADER..size).ok_or(EINVAL)?;
        if word(8) == SOL_SOCKET {
            match word(12) {
                SCM_RIGHTS => add_files(&mut control, body)?,
                SCM_CREDENTIALS if body.len() == 12 => control.credentials = Some(Ucred::from_program(body)?),
                _ => return Err(EINVAL),
            }
        }
        rest = rest.get(aligned(size)..).unwrap_or(&[]);
    }
    Ok(control)
}

fn add_files(control: &mut Control, body: &[u8]) -> Result {
    for bytes in body.chunks_exact(4) {
        if control.files.len() >= MAX_FDS {
            return Err(EINVAL);
        }
        let fd = u32::from_ne_bytes(bytes.try_into().map_err(|_| EINVAL)?);
        control.files.push(fdget_raw(fd as usize)?, GFP_KERNEL)?;
    }
    Ok(())
}

/// Writes a control message to a program's buffer of `room` bytes, or as much of it as there is room for behind a header; returns how
/// many bytes it took, and `MSG_CTRUNC` if not all fitted.
fn put_message(at: usize, room: usize, kind: u32, body: &[u8]) -> Result<(usize, u32)> {
    let Some(most) = room.checked_sub(HEADER) else { return Ok((0, MSG_CTRUNC)) };
    let part = body.get(..most).unwrap_or(body);
    put_header(at, HEADER + part.len(), kind)?;
    user::copy_out(at.wrapping_add(HEADER), part)?;
    let flags = if part.len() < body.len() { MSG_CTRUNC } else { 0 };
    Ok((aligned(HEADER + body.len()).min(room), flags))
}

/// Writes control messages to a program's buffer of `room` bytes; returns how many bytes it took and `MSG_CTRUNC` if not all
/// fitted.
pub(crate) fn control_to_user(control: Control, at: usize, room: usize, flags: u32) -> Result<(usize, u32)> {
    let mut used = 0;
    let mut out_flags = 0;
    let mut put = |kind, body: &[u8]| {
        let (len, cut) = put_message(at.wrapping_add(used), room - used, kind, body)?;
        used += len;
        out_flags |= cut;
        Ok::<_, Error>(())
    };
    if let Some(Timestamp(kind, [sec, fraction])) = control.timestamp {
        put(kind, &(u128::from(fraction) << 64 | u128::from(sec)).to_le_bytes())?;
    }
    if let Some(credentials) = &control.credentials {
        put(SCM_CREDENTIALS, &credentials.bytes())?;
    }
    if control.files.is_empty() {
        return Ok((used, out_flags));
    }
    let at = at.wrapping_add(used);
    let room = room - used;
    let fits = room.saturating_sub(HEADER) / 4;
    let mut count = 0;
    for file in control.files.into_iter() {
        if count >= fits {
            out_flags |= MSG_CTRUNC;
            break;
        }
        // Without a free number the rest of the files is dropped, as if there were no room.
        let Ok(guard) = get_unused_fd(flags & MSG_CMSG_CLOEXEC != 0) else {
            out_flags |= MSG_CTRUNC;
            break;
        };
        user::put(at.wrapping_add(HEADER + count * 4), &guard.fd().cast_signed())?;
        guard.install(file);
        count += 1;
    }
    if count != 0 {
        put_header(at, HEADER + count * 4, SCM_RIGHTS)?;
        used += aligned(HEADER + count * 4).min(room);
    }
    Ok((used, out_flags))
}

fn put_header(at: usize, len: usize, kind: u32) -> Result {
    user::put(at, &(len as u64))?;
    user::put(at.wrapping_add(8), &[SOL_SOCKET, kind])
}
