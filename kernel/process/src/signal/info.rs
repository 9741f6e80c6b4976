// SPDX-License-Identifier: GPL-2.0
//! `SigInfo`: what `sigaction(2)` calls `siginfo_t`, as the kernel keeps it: the 48 bytes that any kind of signal uses.

/// A signal and its cause. The words are the bytes at offset 16 of the ABI's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// Signal number.
    pub signo: u32,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`: `SI_*` or the signal's own codes.
    pub code: i32,
    /// Which arming of a POSIX timer the kernel sends it for; 0: none. Never shown.
    sequence: u32,
    words: [u64; 4],
}

/// Size of `siginfo_t`.
pub const SIGINFO_SIZE: usize = 128;
/// Bytes of it that the kernel keeps.
pub const KEPT: usize = 48;

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl SigInfo {
    /// From the kernel, with no further data (`SI_KERNEL`).
    pub const fn kernel(signo: u32) -> Self {
        Self { signo, errno: 0, code: uapi::SI_KERNEL as i32, sequence: 0, words: [0; 4] }
    }

    /// By `kill(2)` or `tgkill(2)` (`code` `SI_USER` or `SI_TKILL`).
    pub const fn user(signo: u32, code: i32, pid: u32, uid: u32) -> Self {
        Self { signo, errno: 0, code, sequence: 0, words: [pair(pid, uid), 0, 0, 0] }
    }

    /// A fault at `address`.
    pub const fn fault(signo: u32, code: i32, address: u64) -> Self {
        Self { signo, errno: 0, code, sequence: 0, words: [address, 0, 0, 0] }
    }

    /// A fault at `address`, because of a protection key.
    pub const fn key_fault(address: u64, key: u8) -> Self {
        let code = uapi::SEGV_PKUERR as i32;
        Self { signo: uapi::SIGSEGV, errno: 0, code, sequence: 0, words: [address, 0, key as u64, 0] }
    }

    /// A child changed state; times in clock ticks.
    pub const fn child(signo: u32, code: i32, pid: u32, uid: u32, status: i32, utime: u64, stime: u64) -> Self {
        Self { signo, errno: 0, code, sequence: 0, words: [pair(pid, uid), status as u32 as u64, utime, stime] }
    }

    /// A POSIX timer expired in its arming number `sequence`, which is not 0.
    pub const fn timer(signo: u32, id: i32, value: u64, sequence: u32) -> Self {
        Self { signo, errno: 0, code: uapi::SI_TIMER, sequence, words: [pair(id as u32, 0), value, 0, 0] }
    }

    /// Something can be done with descriptor `fd` (`F_SETSIG`).
    pub const fn poll(signo: u32, code: i32, band: u64, fd: i32) -> Self {
        Self { signo, errno: 0, code, sequence: 0, words: [band, pair(fd as u32, 0), 0, 0] }
    }

    /// Id and arming of the timer that the kernel sends this for.
    pub const fn timer_id(&self) -> Option<(i32, u32)> {
        if self.sequence == 0 { None } else { Some((self.words[0] as u32 as i32, self.sequence)) }
    }

    /// Whether both are of one timer of a process.
    pub(crate) fn same_timer(&self, other: &Self) -> bool {
        self.signo == other.signo && self.timer_id().zip(other.timer_id()).is_some_and(|((a, _), (b, _))| a == b)
    }

    /// Fills in how many expirations were not told (`si_overrun`).
    pub fn set_overrun(&mut self, overrun: i32) {
        self.words[0] = pair(self.words[0] as u32, overrun as u32);
    }

    /// With a value (`sigqueue(3)`).
    pub const fn queue(signo: u32, code: i32, pid: u32, uid: u32, value: u64) -> Self {
        Self { signo, errno: 0, code, sequence: 0, words: [pair(pid, uid), value, 0, 0] }
    }

    /// Whether a user process sent it (as opposed to the kernel).
    pub const fn from_user(&self) -> bool {
        self.code <= 0
    }

    /// Whether it says which process sent it (`si_pid`, `si_uid`), as all that programs send but those of timers and files.
    pub(crate) const fn has_sender(&self) -> bool {
        self.code <= 0 && !matches!(self.code, uapi::SI_TIMER | uapi::SI_SIGIO)
    }

    /// Whoever sent it has no number where it goes.
    pub(crate) fn forget_pid(&mut self) {
        self.words[0] = pair(0, self.uid());
    }

    /// Sender's process id, for kinds that have one.
    pub const fn pid(&self) -> u32 {
        self.words[0] as u32
    }

    /// Sender's user id, for kinds that have one.
    pub const fn uid(&self) -> u32 {
        (self.words[0] >> 32) as u32
    }

    /// The words behind the header.
    pub const fn words(&self) -> &[u64; 4] {
        &self.words
    }

    /// The ABI's words, as far as the kernel keeps them; the rest are zero.
    #[inline]
    pub const fn to_words(self) -> [u64; KEPT / 8] {
        let [a, b, c, d] = self.words;
        [pair(self.signo, self.errno as u32), pair(self.code as u32, 0), a, b, c, d]
    }

    /// The ABI's bytes.
    pub fn to_bytes(self) -> [u8; SIGINFO_SIZE] {
        let mut bytes = [0; SIGINFO_SIZE];
        for (to, from) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.to_words()) {
            *to = from.to_le_bytes();
        }
        bytes
    }

    /// From the ABI's bytes (`rt_sigqueueinfo`); `None` if data lies where no kind has any.
    pub fn from_bytes(bytes: &[u8; SIGINFO_SIZE]) -> Option<Self> {
        let word = |at: usize| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes.iter().skip(at)) {
                *to = *from;
            }
            u64::from_le_bytes(word)
        };
        if bytes.iter().skip(KEPT).any(|&b| b != 0) {
            return None;
        }
        let (first, second) = (word(0), word(8));
        Some(Self {
            signo: first as u32,
            errno: (first >> 32) as i32,
            code: second as u32 as i32,
            sequence: 0,
            words: [word(16), word(24), word(32), word(40)],
        })
    }
}
