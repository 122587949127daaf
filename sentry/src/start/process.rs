//! The first process.

use super::program::{self, Streams};
use super::{StartError, mounts};
use crate::control;
use crate::fs;
use crate::observe;
use crate::platform::platform;
use crate::task::spaces::Spaces;
use crate::task::{INIT, registry, run};
use core::convert::Infallible;
use linker::spec::StartSpec;

/// Starts the container and drives its first process; returns only when that cannot be started.
pub fn start(spec: &StartSpec) -> Result<Infallible, StartError> {
    crate::uts::init(&spec.hostname, &spec.domainname, &spec.kernel_release);
    crate::settings::init(spec);
    fs::dev::register();
    crate::tty::register();
    crate::syscall::policy::init(spec);
    observe::init(spec).map_err(|errno| StartError::new("trace", errno))?;
    registry().lock().limit_tasks(spec.max_tasks);
    let namespace = mounts::root(spec)?;
    crate::net::stack::start(&spec.network).map_err(|errno| StartError::new("network", errno))?;
    control::init(spec, &namespace);
    let mut current = program::new_task(&spec.process, namespace, Spaces::initial())?;
    debug_assert_eq!(current.process.pid(), INIT);
    mounts::others(&current, spec)?;
    mounts::make_devices(&current, spec)?;
    mounts::hide(&current, spec)?;
    Streams::adopt(spec.stdio, &spec.descriptors, spec.terminal).open(&current, spec.process.uid, true)?;
    // As in a pid namespace: what has no handler does not reach the first process.
    current.process.signals.set_unkillable(spec.wait);
    control::start_events().map_err(|errno| StartError::new("events of the host", errno))?;
    program::load(&mut current, &spec.process, spec.wait)?;
    if spec.wait {
        control::wait_for_start(&mut current);
    }
    run::run(current);
    // The first process's end is the sandbox's. Where other threads of it are left, it is for the last of them.
    loop {
        platform().park(None);
    }
}
