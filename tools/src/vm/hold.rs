//! A VM that exists as long as the emulated machine runs, and does nothing.
//!
//! Linux patches its own scheduler when the first VM of a machine is created and when the last one is gone
//! (`preempt_notifier_key`), and KVM's own code when a vCPU's LAPIC is first disabled and when none is any more
//! (`apic_sw_disabled`): for a moment an INT3 stands where the other CPU executes. QEMU's multi-threaded TCG translates code before
//! it watches the page for writes, so the other CPU may keep a translation of that INT3 for good, and then neither CPU ever
//! gets past `__schedule`: the machine hangs. With this VM the counts never return to zero and nothing is patched.

use anyhow::{Context, Result};
use kvm_ioctls::Kvm;
use std::ffi::OsString;
use std::io::Write;

/// The command that does it, for the machine's session.
pub fn command() -> Result<Vec<OsString>> {
    Ok(vec![std::env::current_exe()?.into(), "hold-kvm".into()])
}

/// Says a line when the VM is there, then sleeps until the process is killed.
pub fn run() -> Result<u8> {
    let vm = Kvm::new().context("/dev/kvm")?.create_vm().context("cannot create a VM")?;
    vm.create_irq_chip().context("cannot create an interrupt controller")?;
    // Never run, so its LAPIC stays as it is after a reset: disabled by software.
    let _vcpu = vm.create_vcpu(0).context("cannot create a vCPU")?;
    println!("held");
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
