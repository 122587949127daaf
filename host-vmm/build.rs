//! Embeds the ring-0 blob that `RINGWALL_BLOB` names; without it the binary builds, and says at run time what is missing.

use std::{env, fs, path::PathBuf};

fn main() {
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
