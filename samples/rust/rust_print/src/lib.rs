// SPDX-License-Identifier: GPL-2.0
//! Printing: every level, continued lines, shared values, and values behind a trait object.

#![no_std]
#![forbid(unsafe_code)]

use kernel::fmt::Display;
use kernel::prelude::*;
use kernel::sync::{Arc, UniqueArc};

module! {
    type: Print,
    name: "rust_print",
    authors: ["The Rideau developers"],
    description: "Rust printing macros sample",
    license: "GPL",
}

struct Print;

/// Says a line at each level.
fn levels(how: &str) {
    pr_emerg!("Emergency message (level 0) {how} args\n");
    pr_alert!("Alert message (level 1) {how} args\n");
    pr_crit!("Critical message (level 2) {how} args\n");
    pr_err!("Error message (level 3) {how} args\n");
    pr_warn!("Warning message (level 4) {how} args\n");
    pr_notice!("Notice message (level 5) {how} args\n");
    pr_info!("Info message (level 6) {how} args\n");
}

/// A trait object behind a reference count.
fn says(value: &Arc<dyn Display>) {
    pr_info!("Arc<dyn Display> says {value}\n");
}

impl kernel::Module for Print {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("Rust printing macros sample (init)\n");
        levels("with");
        pr_info!("A line that");
        pr_cont!(" is {}", "continued");
        pr_cont!(" with {}\n", "args");
        let number: Arc<dyn Display> = Arc::new(42, GFP_KERNEL)?;
        let text: Arc<&str> = UniqueArc::new("hello, world", GFP_KERNEL)?.into();
        pr_info!("{text:?}\n");
        says(&number);
        let text: Arc<dyn Display> = text;
        says(&text);
        Ok(Self)
    }
}

impl Drop for Print {
    fn drop(&mut self) {
        pr_info!("Rust printing macros sample (exit)\n");
    }
}
