//! What this host's KVM does differently, found by self-test, never by name.
//!
//! One kind is known: a KVM that runs ring 3 natively and interprets ring 0 of guests that are not made for it. There
//! `SYSCALL` arrives as a page fault, and the vector state of ring 3 is the host's to switch.

use crate::vm::{self, Memory, kvm};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_xsave};
use kvm_ioctls::{Kvm, VcpuFd};
use linker::addr::GuestPa;
use linker::boot::{Quirks, VectorSwap};
use linker::layout::RINGS;
use linker::ring::{RING_BYTES, Ring};
use std::mem::{offset_of, size_of};
use vm_memory::{Bytes, GuestAddress};

/// What this KVM does differently. The probe costs a small VM, so it is made only where KVM hides what the CPU has; ordinary
/// KVMs offer it.
pub fn detect(kvm: &Kvm) -> Result<Quirks, vm::Error> {
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES);
    match cpuid {
        Ok(cpuid) if vm::cpu::hides_xsave(&cpuid) => vm::probe::quirks(kvm),
        _ => Ok(Quirks::empty()),
    }
}

/// Why vector state was not switched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in guest memory.
    #[error("operand outside of guest memory: {0}")]
    Memory(#[from] vm_memory::GuestMemoryError),
    /// KVM refused.
    #[error("KVM: {0}")]
    Kvm(#[from] kvm_ioctls::Error),
}

/// Serves `PORT_VECTOR_SWAP`: saves the vCPU's vector state to one area and loads it from the other.
pub fn swap_vectors(vcpu: &VcpuFd, cpu: usize, memory: &Memory) -> Result<(), Error> {
    let record = RINGS.raw() + cpu as u64 * RING_BYTES + offset_of!(Ring, vector_swap) as u64;
    let (save, load) = operands(memory, record)?;
    if save == GuestPa::new(0) && load == GuestPa::new(0) {
        return Ok(());
    }
    let mut state = vcpu.get_xsave()?;
    if save != GuestPa::new(0) {
        memory.write_slice(&to_bytes(&state), GuestAddress(save.raw()))?;
    }
    if load == GuestPa::new(0) {
        state.region = [0; 1024];
        // XSTATE_BV 0 is the initial state; FCW and MXCSR count for an FXSAVE all the same.
        state.region[0] = 0x037f;
        state.region[6] = 0x1f80;
    } else {
        let mut bytes = [0; size_of::<[u32; 1024]>()];
        memory.read_slice(&mut bytes, GuestAddress(load.raw()))?;
        for (word, bytes) in state.region.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    kvm::set_xsave(vcpu, &state)?;
    Ok(())
}

/// The two operands of a swap.
fn operands(memory: &Memory, record: u64) -> Result<(GuestPa, GuestPa), Error> {
    let field = |offset: usize| memory.read_obj::<u64>(GuestAddress(record + offset as u64));
    Ok((GuestPa::new(field(offset_of!(VectorSwap, save))?), GuestPa::new(field(offset_of!(VectorSwap, load))?)))
}

fn to_bytes(state: &kvm_xsave) -> Vec<u8> {
    state.region.iter().flat_map(|word| word.to_le_bytes()).collect()
}
