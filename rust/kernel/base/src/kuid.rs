// SPDX-License-Identifier: GPL-2.0
//! Users, as the kernel numbers them.

/// A user.
#[derive(Copy, Clone, Debug)]
pub struct Kuid {
    kuid: u32,
}

impl Kuid {
    /// The current task's effective user.
    pub fn current_euid() -> Self {
        Self { kuid: ::cred::current_cred().map_or(u32::MAX, |cred| cred.euid) }
    }

    /// The user of that number.
    pub fn from_raw(kuid: u32) -> Self {
        Self { kuid }
    }

    /// Its number.
    pub fn into_raw(self) -> u32 {
        self.kuid
    }

    /// Its number as the current task's name space has it; there is one name space.
    pub fn into_uid_in_current_ns(self) -> u32 {
        self.kuid
    }
}

impl PartialEq for Kuid {
    fn eq(&self, other: &Self) -> bool {
        self.kuid == other.kuid
    }
}

impl Eq for Kuid {}
