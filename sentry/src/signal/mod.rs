//! Signals: numbers, pending sets, actions, delivery.
//!
//! `send` decides whether a signal is kept and whom it wakes; `deliver` is what a thread does with its signals before it goes back
//! to user mode: `frame` for a handler, `stop` for job control, the process's end for the rest. `force` makes signals of
//! exceptions. State and lock order: `state`. `TaskSignals::deliverable` is all that the fast path looks at.

mod action;
mod deliver;
mod force;
mod frame;
mod info;
mod mask;
mod number;
mod pending;
mod send;
mod stack;
mod state;
mod stop;
#[cfg(test)]
mod tests;

pub use action::{ActionFlags, Actions, SigAction};
pub use deliver::{AfterSignals, deliver_pending};
pub use force::{exception, force_fault, memory_fault};
pub use frame::minimum_stack;
pub use info::{ABI_SIZE, ChildCode, ChildInfo, SigInfo};
pub use mask::{
    dequeue, dequeue_wait, pending_for, reset_for_exec, restore_mask, return_from_handler, set_action,
    set_alternate_stack, set_mask, set_mask_of, set_temporary_mask, suspend, wait_forever,
};
pub use number::{DefaultAction, Signal, SignalSet};
pub use send::{send_by, send_from_host, send_to_group, send_to_process, send_to_task, try_send};
pub use stack::StackT;
pub use state::{ProcessSignals, RestartBlock, StopChange, TaskSignals, ThreadSignalState};
pub use stop::{thread_exiting, thread_started};
