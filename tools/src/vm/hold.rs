//! What exists as long as the emulated machine runs, and does nothing: a VM, a socket that wants times of arrival, and (in
//! `guest/session.sh`) a cgroup with memory, CPUs and a quota.
//!
//! Linux patches itself when the first of such a thing is made and when the last one is gone: its scheduler for a VM
//! (`preempt_notifier_key`) and a quota (`__cfs_bandwidth_used`), KVM when a vCPU's LAPIC is disabled (`apic_sw_disabled`), the allocators
//! for cgroups (`memcg_kmem_enabled_key`, `cpusets_enabled_key`), the network's input for time stamps (`netstamp_needed_key`). For a moment an
//! INT3 stands where the other CPU executes. QEMU's multi-threaded TCG translates code before it watches the page for writes,
//! so the other CPU may keep a translation of that INT3 for good, and then neither CPU ever gets past `__schedule` or
//! `__kmalloc`: the machine hangs. So all of that is made while there is one CPU, the session starts the others afterwards, and the counts
//! never return to zero.

use anyhow::{Context, Result};
use kvm_ioctls::Kvm;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimestamp;
use std::ffi::OsString;
use std::io::Write;
use std::net::UdpSocket;

/// The command that does it, for the machine's session.
pub fn command() -> Result<Vec<OsString>> {
    Ok(vec![std::env::current_exe()?.into(), "hold-kvm".into()])
}

/// Says a line when all is there, then sleeps until the process is killed.
pub fn run() -> Result<u8> {
    let vm = Kvm::new().context("/dev/kvm")?.create_vm().context("cannot create a VM")?;
    vm.create_irq_chip().context("cannot create an interrupt controller")?;
    // Never run, so its LAPIC stays as it is after a reset: disabled by software.
    let _vcpu = vm.create_vcpu(0).context("cannot create a vCPU")?;
    let stamped = UdpSocket::bind("127.0.0.1:0").context("no socket on loopback")?;
    setsockopt(&stamped, ReceiveTimestamp, &true).context("cannot ask for times of arrival")?;
    println!("held");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
