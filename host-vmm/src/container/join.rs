//! A further container of a pod: sent, as a command with descriptors, to the monitor of the pod's first, in whose sandbox it will be.

use crate::container::client::Connection;
use crate::container::create::Options;
use crate::container::monitor::Joined;
use crate::container::state::Directory;
use crate::container::{Error, call, said};
use crate::launch;
use crate::notice::MAX_FILES;
use crate::spec::oci::Bundle;
use linker::control::What;
use rustix::io::fcntl_dupfd_cloexec;
use std::os::fd::{AsFd, OwnedFd};

/// Sends a container to the pod whose first container is called `sandbox`. The caller's standard streams are the container's.
///
/// # Errors
/// There is no such pod, or it does not run; a tree of the host's is not there, or there are too many.
pub fn join(
    options: &Options<'_>,
    sandbox: &str,
    bundle: Bundle,
    descriptors: Vec<OwnedFd>,
    terminal: Option<OwnedFd>,
) -> Result<Joined, Error> {
    let in_pod = |error: Error| said(format!("pod {sandbox}: {error}"));
    let directory = Directory::open(options.root, sandbox).map_err(in_pod)?;
    let mut connection = Connection::open(&directory).map_err(in_pod)?;
    directory.unlock();
    let Bundle { mut spec, exports, .. } = bundle;
    let roots = launch::open_exports(&spec, exports).map_err(Error::from)?;

    let mut files = Vec::new();
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for (place, stream) in spec.stdio.iter_mut().zip(streams) {
        if place.is_some() {
            *place = Some(files.len() as u32);
            files.push(fcntl_dupfd_cloexec(stream.as_fd(), 3).map_err(call("standard streams"))?);
        }
    }
    spec.descriptors = (files.len() as u32..).take(descriptors.len()).collect();
    files.extend(descriptors);
    if let Some((filter, to)) = &options.strace {
        spec.trace = Some((filter.clone(), files.len() as u32));
        files.push(to.try_clone().map_err(|error| Error::Io("--strace".into(), error))?);
    }
    let writable = roots.iter().map(|root| root.writable).collect();
    files.extend(roots.into_iter().map(|root| root.fd));
    if files.len() > MAX_FILES {
        let most =
            format!("config.json: mounts: {} descriptors for a container of a pod, {MAX_FILES} at most", files.len());
        return Err(said(most));
    }
    spec.wait = true;
    let what = What::Create { container: 0, spec: Box::new(spec), exports: writable };
    let command = connection.tell(what, files)?;
    Ok(Joined { creating: Some(command), commands: command + 1, socket: connection.into(), terminal, gone: false })
}
