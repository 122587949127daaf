//! The self-test that `BootFlags::SELF_TEST` asks for.

use crate::platform::PLATFORM;
use sentry::platform::Platform;

/// Runs it on the first kernel thread.
pub fn run() -> ! {
    PLATFORM.exit(0)
}
