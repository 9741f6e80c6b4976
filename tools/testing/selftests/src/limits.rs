// SPDX-License-Identifier: GPL-2.0
//! Much of everything: processes up to their limit, 100 000 files and mappings, thousands of threads, storms of pipes, deep
//! chains, programs that take all memory (`hog`). What was taken is given back: `mm/limits.py` counts.

mod files;
pub mod hog;
mod maps;
mod pipes;
mod sockets;
mod tasks;
mod trees;

use crate::util::{Outcome, errno, text};
use crate::{Test, c};

pub const TESTS: &[Test] = &[
    ("limits.fork_bomb", tasks::fork_bomb),
    ("limits.nproc", tasks::nproc),
    ("limits.nproc_zombies", tasks::nproc_zombies),
    ("limits.nproc_exec", tasks::nproc_exec),
    ("limits.nproc_threads", tasks::nproc_threads),
    ("limits.threads_max", tasks::threads_max),
    ("limits.pid_max", tasks::pid_max),
    ("limits.open_files", files::open_files),
    ("limits.file_numbers", files::numbers),
    ("limits.nr_open", files::nr_open),
    ("limits.file_max", files::file_max),
    ("limits.inodes_and_names_counted", files::census),
    ("limits.maps", maps::maps),
    ("limits.map_count", maps::map_count),
    ("limits.map_count_split", maps::map_count_split),
    ("limits.threads", tasks::threads),
    ("limits.pipe_storm", pipes::storm),
    ("limits.pipes", pipes::many),
    ("limits.pipe_user_pages", pipes::user_pages),
    ("limits.pipe_capabilities", pipes::capabilities),
    ("limits.epoll_many", files::epoll_many),
    ("limits.deep_directories", trees::deep_directories),
    ("limits.deep_tree_dropped", trees::deep_tree_dropped),
    ("limits.long_names", trees::long_names),
    ("limits.symlink_chain", trees::symlink_chain),
    ("limits.many_children", tasks::many_children),
    ("limits.sockets_in_sockets", sockets::in_sockets),
    ("limits.sockets_chain_closed", sockets::chain_closed),
];

/// A user that nothing else runs as.
const USER: u32 = 4321;

fn limit(which: u32, value: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    c!(libc::setrlimit(which, &limit));
    Ok(())
}

/// A setting of `/proc/sys` that gets its old value back.
struct Setting {
    path: String,
    before: String,
}

impl Setting {
    fn new(name: &str, value: impl ToString) -> Result<Self, String> {
        let path = format!("/proc/sys/{name}");
        let before = text(&path)?.trim().into();
        std::fs::write(&path, value.to_string()).map_err(|e| format!("{path}: {e}"))?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.path, &self.before);
    }
}

/// Becomes [`USER`].
fn become_user() -> Outcome {
    c!(libc::setgroups(0, core::ptr::null()));
    c!(libc::setresuid(USER, USER, USER));
    Ok(())
}

/// Becomes [`USER`] with these capabilities alone (bits of numbers below 32).
fn become_user_with(caps: u32) -> Outcome {
    c!(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0));
    become_user()?;
    let header = [0x2008_0522u32, 0];
    let data = [caps, caps, 0, 0, 0, 0];
    c!(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()));
    Ok(())
}

/// Forks children that wait, until it fails or `most` are there; their pids and the errno (0).
fn breed(most: usize) -> (Vec<i32>, i32) {
    let mut pids = Vec::new();
    while pids.len() < most {
        // SAFETY: the child does nothing but wait.
        match unsafe { libc::fork() } {
            -1 => return (pids, errno()),
            0 => loop {
                // SAFETY: takes nothing.
                unsafe { libc::pause() };
            },
            pid => pids.push(pid),
        }
    }
    (pids, 0)
}

/// Ends and collects what [`breed`] made.
fn cull(pids: &[i32]) {
    for pid in pids {
        // SAFETY: children of this process.
        unsafe {
            libc::kill(*pid, libc::SIGKILL);
            libc::waitpid(*pid, core::ptr::null_mut(), 0);
        }
    }
}
