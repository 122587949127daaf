//! Path requests: copied out of guest memory, sent to the gofer, their answers copied back in.

use crate::gofer::wire::{self, Answer as GoferAnswer, Call};
use crate::serve::{Answer, Server};
use crate::vm::Memory;
use linker::request::{Op, Request};
use rustix::fs::OFlags;
use rustix::io::Errno;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

/// Whether the gofer answers this op.
pub fn is_path_op(op: u16) -> bool {
    (Op::Attach as u16..=Op::ForgetMany as u16).contains(&op)
}

/// Copies a path request's arguments and checks its buffers, before anything is done about it.
pub fn prepare(memory: &Memory, request: &Request) -> Result<Call, Errno> {
    if request.flags & Request::FLAG_SEGMENTS != 0 {
        return Err(Errno::INVAL);
    }
    let input_len =
        usize::try_from(request.input.len).ok().filter(|len| *len <= wire::MAX_DATA).ok_or(Errno::TOOBIG)?;
    let mut input = vec![0; input_len];
    if input_len > 0 {
        memory.read_slice(&mut input, GuestAddress(request.input.pa.raw())).map_err(|_| Errno::FAULT)?;
    }
    let output_len = request.output.len.min(wire::MAX_DATA as u64) as usize;
    if output_len > 0 && !memory.check_range(GuestAddress(request.output.pa.raw()), output_len) {
        return Err(Errno::FAULT);
    }
    Ok(Call {
        op: request.op,
        handle: request.handle,
        offset: request.offset,
        arg: request.arg,
        output_len: output_len as u32,
        input,
    })
}

impl Server {
    /// Puts the gofer's answer where the guest asked for it; takes over a file that came with it.
    pub(super) fn finish_path(&self, request: &Request, answer: GoferAnswer) -> Answer {
        let mut result = answer.result?;
        let mut data = answer.data;
        if wire::donates(request.op) {
            let flags = OFlags::from_bits_retain(request.arg as u32) & (OFlags::ACCMODE | OFlags::APPEND);
            let file = self.files.insert(answer.file.ok_or(Errno::MFILE)?, flags)?;
            if request.op == Op::Create as u16 {
                data.extend_from_slice(&file.to_le_bytes());
            } else {
                result = u64::from(file);
            }
        }
        let room = usize::try_from(request.output.len).unwrap_or(usize::MAX).min(data.len());
        if room > 0 {
            let written =
                self.memory.write_slice(data.get(..room).unwrap_or(&[]), GuestAddress(request.output.pa.raw()));
            written.map_err(|_| Errno::FAULT)?;
        }
        Ok(result)
    }
}
