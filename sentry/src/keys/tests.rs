//! Keys as programs use them.

use super::{add, control, request};
use crate::errno::Errno;
use crate::fake;
use alloc::vec;
use alloc::vec::Vec;

const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const SESSION: i32 = -3;

#[test]
fn a_key_is_found_updated_and_revoked() {
    let current = &mut fake::current();
    let key = add(current, b"user", b"name", b"secret".to_vec(), PROCESS).expect("a key");
    assert_eq!(control::read(current, key), Ok(b"secret".to_vec()));
    assert_eq!(request(current, b"user", b"name", false, 0), Ok(key));
    assert_eq!(add(current, b"user", b"name", b"new".to_vec(), PROCESS), Ok(key));
    assert_eq!(control::read(current, key), Ok(b"new".to_vec()));
    assert_eq!(control::read(current, PROCESS), Ok(key.to_ne_bytes().to_vec()));
    assert_eq!(control::revoke(current, key), Ok(()));
    assert_eq!(control::read(current, key), Err(Errno::EKEYREVOKED));
    assert_eq!(request(current, b"user", b"name", false, 0), Err(Errno::EKEYREVOKED));
    assert_eq!(control::unlink(current, key, PROCESS), Ok(()));
    assert_eq!(request(current, b"user", b"name", false, 0), Err(Errno::ENOKEY));
}

#[test]
fn keyrings_in_a_circle_are_refused_and_a_missing_key_is_remembered() {
    let current = &mut fake::current();
    let outer = add(current, b"keyring", b"outer", Vec::new(), THREAD).expect("a keyring");
    let inner = add(current, b"keyring", b"inner", Vec::new(), outer).expect("a keyring");
    assert_eq!(control::link(current, outer, inner), Err(Errno::EDEADLK));
    assert_eq!(control::link(current, outer, outer), Err(Errno::EDEADLK));
    assert_eq!(request(current, b"user", b"nobody's", true, outer), Err(Errno::ENOKEY));
    let numbers = control::read(current, outer).expect("numbers");
    assert_eq!(numbers.len(), 8, "the other keyring, and the key that could not be had");
}

#[test]
fn payloads_and_types_are_checked() {
    let current = &mut fake::current();
    assert_eq!(add(current, b"user", b"name", vec![0; 32_768], THREAD), Err(Errno::EINVAL));
    assert_eq!(add(current, b"logon", b"without", vec![0; 8], THREAD), Err(Errno::EINVAL));
    assert_eq!(add(current, b"nothing", b"name", vec![0; 8], THREAD), Err(Errno::ENODEV));
    let logon = add(current, b"logon", b"with:name", vec![0; 8], THREAD).expect("a key");
    assert_eq!(control::read(current, logon), Err(Errno::EOPNOTSUPP));
    assert_eq!(control::read(current, 77), Err(Errno::ENOKEY));
    assert_eq!(control::read(current, -6), Err(Errno::EINVAL));
}

#[test]
fn a_new_session_keyring_hides_the_old_one() {
    let current = &mut fake::current();
    let first = control::join_session(current, None).expect("a session");
    add(current, b"user", b"name", b"secret".to_vec(), SESSION).expect("a key");
    let second = control::join_session(current, None).expect("a session");
    assert_ne!(first, second);
    assert_eq!(request(current, b"user", b"name", false, 0), Err(Errno::ENOKEY));
}
