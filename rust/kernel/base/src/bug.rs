// SPDX-License-Identifier: GPL-2.0
//! Warnings of what must not be: `kernel::bug`.
//!
//! ```
//! use kernel::warn_on;
//!
//! fn half(number: u32) -> Result<u32> {
//!     if warn_on!(!number.is_multiple_of(2)) {
//!         return Err(EINVAL);
//!     }
//!     Ok(number / 2)
//! }
//! assert_eq!(half(4)?, 2);
//! # Ok::<(), Error>(())
//! ```

/// Says in the log where something is that must not be, and how it came to that, and taints the kernel. Any context but NMI.
#[doc(hidden)]
#[cold]
#[inline(never)]
pub fn warn(file: &str, line: u32, condition: &str) {
    let task = ::task::current();
    let comm = task.comm();
    let name = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    klog::pr_warn!("------------[ cut here ]------------");
    klog::pr_warn!(
        "WARNING: [{condition}] {file}:{line}, CPU#{}: {}/{}",
        x86_cpu::cpu_id(),
        name.escape_ascii(),
        task.tid()
    );
    if let Some(report) = ::task::hooks::DEBUG_REPORT.get() {
        report.dump_stack();
    }
    klog::pr_warn!("---[ end trace 0000000000000000 ]---");
    module_core::note_warning();
}

/// Warns if the condition is true; whether it is.
#[macro_export]
macro_rules! warn_on {
    ($cond:expr) => {{
        let cond: bool = $cond;
        if cond {
            $crate::bug::warn(::core::file!(), ::core::line!(), ::core::stringify!($cond));
        }
        cond
    }};
}
