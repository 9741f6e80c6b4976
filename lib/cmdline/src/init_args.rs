// SPDX-License-Identifier: GPL-2.0
//! What the command line gives to init: words the kernel does not know. No locks; allocates with `GFP_KERNEL`.

use crate::{CommandLine, Param, next_arg};
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{KString, KVec};

/// How many arguments, and how many variables, there may be (`CONFIG_INIT_ENV_ARG_LIMIT`).
pub const MAX_INIT_ARGS: usize = 32;

/// Init's arguments and environment.
#[derive(Debug)]
pub struct InitArgs {
    /// The arguments from `argv[1]` on.
    pub args: KVec<KString>,
    /// The environment: `HOME=/`, `TERM=linux`, then what the command line adds or overrides.
    pub env: KVec<KString>,
}

impl InitArgs {
    /// Collects the words that `known` does not take: `name=value` to the environment, others to the arguments, and all
    /// that follows `--` to the arguments. Names with a dot are module parameters and are left out. An `init=` or
    /// `rdinit=` forgets the arguments before it (boot loaders used to put words of their own there). `E2BIG` if there
    /// are more than `MAX_INIT_ARGS`, `ENOMEM`.
    pub fn collect(line: CommandLine<'_>, mut known: impl FnMut(&Param<'_>) -> bool) -> Result<Self> {
        let mut this = Self { args: KVec::new(), env: KVec::new() };
        for variable in ["HOME=/", "TERM=linux"] {
            this.env.push(KString::from_str(variable, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let mut params = line.params();
        for param in params.by_ref() {
            if param.is("init") || param.is("rdinit") {
                this.args.clear();
            } else if !known(&param) && !param.name.contains(&b'.') {
                match param.value {
                    Some(_) => this.set_env(param)?,
                    None => push(&mut this.args, param)?,
                }
            }
        }
        let mut rest = params.after_dashes().unwrap_or(&[]);
        while let Some((param, next)) = next_arg(rest) {
            push(&mut this.args, param)?;
            rest = next;
        }
        Ok(this)
    }

    fn set_env(&mut self, param: Param<'_>) -> Result {
        let same = |v: &&mut KString| v.strip_prefix(param.name).is_some_and(|rest| rest.first() == Some(&b'='));
        match self.env.iter_mut().find(same) {
            Some(old) => {
                *old = word(param)?;
                Ok(())
            }
            None => push(&mut self.env, param),
        }
    }
}

/// The word as it was, without quotes.
fn word(param: Param<'_>) -> Result<KString> {
    let mut text = KString::from_bytes(param.name, GFP_KERNEL)?;
    if let Some(value) = param.value {
        text.push(b'=', GFP_KERNEL)?;
        text.push_bytes(value, GFP_KERNEL)?;
    }
    Ok(text)
}

fn push(list: &mut KVec<KString>, param: Param<'_>) -> Result {
    if list.len() >= MAX_INIT_ARGS {
        return Err(E2BIG);
    }
    Ok(list.push(word(param)?, GFP_KERNEL)?)
}
