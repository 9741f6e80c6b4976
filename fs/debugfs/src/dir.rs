// SPDX-License-Identifier: GPL-2.0
//! Directories. Dropping the last reference to one takes it away with all that it owns.

use crate::file::{File, Ops};
use errno::Result;
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernfs::{Attribute, Node};
use sync::Mutex;

/// A directory.
pub struct Dir {
    node: Arc<Node>,
    /// What goes with the directory, in the order in which it was made.
    files: Mutex<KVec<File>>,
    dirs: Mutex<KVec<Arc<Dir>>>,
    /// A directory stays as long as there is one in it.
    _parent: Option<Arc<Dir>>,
}

impl Dir {
    /// Makes a directory in `parent`, or in the root. `EEXIST`. May sleep.
    pub fn new(name: &[u8], parent: Option<&Arc<Dir>>) -> Result<Arc<Self>> {
        let above = match parent {
            Some(parent) => &parent.node,
            None => crate::root()?,
        };
        let node = above.mkdir(name)?;
        let remove = node.clone();
        let dir =
            Self { node, files: Mutex::new(KVec::new()), dirs: Mutex::new(KVec::new()), _parent: parent.cloned() };
        Arc::new(dir, GFP_KERNEL).map_err(|error| {
            remove.remove();
            error.into()
        })
    }

    /// Makes a file in it, which goes when the value is dropped. `mode`: permissions. `EEXIST`. May sleep.
    pub fn file(&self, name: &[u8], mode: u32, ops: Arc<dyn Ops>) -> Result<File> {
        File::new(&self.node, name, mode, ops)
    }

    /// Makes a file of the image's code with operations of its own (a stream), which goes with the directory. `EEXIST`. May sleep.
    pub fn attribute(&self, name: &[u8], mode: u32, attribute: impl Attribute) -> Result {
        self.node.attr(name, mode, attribute).map(drop)
    }

    /// The directory owns `file` from now on.
    pub fn keep(&self, file: File) -> Result {
        Ok(self.files.lock().push(file, GFP_KERNEL)?)
    }

    /// The directory owns `dir`, which is in it, from now on. `dir` must have been made without a parent to refer to.
    pub fn keep_dir(&self, dir: Arc<Dir>) -> Result {
        Ok(self.dirs.lock().push(dir, GFP_KERNEL)?)
    }

    /// Takes away all that the directory owns, whoever else refers to it. May sleep.
    pub fn clear(&self) {
        let dirs = core::mem::take(&mut *self.dirs.lock());
        for dir in &dirs {
            dir.clear();
            dir.node.remove();
        }
        drop(dirs);
        drop(core::mem::take(&mut *self.files.lock()));
    }

    /// Makes a directory in this one that this one is to own. `EEXIST`. May sleep.
    pub fn subdir(&self, name: &[u8]) -> Result<Arc<Dir>> {
        let node = self.node.mkdir(name)?;
        let remove = node.clone();
        let dir = Self { node, files: Mutex::new(KVec::new()), dirs: Mutex::new(KVec::new()), _parent: None };
        let dir = Arc::new(dir, GFP_KERNEL).inspect_err(|_| remove.remove())?;
        self.keep_dir(dir.clone())?;
        Ok(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.dirs.get_mut().truncate(0);
        self.files.get_mut().truncate(0);
        self.node.remove();
    }
}
