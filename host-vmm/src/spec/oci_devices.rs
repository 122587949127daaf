//! Device nodes and FIFOs that a bundle wants. Devices of the host's stay the host's: the numbers are those that the sentry has
//! drivers for.

use super::oci::{Error, bad};
use super::oci_mounts;
use linker::spec::DeviceSpec;
use linux_raw_sys::general as raw;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Spec};
use std::os::unix::ffi::OsStrExt;

/// Devices that the sentry has drivers for: null, zero, full, random, urandom; tty, console, ptmx (Linux,
/// Documentation/admin-guide/devices.txt).
const DEVICES: &[(u32, u32)] = &[(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

/// Those that can be made. One that cannot is refused, unless the container may use every device there is (`--privileged`):
/// then it is given all nodes of the host's, whatever they are, and gets those that a sandbox has.
pub fn convert(config: &Spec) -> Result<Vec<DeviceSpec>, Error> {
    let linux = config.linux().as_ref();
    let listed = linux.and_then(|linux| linux.devices().as_ref()).into_iter().flatten();
    let rules = linux.and_then(|linux| linux.resources().as_ref()?.devices().as_ref());
    let any = rules.and_then(|rules| rules.last()).is_some_and(allows_all);
    let mut made = Vec::new();
    for device in listed {
        match convert_one(device)? {
            Some(device) => made.push(device),
            None if any => {}
            None => return Err(bad("linux.devices", format!("{}: not supported", device.path().display()))),
        }
    }
    Ok(made)
}

fn allows_all(rule: &LinuxDeviceCgroup) -> bool {
    let every_number = |number: Option<i64>| number.is_none_or(|number| number < 0);
    rule.allow()
        && rule.typ().is_none_or(|kind| kind == LinuxDeviceType::A)
        && every_number(rule.major())
        && every_number(rule.minor())
}

/// `None` for a device that a sandbox does not have.
fn convert_one(device: &LinuxDevice) -> Result<Option<DeviceSpec>, Error> {
    /// What runc gives where nothing is said.
    const PERMISSIONS: u32 = 0o666;
    let path = device.path();
    if !path.is_absolute() {
        return Err(bad("linux.devices", format!("{} is not absolute", path.display())));
    }
    let number = (u32::try_from(device.major()).unwrap_or(0), u32::try_from(device.minor()).unwrap_or(0));
    let kind = match device.typ() {
        LinuxDeviceType::P => raw::S_IFIFO,
        LinuxDeviceType::C | LinuxDeviceType::U if DEVICES.contains(&number) => raw::S_IFCHR,
        _ => return Ok(None),
    };
    Ok(Some(DeviceSpec {
        path: oci_mounts::lexical(path).as_os_str().as_bytes().to_vec(),
        mode: kind | device.file_mode().unwrap_or(PERMISSIONS) & 0o7777,
        rdev: if kind == raw::S_IFCHR { u64::from(number.0) << 32 | u64::from(number.1) } else { 0 },
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    }))
}
