//! Links the blob at the addresses of `linker::layout`, and builds the vDSO image that it embeds.

use linker::layout::{KERNEL_BASE, KERNEL_IMAGE};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let here = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    let scripts = here.join("../linker");

    let script = scripts.join("ring0.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    for arg in [
        format!("--script={}", script.display()),
        format!("--defsym=KERNEL_BASE={:#x}", KERNEL_BASE.raw()),
        format!("--defsym=KERNEL_IMAGE={:#x}", KERNEL_IMAGE.raw()),
        "--build-id=none".into(),
        "-z".into(),
        "norelro".into(),
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }

    build_vdso(&here.join("vdso/vdso.rs"), &scripts.join("vdso.ld"), &scripts.join("src/vdso.rs"), &out);
}

/// Compiles one position-independent object and links it as the vDSO, with the toolchain's own linker.
fn build_vdso(source: &Path, script: &Path, data: &Path, out: &Path) {
    for input in [source, script, data] {
        println!("cargo:rerun-if-changed={}", input.display());
    }
    let object = out.join("vdso.o");
    run(Command::new(var("RUSTC"))
        .args(["--edition=2024", "--crate-type=lib", "--crate-name=vdso", "--emit=obj", "--target", &var("TARGET")])
        .args(["-C", "opt-level=2", "-C", "panic=abort", "-C", "relocation-model=pic", "-C", "code-model=small"])
        .args(["-C", "codegen-units=1", "-C", "debuginfo=0"])
        .arg("-o")
        .arg(&object)
        .arg(source));

    let sysroot = Command::new(var("RUSTC")).args(["--print", "sysroot"]).output().expect("rustc says its sysroot");
    let sysroot = String::from_utf8(sysroot.stdout).expect("the sysroot is UTF-8");
    let linker = Path::new(sysroot.trim()).join("lib/rustlib").join(var("HOST")).join("bin/rust-lld");
    let image = out.join("vdso.so");
    run(Command::new(linker)
        .args(["-flavor", "gnu", "-shared", "-Bsymbolic", "--hash-style=both", "--soname=linux-vdso.so.1"])
        .args(["--build-id=none", "--no-undefined", "--strip-all", "-z", "max-page-size=4096", "-z", "norelro"])
        .arg("--script")
        .arg(script)
        .arg("-o")
        .arg(&image)
        .arg(object));
    fs::write(out.join("vdso_symbols.rs"), symbols(&image)).expect("OUT_DIR is writable");
}

/// The image's functions, as a Rust expression: what the self-test calls.
fn symbols(image: &Path) -> String {
    let bytes = fs::read(image).expect("the vDSO was just linked");
    let elf = goblin::elf::Elf::parse(&bytes).expect("the vDSO is an ELF file");
    let symbols: Vec<_> = elf
        .dynsyms
        .iter()
        .filter_map(|symbol| elf.dynstrtab.get_at(symbol.st_name).map(|name| (name, symbol.st_value)))
        .collect();
    format!("&{symbols:?}")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
