//! Changing user and group ids, and what that does to capabilities (credentials(7), capabilities(7)).

use super::{Cap, Credentials, SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP};
use crate::errno::Errno;

/// setuid(2).
pub fn set_uid(creds: &mut Credentials, uid: u32) -> Result<(), Errno> {
    let before = creds.clone();
    if creds.has_own(Cap::Setuid) {
        (creds.uid, creds.euid, creds.suid) = (uid, uid, uid);
    } else if uid == creds.uid || uid == creds.suid {
        creds.euid = uid;
    } else {
        return Err(Errno::EPERM);
    }
    creds.fsuid = creds.euid;
    fix_capabilities(creds, &before);
    Ok(())
}

/// setreuid(2); `None` leaves an id.
pub fn set_reuid(creds: &mut Credentials, real: Option<u32>, effective: Option<u32>) -> Result<(), Errno> {
    let before = creds.clone();
    let privileged = creds.has_own(Cap::Setuid);
    let real_ok = real.is_none_or(|uid| uid == before.uid || uid == before.euid);
    let effective_ok = effective.is_none_or(|uid| [before.uid, before.euid, before.suid].contains(&uid));
    if !privileged && !(real_ok && effective_ok) {
        return Err(Errno::EPERM);
    }
    creds.uid = real.unwrap_or(creds.uid);
    creds.euid = effective.unwrap_or(creds.euid);
    if real.is_some() || effective.is_some_and(|uid| uid != before.uid) {
        creds.suid = creds.euid;
    }
    creds.fsuid = creds.euid;
    fix_capabilities(creds, &before);
    Ok(())
}

/// setresuid(2); `None` leaves an id.
pub fn set_resuid(creds: &mut Credentials, ids: [Option<u32>; 3]) -> Result<(), Errno> {
    let before = creds.clone();
    let mine = [before.uid, before.euid, before.suid];
    if !creds.has_own(Cap::Setuid) && ids.iter().flatten().any(|uid| !mine.contains(uid)) {
        return Err(Errno::EPERM);
    }
    creds.uid = ids[0].unwrap_or(creds.uid);
    creds.euid = ids[1].unwrap_or(creds.euid);
    creds.suid = ids[2].unwrap_or(creds.suid);
    creds.fsuid = creds.euid;
    fix_capabilities(creds, &before);
    Ok(())
}

/// setfsuid(2): returns the old id, whether or not it changed.
pub fn set_fsuid(creds: &mut Credentials, uid: u32) -> u32 {
    let old = creds.fsuid;
    let may = creds.has_own(Cap::Setuid) || [creds.uid, creds.euid, creds.suid, creds.fsuid].contains(&uid);
    // -1 is nobody's.
    if may && uid != u32::MAX {
        creds.fsuid = uid;
        let files = FILE_CAPS & creds.caps.permitted;
        let root = creds.root_uid();
        match (old == root, uid == root) {
            (true, false) => creds.caps.effective &= !FILE_CAPS,
            (false, true) => creds.caps.effective |= files,
            _ => {}
        }
    }
    old
}

/// setgid(2).
pub fn set_gid(creds: &mut Credentials, gid: u32) -> Result<(), Errno> {
    if creds.has_own(Cap::Setgid) {
        (creds.gid, creds.egid, creds.sgid) = (gid, gid, gid);
    } else if gid == creds.gid || gid == creds.sgid {
        creds.egid = gid;
    } else {
        return Err(Errno::EPERM);
    }
    creds.fsgid = creds.egid;
    Ok(())
}

/// setregid(2); `None` leaves an id.
pub fn set_regid(creds: &mut Credentials, real: Option<u32>, effective: Option<u32>) -> Result<(), Errno> {
    let before = creds.clone();
    let real_ok = real.is_none_or(|gid| gid == before.gid || gid == before.egid);
    let effective_ok = effective.is_none_or(|gid| [before.gid, before.egid, before.sgid].contains(&gid));
    if !creds.has_own(Cap::Setgid) && !(real_ok && effective_ok) {
        return Err(Errno::EPERM);
    }
    creds.gid = real.unwrap_or(creds.gid);
    creds.egid = effective.unwrap_or(creds.egid);
    if real.is_some() || effective.is_some_and(|gid| gid != before.gid) {
        creds.sgid = creds.egid;
    }
    creds.fsgid = creds.egid;
    Ok(())
}

