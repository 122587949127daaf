//! How long system calls take where, for `ringwall lat` (`linker::probe`): a stub of its own (`asm::syscall::probed_syscall_entry`)
//! takes the time of its first and last instruction, `serve_probed` what is between. The parts of the calls that a CPU has served
//! are added up until a program takes them, by a call of its own. Nothing of this is in the way of a sandbox that is not probed.

use crate::percpu::cpu;
use crate::x86::rdtsc;
use core::cell::Cell;
use linker::addr::UserVa;
use linker::probe::{CALL, Parts};
use sentry::platform::platform;
use sentry::task::Current;
use sentry::task::run::{Next, Point, Served, serve};

/// A CPU's. The first four are known to the entry stub.
#[repr(C)]
pub struct Probes {
    /// Scratch of the stub.
    pub rax: Cell<u64>,
    /// See `rax`.
    pub rdx: Cell<u64>,
    /// When the last call came.
    pub first: Cell<u64>,
    /// When it had gone; 0 until then.
    pub last: Cell<u64>,
    /// Its parts but the last, and when that began; none once it has been added.
    open: Cell<Option<([u64; 4], u64)>>,
    /// Calls, and their parts.
    sums: Cell<[u64; 5]>,
}

impl Probes {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            rax: Cell::new(0),
            rdx: Cell::new(0),
            first: Cell::new(0),
            last: Cell::new(0),
            open: Cell::new(None),
            sums: Cell::new([0; 5]),
        }
    }

    /// The last call has left the kernel, other than by the stub.
    pub fn left(&self) {
        self.last.set(rdtsc());
    }

    /// Adds the last call, if the way that it went was looked at to the end.
    fn add_last(&self) {
        let (open, last) = (self.open.take(), self.last.replace(0));
        if let Some(([entry, dispatch, handler, exit], resumed)) = open
            && last != 0
        {
            let [calls, entries, dispatches, handlers, exits] = self.sums.get();
            let exit = exit.wrapping_add(last.wrapping_sub(resumed));
            self.sums.set([
                calls + 1,
                entries.wrapping_add(entry),
                dispatches.wrapping_add(dispatch),
                handlers.wrapping_add(handler),
                exits.wrapping_add(exit),
            ]);
        }
    }
}

/// Serves a call, and looks at when it is where. `COUNTED`: as for `serve`.
#[inline(always)]
pub fn serve_probed<const COUNTED: bool>(current: &mut Current) -> Served {
    let probes = &cpu().probes;
    probes.add_last();
    if current.regs.rax == CALL {
        return take(current);
    }
    let entry = current.regs.error.wrapping_sub(probes.first.get());
    let (begun, ended) = (Cell::new(0), Cell::new(0));
    let came = rdtsc();
    let served = serve::<COUNTED>(current, rdtsc, |point| match point {
        Point::Begun => begun.set(rdtsc()),
        Point::Ended => ended.set(rdtsc()),
    });
    let served_at = rdtsc();
    let parts = [
        entry,
        begun.get().wrapping_sub(came),
        ended.get().wrapping_sub(begun.get()),
        served_at.wrapping_sub(ended.get()),
    ];
    // Perhaps another one now.
    let probes = &cpu().probes;
    probes.last.set(0);
    probes.open.set((ended.get() != 0).then(|| (parts, rdtsc())));
    served
}

/// Gives what has been added up since the last time to the program, at its first argument.
#[cold]
fn take(current: &Current) -> Served {
    let [calls, entry, dispatch, handler, exit] = cpu().probes.sums.take();
    let parts = Parts { calls, entry, dispatch, handler, exit, ticks_per_ms: platform().ticks_per_ms() };
    let value = match current.copy_out(UserVa::new(current.regs.rdi), parts.bytes()) {
        Ok(()) => 0,
        Err(errno) => errno.to_ret(),
    };
    Served { value, next: Next::Resume }
}
