//! Brings the container up from its start specification.

/// Runs the sandbox on the calling (first) kernel thread; never returns.
pub fn start() -> ! {
    let platform = crate::platform::platform();
    platform.log("sentry: no program can be started yet");
    platform.exit(125)
}