/// setresgid(2); `None` leaves an id.
pub fn set_resgid(creds: &mut Credentials, ids: [Option<u32>; 3]) -> Result<(), Errno> {
    let mine = [creds.gid, creds.egid, creds.sgid];
    if !creds.has_own(Cap::Setgid) && ids.iter().flatten().any(|gid| !mine.contains(gid)) {
        return Err(Errno::EPERM);
    }
    creds.gid = ids[0].unwrap_or(creds.gid);
    creds.egid = ids[1].unwrap_or(creds.egid);
    creds.sgid = ids[2].unwrap_or(creds.sgid);
    creds.fsgid = creds.egid;
    Ok(())
}

/// setfsgid(2): returns the old id, whether or not it changed.
pub fn set_fsgid(creds: &mut Credentials, gid: u32) -> u32 {
    let old = creds.fsgid;
    let may = creds.has_own(Cap::Setgid) || [creds.gid, creds.egid, creds.sgid, creds.fsgid].contains(&gid);
    // -1 is nobody's.
    if may && gid != u32::MAX {
        creds.fsgid = gid;
    }
    old
}

/// The capabilities that follow the file-system user (setfsuid(2)).
const FILE_CAPS: u64 = 1 << Cap::Chown as u64
    | 1 << Cap::DacOverride as u64
    | 1 << Cap::DacReadSearch as u64
    | 1 << Cap::Fowner as u64
    | 1 << Cap::Fsetid as u64
    | 1 << Cap::LinuxImmutable as u64
    | 1 << Cap::Mknod as u64;

/// "Effect of user ID changes on capabilities" (capabilities(7)).
fn fix_capabilities(creds: &mut Credentials, before: &Credentials) {
    if creds.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
        return;
    }
    let root = creds.root_uid();
    let had_root = [before.uid, before.euid, before.suid].contains(&root);
    let has_root = [creds.uid, creds.euid, creds.suid].contains(&root);
    if had_root && !has_root {
        if creds.securebits & SECBIT_KEEP_CAPS == 0 {
            creds.caps.permitted = 0;
            creds.caps.effective = 0;
        }
        creds.caps.ambient = 0;
    }
    match (before.euid == root, creds.euid == root) {
        (true, false) => creds.caps.effective = 0,
        (false, true) => creds.caps.effective = creds.caps.permitted,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linker::spec::Capabilities;

    fn root() -> Credentials {
        let all = Capabilities { bounding: !0, effective: !0, inheritable: 0, permitted: !0, ambient: 0 };
        Credentials { caps: all, ..Credentials::default() }
    }

    #[test]
    fn root_that_becomes_a_user_loses_its_capabilities_and_the_way_back() {
        let mut creds = root();
        set_uid(&mut creds, 65_534).unwrap();
        assert_eq!((creds.uid, creds.euid, creds.suid, creds.fsuid), (65_534, 65_534, 65_534, 65_534));
        assert_eq!((creds.caps.permitted, creds.caps.effective), (0, 0));
        assert_eq!(set_uid(&mut creds, 0), Err(Errno::EPERM));
    }

    #[test]
    fn root_that_only_lends_its_effective_id_gets_its_capabilities_back() {
        let mut creds = root();
        set_resuid(&mut creds, [None, Some(1000), None]).unwrap();
        assert_eq!((creds.caps.permitted, creds.caps.effective), (!0, 0));
        set_resuid(&mut creds, [None, Some(0), None]).unwrap();
        assert_eq!(creds.caps.effective, !0);
    }

    #[test]
    fn setreuid_of_a_user_saves_the_new_effective_id() {
        let mut creds = Credentials { uid: 1, euid: 2, suid: 3, ..Credentials::default() };
        set_reuid(&mut creds, Some(2), Some(1)).unwrap();
        assert_eq!((creds.uid, creds.euid, creds.suid), (2, 1, 1));
        assert_eq!(set_reuid(&mut creds, None, Some(3)), Err(Errno::EPERM));
    }
}
