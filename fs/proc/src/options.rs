// SPDX-License-Identifier: GPL-2.0
//! Mount options: whose processes are hidden from whom (`hidepid`, `gid`), and whether the fixed part is there (`subset`). No
//! locks: each option is a word, and who looks while they change may see the old ones. Source: `proc(5)`.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use errno::{Result, code::EINVAL};
use process::access::may_access_fscreds;
use process::pid::PidNs;
use task::Task;
use vfs::{SuperBlock, SuperOps};

/// What others may see of a process that they may not look inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hide {
    /// All.
    #[default]
    Off = 0,
    /// That it is there.
    NoAccess = 1,
    /// Nothing.
    Invisible = 2,
    /// Nothing, and a group that sees all is of no use.
    NotPtraceable = 4,
}

impl Hide {
    fn parse(value: &[u8]) -> Result<Self> {
        Ok(match value {
            b"0" | b"off" => Self::Off,
            b"1" | b"noaccess" => Self::NoAccess,
            b"2" | b"invisible" => Self::Invisible,
            b"4" | b"ptraceable" => Self::NotPtraceable,
            _ => return Err(EINVAL),
        })
    }

    fn of(number: u8) -> Self {
        match number {
            1 => Self::NoAccess,
            2 => Self::Invisible,
            4 => Self::NotPtraceable,
            _ => Self::Off,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoAccess => "noaccess",
            Self::Invisible => "invisible",
            Self::NotPtraceable => "ptraceable",
        }
    }
}

/// Options as they were given; `None` for those that were not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    hide: Option<Hide>,
    gid: Option<u32>,
    only_processes: bool,
}

impl Options {
    /// Reads options separated by commas. `EINVAL`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut options = Self::default();
        for option in text.split(|&b| b == b',').filter(|option| !option.is_empty()) {
            let mut parts = option.splitn(2, |&b| b == b'=');
            match (parts.next().unwrap_or_default(), parts.next()) {
                (b"hidepid", Some(value)) => options.hide = Some(Hide::parse(value)?),
                (b"gid", Some(value)) => {
                    let text = core::str::from_utf8(value).map_err(|_| EINVAL)?;
                    options.gid = Some(text.parse().map_err(|_| EINVAL)?);
                }
                (b"subset", Some(value)) => {
                    if value.split(|&b| b == b':').any(|part| !part.is_empty() && part != b"pid") {
                        return Err(EINVAL);
                    }
                    options.only_processes |= value.split(|&b| b == b':').any(|part| part == b"pid");
                }
                _ => return Err(EINVAL),
            }
        }
        Ok(options)
    }
}

/// The super block's part.
#[derive(Default)]
pub(crate) struct ProcSuper {
    hide: AtomicU8,
    gid: AtomicU32,
    only_processes: AtomicBool,
    ns: PidNs,
}

impl ProcSuper {
    /// A mount with `options`, of the processes in `ns`.
    pub(crate) fn new(options: &Options, ns: PidNs) -> Self {
        let this = Self { ns, ..Self::default() };
        this.apply(options);
        this
    }

    fn apply(&self, options: &Options) {
        if let Some(hide) = options.hide {
            self.hide.store(hide as u8, Relaxed);
        }
        if let Some(gid) = options.gid {
            self.gid.store(gid, Relaxed);
        }
        if options.only_processes {
            self.only_processes.store(true, Relaxed);
        }
    }

    /// The name space whose processes are shown, by their numbers there.
    pub(crate) fn ns(&self) -> &PidNs {
        &self.ns
    }

    /// Whether only processes are shown.
    pub(crate) fn only_processes(&self) -> bool {
        self.only_processes.load(Relaxed)
    }

    /// How processes are hidden.
    pub(crate) fn hide(&self) -> Hide {
        Hide::of(self.hide.load(Relaxed))
    }

    /// Whether the caller may do with `task` what `least` keeps from others.
    pub(crate) fn permits(&self, task: &Task, least: Hide) -> bool {
        let hide = self.hide();
        if hide < least {
            return true;
        }
        let in_group = || cred::current_cred().is_ok_and(|cred| cred.in_group(self.gid.load(Relaxed)));
        hide != Hide::NotPtraceable && in_group() || may_access_fscreds(task)
    }

    /// Whether the caller may know of `task`.
    pub(crate) fn shows(&self, task: &Task) -> bool {
        self.permits(task, Hide::Invisible)
    }
}

impl SuperOps for ProcSuper {
    fn show_options(&self, _: &SuperBlock, out: &mut dyn Write) -> core::fmt::Result {
        let (gid, hide) = (self.gid.load(Relaxed), self.hide());
        if gid != 0 {
            write!(out, ",gid={gid}")?;
        }
        if hide != Hide::Off {
            write!(out, ",hidepid={}", hide.name())?;
        }
        if self.only_processes() { out.write_str(",subset=pid") } else { Ok(()) }
    }

    fn remount(&self, _: &SuperBlock, _: u32, options: &[u8]) -> Result {
        self.apply(&Options::parse(options)?);
        Ok(())
    }
}

/// The options of the mount that `sb` is of.
pub(crate) fn of(sb: &SuperBlock) -> Option<&ProcSuper> {
    sb.private()
}

/// The name space of processes that the mount of `sb` shows.
pub(crate) fn ns_of(sb: &SuperBlock) -> PidNs {
    of(sb).map_or(PidNs::FIRST, |own| own.ns.clone())
}

#[macros::kunit_tests(proc_options)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let all = Options { hide: Some(Hide::Invisible), gid: Some(5), only_processes: true };
        assert_eq!(Options::parse(b"hidepid=2,gid=5,subset=pid"), Ok(all));
        assert_eq!(Options::parse(b""), Ok(Options::default()));
        let named = Options { hide: Some(Hide::NotPtraceable), ..Options::default() };
        assert_eq!(Options::parse(b"hidepid=ptraceable"), Ok(named));
        for text in [b"hidepid=3".as_slice(), b"hidepid", b"gid=x", b"subset=all", b"x"] {
            assert_eq!(Options::parse(text), Err(EINVAL));
        }
    }
}
