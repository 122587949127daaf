//! Nodes: files that the sandbox has a name for, each an `O_PATH` descriptor.

use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// A directory being read.
#[derive(Debug)]
pub struct Listing {
    /// Open for reading.
    pub fd: OwnedFd,
    /// The cookie that the descriptor's position belongs to.
    pub position: u64,
}

/// A file that the sandbox has a name for.
#[derive(Debug)]
pub struct Node {
    /// `O_PATH`.
    pub fd: OwnedFd,
    /// Index of the export it was found in.
    pub export: u32,
    /// Where `ReadDir` was.
    pub listing: Option<Listing>,
}

/// Nodes by handle.
#[derive(Debug, Default)]
pub struct Nodes {
    slots: Vec<Option<Node>>,
    free: Vec<u32>,
}

impl Nodes {
    /// Adds a node.
    pub fn insert(&mut self, fd: OwnedFd, export: u32) -> Result<u32, Errno> {
        let node = Some(Node { fd, export, listing: None });
        if let Some(handle) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(handle as usize)
        {
            *slot = node;
            return Ok(handle);
        }
        let handle = u32::try_from(self.slots.len()).map_err(|_| Errno::NFILE)?;
        self.slots.push(node);
        Ok(handle)
    }

    /// The node with this handle.
    pub fn get(&self, handle: u32) -> Result<&Node, Errno> {
        self.slots.get(handle as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    /// The node with this handle, to remember where a listing is.
    pub fn get_mut(&mut self, handle: u32) -> Result<&mut Node, Errno> {
        self.slots.get_mut(handle as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Closes all nodes of these exports. Their handles name nothing any more, and nothing else.
    pub fn remove_exports(&mut self, numbers: &Range<u32>) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|node| numbers.contains(&node.export)) {
                *slot = None;
            }
        }
    }

    /// Removes a node.
    pub fn remove(&mut self, handle: u32) -> Result<(), Errno> {
        self.slots.get_mut(handle as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.free.push(handle);
        Ok(())
    }
}
