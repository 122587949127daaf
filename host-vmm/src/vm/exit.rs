//! The vCPU run loop, and what an exit means: one function from an exit to what happens next, testable without KVM.

use crate::quirk;
use crate::serve::Server;
use kvm_ioctls::{VcpuExit, VcpuFd};
use linker::layout::{
    PORT_DEBUG, PORT_DOORBELL_ASYNC, PORT_DOORBELL_SYNC, PORT_EXIT, PORT_NOTHING, PORT_PANIC, PORT_VECTOR_SWAP,
};

/// An exit, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest wrote `value` to `port`.
    Out {
        /// I/O port.
        port: u16,
        /// The bytes written, little-endian.
        value: u32,
    },
    /// KVM_RUN was interrupted; nothing happened.
    Interrupted,
    /// The vCPU cannot go on.
    Dead(String),
}

/// What the run loop does after an exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Enter the guest again.
    Resume,
    /// Serve this vCPU's ring first.
    Serve,
    /// Swap ring 3's vector state first.
    SwapVectors,
    /// Pass a byte of early console output on first.
    Debug(u8),
    /// The sandbox is over, with this status (as for `PORT_EXIT`).
    Exit(u32),
    /// ring0 panicked.
    Panic,
    /// ringwall failed.
    Fail(String),
}

/// Runs a vCPU until the sandbox ends, which ends this process.
pub fn run(mut vcpu: VcpuFd, cpu: usize, server: &Server) -> ! {
    loop {
        let exit = match vcpu.run() {
            Ok(exit) => own(exit),
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => Exit::Interrupted,
            Err(error) => Exit::Dead(format!("KVM_RUN: {error}")),
        };
        server.count_exit();
        match decide(exit) {
            Next::Resume => {}
            Next::Serve => server.serve_sync(cpu),
            Next::SwapVectors => {
                if let Err(error) = quirk::swap_vectors(&vcpu, cpu, server.memory()) {
                    server.end_failed(&format!("vCPU {cpu}: vector state: {error}"));
                }
            }
            Next::Debug(byte) => server.debug_byte(byte),
            Next::Exit(status) => server.end(status),
            Next::Panic => server.end_panicked(),
            Next::Fail(reason) => {
                let registers = vcpu.get_regs().unwrap_or_default();
                let mut line = format!("vCPU {cpu}: {reason} at rip {:#x}", registers.rip);
                if server.debug() {
                    line += &format!("\n{registers:#x?}\n{:#x?}", vcpu.get_sregs().unwrap_or_default());
                }
                server.end_failed(&line);
            }
        }
    }
}

/// Copies what matters of an exit out of the shared run page.
fn own(exit: VcpuExit<'_>) -> Exit {
    match exit {
        VcpuExit::IoOut(port, data) => {
            let mut value = [0; 4];
            let len = data.len().min(value.len());
            value[..len].copy_from_slice(&data[..len]);
            Exit::Out { port, value: u32::from_le_bytes(value) }
        }
        VcpuExit::Intr => Exit::Interrupted,
        VcpuExit::Shutdown => Exit::Dead("the guest's kernel triple-faulted".into()),
        VcpuExit::InternalError => Exit::Dead("KVM cannot execute the guest's instruction".into()),
        VcpuExit::FailEntry(reason, _) => Exit::Dead(format!("KVM cannot enter the guest (reason {reason:#x})")),
        other => Exit::Dead(format!("unexpected exit {other:?}")),
    }
}

/// What an exit means.
pub fn decide(exit: Exit) -> Next {
    match exit {
        Exit::Interrupted => Next::Resume,
        Exit::Dead(reason) => Next::Fail(reason),
        Exit::Out { port, value } => match port {
            PORT_DOORBELL_SYNC => Next::Serve,
            // The number of no vCPU; those of vCPUs go to their eventfds.
            PORT_DOORBELL_ASYNC | PORT_NOTHING => Next::Resume,
            PORT_EXIT => Next::Exit(value),
            PORT_PANIC => Next::Panic,
            PORT_DEBUG => Next::Debug(value as u8),
            PORT_VECTOR_SWAP => Next::SwapVectors,
            _ => Next::Fail(format!("the guest's kernel wrote to I/O port {port:#x}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_port_ends_the_sandbox_with_its_value() {
        assert_eq!(decide(Exit::Out { port: PORT_EXIT, value: 256 + 9 }), Next::Exit(265));
    }

    #[test]
    fn a_doorbell_is_served_and_an_idle_exit_resumes() {
        assert_eq!(decide(Exit::Out { port: PORT_DOORBELL_SYNC, value: 0 }), Next::Serve);
        assert_eq!(decide(Exit::Out { port: PORT_NOTHING, value: 7 }), Next::Resume);
        assert_eq!(decide(Exit::Interrupted), Next::Resume);
    }

    #[test]
    fn an_unknown_port_and_a_dead_vcpu_end_the_sandbox() {
        assert!(matches!(decide(Exit::Out { port: 0x80, value: 0 }), Next::Fail(_)));
        assert!(matches!(decide(Exit::Dead("triple fault".into())), Next::Fail(_)));
    }
}
