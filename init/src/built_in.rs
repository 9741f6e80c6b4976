// SPDX-License-Identifier: GPL-2.0
//! `/sys/module/NAME/parameters` of modules that are part of the image. As on Linux one without such parameters has no directory, and none
//! has what only the loader knows (`initstate`, `refcnt`). Source: Linux's `Documentation/ABI/stable/sysfs-module`.

use errno::{Result, code::*};
use kernel::built_in::BuiltIn;
use kernfs::{Attribute, Node};
use sysfs::uevent;
use vfs::SeqBuf;

/// A parameter's file.
struct Parameter {
    of: &'static BuiltIn,
    at: usize,
}

impl Attribute for Parameter {
    fn show(&self, _: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        let param = self.of.params.get(self.at).ok_or(ENODEV)?;
        param.value.show(out).map_err(|_| ENOMEM)?;
        out.byte(b'\n')?;
        Ok(None)
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        let param = self.of.params.get(self.at).ok_or(ENODEV)?;
        param.value.set(Some(data.strip_suffix(b"\n").unwrap_or(data)))?;
        Ok(data.len())
    }

    fn size(&self) -> u64 {
        sysfs::PAGE as u64
    }

    fn limit(&self) -> usize {
        sysfs::PAGE
    }
}

/// Makes the directory of `module`, if it has parameters to be shown. Once for each, at boot.
pub(crate) fn show(module: &'static BuiltIn) -> Result {
    if module.params.iter().all(|param| param.perm == 0) {
        return Ok(());
    }
    let dir = sysfs::root()?.path_or_new("module")?.mkdir(module.name.as_bytes())?;
    uevent::file(&dir, "module", |_| Ok(()))?;
    let files: kalloc::Arc<Node> = dir.mkdir(b"parameters")?;
    for (at, param) in module.params.iter().enumerate().filter(|(_, param)| param.perm != 0) {
        files.attr(param.name.as_bytes(), param.perm as u32 & 0o777, Parameter { of: module, at })?;
    }
    Ok(())
}
