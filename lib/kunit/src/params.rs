// SPDX-License-Identifier: GPL-2.0
//! The kernel parameters that steer KUnit, with Linux's names (`Documentation/dev-tools/kunit`).

/// `kunit.action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Run the tests.
    #[default]
    Run,
    /// Print `suite.test` of each test.
    List,
}

/// `kunit_shutdown`: what to do after the tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shutdown {
    /// Go on booting.
    #[default]
    No,
    /// Power off.
    PowerOff,
    /// Halt.
    Halt,
    /// Restart.
    Reboot,
}

/// The parameters; `init` feeds each word of the command line to [`Params::set`].
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    /// `kunit.enable`: whether tests may run at all.
    pub enable: bool,
    /// `kunit.autorun`: whether they run at boot.
    pub autorun: bool,
    /// `kunit.filter_glob`: `suite` or `suite.test`, each a glob.
    pub filter_glob: Option<&'a str>,
    /// `kunit.action`.
    pub action: Action,
    /// `kunit_shutdown`.
    pub shutdown: Shutdown,
}

impl Default for Params<'_> {
    fn default() -> Self {
        let enable = cfg!(CONFIG_KUNIT_DEFAULT_ENABLED);
        Self { enable, autorun: true, filter_glob: None, action: Action::Run, shutdown: Shutdown::No }
    }
}

impl<'a> Params<'a> {
    /// Takes `key=value` of the command line; false if the key is none of KUnit's or the value has no meaning.
    pub fn set(&mut self, key: &str, value: &'a str) -> bool {
        match key {
            "kunit.enable" => set_bool(&mut self.enable, value),
            "kunit.autorun" => set_bool(&mut self.autorun, value),
            "kunit.filter_glob" => {
                self.filter_glob = (!value.is_empty()).then_some(value);
                true
            }
            "kunit.action" => {
                let action = match value {
                    "" => Action::Run,
                    "list" => Action::List,
                    _ => return false,
                };
                self.action = action;
                true
            }
            "kunit_shutdown" => {
                self.shutdown = match value {
                    "poweroff" => Shutdown::PowerOff,
                    "halt" => Shutdown::Halt,
                    "reboot" => Shutdown::Reboot,
                    _ => return false,
                };
                true
            }
            _ => false,
        }
    }

    /// Whether `test` of `suite` passes the filter.
    pub(crate) fn selects(&self, suite: &str, test: &str) -> bool {
        let Some(filter) = self.filter_glob else { return true };
        match filter.split_once('.') {
            Some((suite_glob, test_glob)) => {
                crate::glob::matches(suite_glob, suite) && crate::glob::matches(test_glob, test)
            }
            None => crate::glob::matches(filter, suite),
        }
    }
}

/// As Linux's `kstrtobool`.
fn set_bool(target: &mut bool, value: &str) -> bool {
    *target = match value.as_bytes() {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => true,
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => false,
        _ => return false,
    };
    true
}
