//! The further containers of a pod, as the monitor of its sandbox knows them. Each is set up by a connection of its own monitor's,
//! speaks of itself as container 0 there, and is known by another number to the sandbox.

use crate::gofer::wire::{CallHeader, LOOK};
use crate::notice::Notice;
use linker::control::What;
use linker::spec::{MountKind, StartSpec};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use zerocopy::IntoBytes;

/// Containers that one sandbox has at most, over its life.
const MOST: u32 = 1 << 20;

/// A further container.
#[derive(Debug)]
struct Member {
    /// The connection of its monitor.
    client: u64,
    /// The command that sets it up, until that is answered.
    creating: Option<u64>,
    /// What the gofer serves for it: the first number, and how many.
    exports: (u32, u32),
}

/// All of them.
#[derive(Debug)]
pub struct Members {
    /// Where the gofer takes calls; none where there may be no further containers.
    calls: Option<OwnedFd>,
    members: BTreeMap<u32, Member>,
    next_container: u32,
    next_export: u32,
}

impl Members {
    /// None yet. `exports`: so many does the gofer serve for the first container.
    pub fn new(calls: Option<OwnedFd>, exports: u32) -> Self {
        Self { calls, members: BTreeMap::new(), next_container: 1, next_export: exports }
    }

    /// The number of the container whose monitor has this connection.
    pub fn of_client(&self, client: u64) -> Option<u32> {
        self.members.iter().find(|(_, member)| member.client == client).map(|(number, _)| *number)
    }

    /// The connection of a container's monitor.
    pub fn client(&self, container: u32) -> Option<u64> {
        self.members.get(&container).map(|member| member.client)
    }

    /// Gives a new container its numbers, and the gofer its trees, whose descriptors are the last of `files`.
    pub fn add(
        &mut self,
        client: u64,
        what: &mut What,
        files: &mut Vec<OwnedFd>,
        gofer: &OwnedFd,
    ) -> Result<u32, Errno> {
        let calls = self.calls.as_ref().ok_or(Errno::OPNOTSUPP)?;
        let What::Create { container, spec, exports } = what else { return Err(Errno::INVAL) };
        if self.of_client(client).is_some() || self.next_container >= MOST {
            return Err(Errno::EXIST);
        }
        let own = files.len().checked_sub(exports.len()).ok_or(Errno::INVAL)?;
        let trees = files.split_off(own);
        let count = trees.len() as u32;
        let first = self.next_export;
        renumber(spec, first, count)?;
        Notice::Exports(first, std::mem::take(exports), trees).send(gofer)?;
        *container = self.next_container;
        self.next_container += 1;
        self.next_export += count;
        look(calls)?;
        self.members.insert(*container, Member { client, creating: None, exports: (first, count) });
        Ok(*container)
    }

    /// It is being set up by this command.
    pub fn creating(&mut self, container: u32, command: u64) {
        if let Some(member) = self.members.get_mut(&container) {
            member.creating = Some(command);
        }
    }

    /// The container that was set up by this command.
    pub fn created(&mut self, command: u64) -> Option<u32> {
        let (number, member) = self.members.iter_mut().find(|(_, member)| member.creating == Some(command))?;
        member.creating = None;
        Some(*number)
    }

    /// It is no more: the gofer lets go of its files.
    pub fn remove(&mut self, container: u32, gofer: &OwnedFd) {
        let Some(Member { exports: (first, count), .. }) = self.members.remove(&container) else { return };
        if Notice::Withdraw(first, count).send(gofer).is_ok() {
            // A gofer that takes no more calls has let go already.
            let _ = self.calls.as_ref().map(look);
        }
    }
}

/// Puts the gofer's numbers in place of the container's own.
fn renumber(spec: &mut StartSpec, first: u32, count: u32) -> Result<(), Errno> {
    for mount in &mut spec.mounts {
        if let MountKind::Host { mount, .. } = &mut mount.kind {
            if *mount >= count {
                return Err(Errno::INVAL);
            }
            *mount = mount.checked_add(first).ok_or(Errno::OVERFLOW)?;
        }
    }
    Ok(())
}

