// SPDX-License-Identifier: GPL-2.0
//! Attributes that can be taken back: what is behind them goes away with its owner, although somebody has the file open.

use errno::{Result, code::*};
use kalloc::Arc;
use kalloc::flags::GFP_KERNEL;
use kernfs::{Attribute, Node, Revocable};
use vfs::SeqBuf;

/// The part that the tree keeps.
struct Shared(Arc<Revocable<dyn Attribute>>);

impl Attribute for Shared {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.0.with(|attribute| attribute.show(at, out)).ok_or(ENODEV)?
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        self.0.with(|attribute| attribute.store(data)).ok_or(ENODEV)?
    }

    fn can_notify(&self) -> bool {
        true
    }

    fn size(&self) -> u64 {
        self.0.with(|attribute| attribute.size()).unwrap_or(0)
    }

    fn limit(&self) -> usize {
        self.0.with(|attribute| attribute.limit()).unwrap_or(usize::MAX)
    }
}

/// An attribute that its owner takes back by dropping this; may sleep then.
pub struct OwnedAttribute {
    slot: Arc<Revocable<dyn Attribute>>,
    node: Arc<Node>,
}

impl OwnedAttribute {
    /// Adds `attribute` to `dir` under `name`. May sleep.
    pub fn new(dir: &Arc<Node>, name: &[u8], mode: u32, attribute: Arc<dyn Attribute>) -> Result<Self> {
        let slot = Arc::new(Revocable::new(attribute), GFP_KERNEL)?;
        let node = dir.attr(name, mode, Shared(slot.clone()))?;
        Ok(Self { slot, node })
    }

    /// Its node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }
}

impl Drop for OwnedAttribute {
    fn drop(&mut self) {
        self.node.remove();
        self.slot.revoke();
    }
}
