//! The kernel and the initramfs of the emulated machines, made once: the one for all clones on a machine, the other below `target/vm`.
//!
//! The kernel is Debian's stock one, unpacked and not installed. It is booted as the ELF inside the bzImage, which
//! saves the seconds that decompression takes under emulation.

use super::cpio::Archive;
use crate::{process, project, setup};
use anyhow::{Context, Result, bail};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Modules of the reference machine; their dependencies are added, and come first.
pub const QEMU_MODULES: &[&str] = &[
    "virtio",
    "virtio_pci",
    "virtio_console",
    "9p",
    "9pnet_virtio",
    "overlay",
    "veth",
    "kvm-amd",
    "tcp_diag",
    "udp_diag",
    "raw_diag",
    "unix_diag",
];

/// Further modules for machines in which Docker runs (`--docker`): bridges, address translation, devices.
const DOCKER_MODULES: &[&str] = &[
    // libcrc32c asks for it by name when it is loaded; it stands in its `softdep=` line only.
    "crc32c_generic",
    "veth",
    "bridge",
    "br_netfilter",
    "tun",
    "nf_tables",
    "nft_compat",
    "nf_nat",
    "nft_chain_nat",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "xt_MASQUERADE",
    "xt_addrtype",
    "xt_conntrack",
    "xt_nat",
    "xt_tcpudp",
    "xt_comment",
    "xt_mark",
    "nf_conntrack_netlink",
    "xfrm_user",
];

/// Kernel and initramfs of the reference machine.
pub struct Images {
    /// The kernel as an ELF file.
    pub kernel: PathBuf,
    /// Busybox, the modules and the scripts; the command to run is appended for each start.
    pub initramfs: PathBuf,
}

/// Makes what is missing, with the modules for Docker or without.
pub fn prepare(docker: bool) -> Result<Images> {
    setup::packages(setup::QEMU)?;
    let tree = kernel_tree()?;
    let kernel = elf_kernel(&tree)?;
    let assets = project::vm_assets();
    fs::create_dir_all(&assets).with_context(|| format!("cannot make {}", assets.display()))?;
    let initramfs = assets.join(if docker { "initramfs-docker.cpio" } else { "initramfs.cpio" });
    let content = reference_initramfs(&tree, docker)?;
    // Rewritten only when it differs, as another machine may be starting from it.
    if fs::read(&initramfs).ok().as_deref() != Some(&content) {
        write_atomically(&initramfs, &content)?;
    }
    Ok(Images { kernel, initramfs })
}

/// The unpacked kernel package (`boot/`, `lib/modules/`).
pub fn kernel_tree() -> Result<PathBuf> {
    let (name, cache) = (kernel_package()?, project::cache());
    let tree = cache.join(&name);
    if tree.join("boot").is_dir() {
        return Ok(tree);
    }
    let scratch = cache.join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    let package = setup::download(&name, &scratch)?;
    let unpacked = scratch.join("tree");
    process::output(Command::new("dpkg-deb").arg("-x").args([&package, &unpacked]))?;
    // Whoever comes second finds the tree in place, which is as good.
    let renamed = fs::rename(&unpacked, &tree);
    fs::remove_dir_all(&scratch)?;
    if !tree.join("boot").is_dir() {
        renamed.context("cannot put the kernel in place")?;
    }
    Ok(tree)
}

/// The package that `linux-image-amd64` stands for at present.
fn kernel_package() -> Result<String> {
    let answer = process::output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]));
    let names = match answer {
        Ok(text) if !text.is_empty() => text,
        _ => {
            setup::update_lists()?;
            process::output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?
        }
    };
    String::from_utf8_lossy(&names)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .context("apt knows no linux-image-amd64")
}

/// Takes the ELF out of the bzImage.
fn elf_kernel(tree: &Path) -> Result<PathBuf> {
    let elf = tree.join("vmlinux");
    if elf.is_file() {
        return Ok(elf);
    }
    let image = fs::read(bzimage(tree)?)?;
    let payload = payload(&image).context("not a bzImage of boot protocol 2.08 or later")?;
    let mut unpack = Command::new("xz")
        .args(["-dc", "--single-stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start xz")?;
    let mut input = unpack.stdin.take().context("xz has no stdin")?;
    let output = std::thread::scope(|scope| {
        // xz stops reading after the stream; the size that Linux appends to it stays unread.
        scope.spawn(move || input.write_all(payload));
        unpack.wait_with_output()
    })?;
    if !output.stdout.starts_with(b"\x7fELF") {
        bail!("the kernel is not an xz-compressed ELF file");
    }
    write_atomically(&elf, &output.stdout)?;
    Ok(elf)
}

/// The compressed kernel as the package has it.
pub fn bzimage(tree: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(tree.join("boot"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("vmlinuz-") {
            return Ok(entry.path());
        }
    }
    bail!("no kernel in {}", tree.display())
}

/// The payload's place is in the setup header (Documentation/arch/x86/boot.rst in Linux).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let offset = usize::try_from(word(0x248)?).ok()? + (setup_sectors + 1) * 512;
    let length = usize::try_from(word(0x24c)?).ok()?;
    image.get(offset..offset.checked_add(length)?)
}

fn reference_initramfs(tree: &Path, docker: bool) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    base(&mut archive)?;
    let wanted = if docker { [QEMU_MODULES, DOCKER_MODULES].concat() } else { QEMU_MODULES.to_vec() };
    modules(&mut archive, tree, &wanted)?;
    archive.executable("init", include_bytes!("guest/init.sh"));
    archive.executable("ringwall-vm/session", include_bytes!("guest/session.sh"));
    Ok(archive.finish())
}

/// Busybox and the directory that outlives the switch of the root.
pub fn base(archive: &mut Archive) -> Result<()> {
    let busybox = fs::read("/usr/bin/busybox").context("busybox-static is missing")?;
    archive.directory("ringwall-vm");
    archive.executable("ringwall-vm/busybox", &busybox);
    archive.directory("modules");
    Ok(())
}

/// Adds the modules and what they depend on as `modules/NN-name.ko`, in loading order.
pub fn modules(archive: &mut Archive, tree: &Path, wanted: &[&str]) -> Result<()> {
    let mut found = HashMap::new();
    find_modules(&tree.join("lib/modules"), &mut found)?;
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for name in wanted {
        load_order(name, &found, &mut seen, &mut order)?;
    }
    for (at, (name, content)) in order.iter().enumerate() {
        archive.executable(&format!("modules/{at:02}-{name}.ko"), content);
    }
    Ok(())
}

/// Depth first: a module comes after those in its `depends=` line.
fn load_order(
    name: &str,
    found: &HashMap<String, PathBuf>,
    seen: &mut HashSet<String>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let key = name.replace('-', "_");
    if !seen.insert(key.clone()) {
        return Ok(());
    }
    let path = found.get(&key).with_context(|| format!("the kernel has no module {name}"))?;
    let content = fs::read(path)?;
    for dependency in depends(&content) {
        load_order(&dependency, found, seen, order)?;
    }
    order.push((key, content));
    Ok(())
}

fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn find_modules(directory: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find_modules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "ko")
            && let Some(stem) = path.file_stem()
        {
            found.insert(stem.to_string_lossy().replace('-', "_"), path);
        }
    }
    Ok(())
}

fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let scratch = path.with_extension(format!("new.{}", std::process::id()));
    fs::write(&scratch, content).with_context(|| format!("cannot write {}", scratch.display()))?;
    fs::rename(&scratch, path)?;
    Ok(())
}