/// Makes the gofer look at its control socket before it takes the calls that come later.
fn look(calls: &OwnedFd) -> Result<(), Errno> {
    let header = CallHeader { id: 0, client: u32::MAX, handle: 0, offset: 0, arg: 0, output_len: 0, op: LOOK, pad: 0 };
    rustix::io::retry_on_intr(|| rustix::net::send(calls, header.as_bytes(), SendFlags::NOSIGNAL)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice;
    use linker::spec::MountSpec;

    fn create(mounts: &[u32]) -> What {
        let mounts = mounts.iter().map(|mount| MountSpec {
            destination: b"/".to_vec(),
            kind: MountKind::Host { mount: *mount, exclusive: false, overlay: false },
            flags: 0,
            data: String::new(),
            source: String::new(),
        });
        let spec = Box::new(StartSpec { mounts: mounts.collect(), ..StartSpec::default() });
        What::Create { container: 0, spec, exports: vec![true, false] }
    }

    fn files(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::fs::File::open("/").expect("directory").into()).collect()
    }

    #[test]
    fn a_container_gets_numbers_of_its_own_and_the_gofer_its_trees() {
        let ((gofer, gofer_end), (calls, calls_end)) = (notice::pair().expect("pair"), notice::pair().expect("pair"));
        let mut members = Members::new(Some(calls), 5);
        let (mut what, mut given) = (create(&[1, 0]), files(3));
        assert_eq!(members.add(9, &mut what, &mut given, &gofer), Ok(1));
        assert_eq!((given.len(), members.of_client(9), members.client(1)), (1, Some(1), Some(9)));
        let What::Create { container: 1, spec, .. } = &what else { panic!("renumbered") };
        let numbers = spec.mounts.iter().map(|mount| match mount.kind {
            MountKind::Host { mount, .. } => mount,
            MountKind::Sentry(_) => u32::MAX,
        });
        assert_eq!(numbers.collect::<Vec<_>>(), [6, 5]);
        assert!(
            matches!(Notice::receive(&gofer_end), Ok(Some(Notice::Exports(5, writable, trees))) if writable == [true, false] && trees.len() == 2)
        );
        let mut header = [0; size_of::<CallHeader>()];
        assert!(rustix::net::recv(&calls_end, &mut header, rustix::net::RecvFlags::DONTWAIT).is_ok());
        assert_eq!(members.add(9, &mut create(&[0]), &mut files(2), &gofer), Err(Errno::EXIST), "one a connection");
        members.creating(1, 77);
        assert_eq!((members.created(78), members.created(77), members.created(77)), (None, Some(1), None));
        members.remove(1, &gofer);
        assert!(matches!(Notice::receive(&gofer_end), Ok(Some(Notice::Withdraw(5, 2)))));
        assert_eq!(members.of_client(9), None);
        assert_eq!(members.add(9, &mut create(&[0]), &mut files(2), &gofer), Ok(2));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (gofer, _gofer_end) = notice::pair().expect("pair");
        let alone = &mut Members::new(None, 1);
        assert_eq!(alone.add(1, &mut create(&[0]), &mut files(2), &gofer), Err(Errno::OPNOTSUPP));
        let (calls, _calls_end) = notice::pair().expect("pair");
        let members = &mut Members::new(Some(calls), 1);
        assert_eq!(members.add(1, &mut create(&[2]), &mut files(2), &gofer), Err(Errno::INVAL), "a tree too many");
        assert_eq!(members.add(1, &mut create(&[0]), &mut files(1), &gofer), Err(Errno::INVAL), "too few descriptors");
        assert_eq!(members.add(1, &mut What::Start { container: 0 }, &mut files(1), &gofer), Err(Errno::INVAL));
    }
}
