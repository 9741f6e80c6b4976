// SPDX-License-Identifier: GPL-2.0
//! Words that programs hand over: numbers in /proc, the arguments of execve.

use crate::util::*;
use crate::{Test, c, ck, eq};
use std::io::Write;

pub const TESTS: &[Test] = &[("words.proc_numbers", proc_numbers), ("words.large_arguments", large_arguments)];

fn proc_numbers() -> Outcome {
    let bad = ["--9223372036854775808", "--3", "-+3", "0x-5", "-", "1x"];
    for text in bad {
        for file in ["oom_score_adj", "coredump_filter"] {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .open(format!("/proc/self/{file}"))
                .map_err(|e| format!("{file}: {e}"))?;
            let error = file.write(text.as_bytes()).err().and_then(|e| e.raw_os_error());
            eq!((text, error), (text, Some(libc::EINVAL)));
        }
    }
    std::fs::write("/proc/self/oom_score_adj", "0x10").map_err(|e| format!("hexadecimal: {e}"))?;
    let shown = std::fs::read_to_string("/proc/self/oom_score_adj").map_err(|e| e.to_string())?;
    eq!(shown.trim(), "16");
    Ok(())
}

/// Five megabytes of arguments, as far as the stack's limit allows.
fn large_arguments() -> Outcome {
    let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: libc::RLIM_INFINITY };
    c!(libc::setrlimit(libc::RLIMIT_STACK, &limit));
    let word = "x".repeat(120_000);
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg("--list").args(std::iter::repeat_n(word.as_str(), 42));
    let output = command.output().map_err(|e| format!("execve: {e}"))?;
    ck!(output.status.success(), "it ended with {:?}", output.status);
    ck!(output.stdout.starts_with(b"process."));
    Ok(())
}
