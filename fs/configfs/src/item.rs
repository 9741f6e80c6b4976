// SPDX-License-Identifier: GPL-2.0
//! Items: a directory each, with what a module put behind it.

use core::any::Any;
use errno::{Result, code::*};
use kalloc::flags::GFP_KERNEL;
use kalloc::{Arc, KVec};
use kernfs::{Attribute, Node, Revocable};
use module_core::{Header, ModuleRef};
use sync::Mutex;
use vfs::SeqBuf;

/// Most bytes of an attribute.
const PAGE: usize = 4096;

/// What is behind a directory. All may sleep.
#[allow(unused_variables, reason = "defaults ignore their arguments")]
pub trait Group: Any + Send + Sync {
    /// A program makes directory `name`: what is to be behind it. `EPERM`: none can be made here.
    fn make_group(&self, name: &[u8]) -> Result<NewGroup> {
        Err(EPERM)
    }

    /// A program removes a directory that was made here; its attributes are gone already.
    fn drop_group(&self, child: &dyn Group) {}
}

/// An attribute to be.
pub struct NewAttribute {
    /// Its name.
    pub name: &'static [u8],
    /// Permissions.
    pub mode: u32,
    /// What is behind it.
    pub attribute: Arc<dyn Attribute>,
}

/// A directory to be.
pub struct NewGroup {
    /// What is behind it.
    pub group: Arc<dyn Group>,
    /// Its attributes.
    pub attributes: KVec<NewAttribute>,
    /// The module that has the code.
    pub owner: Option<&'static Header>,
}

/// An attribute that can be taken back.
struct Shared(Arc<Revocable<dyn Attribute>>);

impl Attribute for Shared {
    fn show(&self, at: u64, out: &mut SeqBuf) -> Result<Option<u64>> {
        self.0.with(|attribute| attribute.show(at, out)).ok_or(ENOENT)?
    }

    fn store(&self, data: &[u8]) -> Result<usize> {
        self.0.with(|attribute| attribute.store(data)).ok_or(ENOENT)?
    }

    fn size(&self) -> u64 {
        PAGE as u64
    }

    fn limit(&self) -> usize {
        PAGE
    }
}

/// A directory. The fields are dropped in order: what is the module's goes before the reference to the module.
pub(crate) struct Item {
    pub(crate) node: Arc<Node>,
    attributes: KVec<Arc<Revocable<dyn Attribute>>>,
    group: Option<Revocable<dyn Group>>,
    children: Mutex<KVec<Arc<Item>>>,
    /// Made by a program, which may remove it.
    made: bool,
    _module: Option<ModuleRef>,
}

impl Item {
    /// The root, in which nobody makes anything.
    pub(crate) fn root() -> Result<Arc<Self>> {
        let item = Self {
            node: Node::new_root(&crate::NUMBERS)?,
            attributes: KVec::new(),
            group: None,
            children: Mutex::new(KVec::new()),
            made: false,
            _module: None,
        };
        Ok(Arc::new(item, GFP_KERNEL)?)
    }

    /// A directory `name` in this one. `EEXIST`.
    fn add(&self, name: &[u8], new: NewGroup, made: bool) -> Result<Arc<Item>> {
        // A directory of a program keeps the module; a subsystem is the module's own and goes with it.
        let module = if made { Some(ModuleRef::get(new.owner).ok_or(ENOENT)?) } else { None };
        let node = self.node.mkdir(name)?;
        let mut attributes = KVec::new();
        let fill = || -> Result {
            for NewAttribute { name, mode, attribute } in new.attributes {
                let slot = Arc::new(Revocable::new(attribute), GFP_KERNEL)?;
                attributes.push(slot.clone(), GFP_KERNEL)?;
                node.attr(name, mode, Shared(slot))?;
            }
            Ok(())
        };
        let filled = fill();
        let item = Self {
            node: node.clone(),
            attributes,
            group: Some(Revocable::new(new.group)),
            children: Mutex::new(KVec::new()),
            made,
            _module: module,
        };
        if let Err(error) = filled {
            item.take_away();
            return Err(error);
        }
        let item = Arc::new(item, GFP_KERNEL).inspect_err(|_| node.remove())?;
        let pushed = self.children.lock().push(item.clone(), GFP_KERNEL);
        if let Err(error) = pushed {
            item.take_away();
            return Err(error.into());
        }
        Ok(item)
    }

    /// A program's `mkdir`.
    pub(crate) fn mkdir(&self, name: &[u8]) -> Result<Arc<Item>> {
        let group = self.group.as_ref().ok_or(EPERM)?;
        // All of it while the module cannot go: until the new directory keeps it.
        group.with(|group| self.add(name, group.make_group(name)?, true)).ok_or(ENOENT)?
    }

    /// A program's `rmdir`.
    pub(crate) fn rmdir(&self, name: &[u8]) -> Result {
        let child = self.child(name).ok_or(ENOENT)?;
        if !child.made {
            return Err(EPERM);
        }
        if !child.children.lock().is_empty() {
            return Err(ENOTEMPTY);
        }
        child.hide();
        if let (Some(parent), Some(group)) = (&self.group, &child.group) {
            group.with(|child| parent.with(|parent| parent.drop_group(child)));
            group.revoke();
        }
        self.children.lock().retain(|other| !Arc::ptr_eq(other, &child));
        Ok(())
    }

    /// The directory `name` in this one.
    pub(crate) fn child(&self, name: &[u8]) -> Option<Arc<Item>> {
        self.children.lock().iter().find(|child| child.node.name() == name).cloned()
    }

    /// Takes names and attributes away.
    fn hide(&self) {
        self.node.remove();
        for attribute in &self.attributes {
            attribute.revoke();
        }
    }

    /// As [`Self::hide`], and what is behind it.
    fn take_away(&self) {
        self.hide();
        if let Some(group) = &self.group {
            group.revoke();
        }
    }
}

/// A subsystem: a directory in the root. Dropping it takes it away; no directories of programs are left then, as these keep the
/// module that it belongs to. May sleep.
pub struct Subsystem(Arc<Item>);

impl Subsystem {
    /// Registers a subsystem. `EEXIST`. May sleep.
    pub fn new(name: &[u8], new: NewGroup) -> Result<Self> {
        Ok(Self(crate::ROOT.get().ok_or(ENODEV)?.add(name, new, false)?))
    }
}

impl Drop for Subsystem {
    fn drop(&mut self) {
        if let Some(root) = crate::ROOT.get() {
            root.children.lock().retain(|other| !Arc::ptr_eq(other, &self.0));
        }
        self.0.take_away();
    }
}
