//! Embeds the ring-0 blob that `RINGWALL_BLOB` names; without it the binary builds, and says at run time what is missing. Says of
//! which source the compiler of seccomp profiles is, so that what it compiled is not taken for another one's.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::{env, fs, path::PathBuf};

/// All that a compiled profile depends on, beside the profile.
const SECCOMP_SOURCE: [&str; 4] =
    ["src/spec/seccomp/mod.rs", "src/spec/seccomp/cache.rs", "src/spec/seccomp/warnings.rs", "../linker/src/spec.rs"];

fn main() {
    let mut hasher = DefaultHasher::new();
    for file in SECCOMP_SOURCE {
        println!("cargo::rerun-if-changed={file}");
        fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}")).hash(&mut hasher);
    }
    println!("cargo::rustc-env=RINGWALL_SECCOMP_SOURCE={:016x}", hasher.finish());
    println!("cargo::rerun-if-env-changed=RINGWALL_BLOB");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("blob.elf");
    match env::var_os("RINGWALL_BLOB").filter(|path| !path.is_empty()) {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", PathBuf::from(&path).display());
            fs::copy(&path, &out)
                .unwrap_or_else(|error| panic!("RINGWALL_BLOB {}: {error}", PathBuf::from(&path).display()));
        }
        None => fs::write(&out, []).expect("OUT_DIR is writable"),
    }
}
