//! Requests that others carry out: aio's and io_uring's structs.

use super::arguments::{Captured, list};
use super::flags::{self, rings};
use super::structs::{View, iovec};
use super::text::{address, hex, quoted};
use core::mem::offset_of;
use linker::calls::{IOCB_CMD_PREADV, IOCB_CMD_PWRITEV, Request};
use linker::trace::Capture;
use linux_raw_sys::{general, io_uring};

/// io_submit(2)'s requests.
pub(super) fn requests(captured: &Captured) -> Option<String> {
    let (cut, bytes) = captured.at_entry()?;
    let (pointers, _) = bytes.as_chunks();
    let one = |(index, pointer): (usize, &[u8; 8])| match captured.part(Capture::ELEMENT, index) {
        Some((_, bytes)) => {
            let request = Request::read(bytes);
            let buffer = match request.opcode {
                IOCB_CMD_PREADV | IOCB_CMD_PWRITEV => captured.nested_vector(index),
                _ => captured.part(Capture::DATA, index << 8).map(|(cut, bytes)| quoted(bytes, cut)),
            };
            of_request(&request, buffer.unwrap_or_else(|| address(request.buffer)))
        }
        None => address(u64::from_ne_bytes(*pointer)),
    };
    Some(list(pointers.iter().enumerate().map(one).collect(), cut))
}

/// io_cancel(2)'s.
pub(super) fn request(at: View) -> String {
    let request = Request::read(at.0);
    of_request(&request, address(request.buffer))
}

fn of_request(request: &Request, buffer: String) -> String {
    let priority = match request.priority {
        0 => String::new(),
        priority => format!(", aio_reqprio={priority}"),
    };
    let told = match request.flags {
        0 => String::new(),
        flags => format!(
            ", aio_flags={}, aio_resfd={}",
            flags::named(rings::REQUEST_FLAGS, u64::from(flags)),
            request.eventfd
        ),
    };
    format!(
        "{{aio_data={}, aio_lio_opcode={}{priority}, aio_fildes={}, aio_buf={buffer}, aio_nbytes={}, aio_offset={}{told}}}",
        hex(request.data),
        flags::named(rings::REQUEST, u64::from(request.opcode)),
        request.fd,
        request.len,
        request.offset,
    )
}

/// io_getevents(2): four words.
pub(super) fn event(at: View) -> String {
    format!("{{data={}, obj={}, res={}, res2={}}}", hex(at.u64(0)), address(at.u64(8)), at.i64(16), at.i64(24))
}

/// io_uring_setup(2)'s: what it takes, then what it returns.
pub(super) fn parameters(captured: &Captured) -> Option<String> {
    type Params = io_uring::io_uring_params;
    let at = View(captured.at_entry()?.1);
    let bits = at.u32(offset_of!(Params, flags));
    let mut text = format!(
        "{{flags={}, sq_thread_cpu={}, sq_thread_idle={}",
        flags::named(rings::SETUP, u64::from(bits)),
        at.u32(offset_of!(Params, sq_thread_cpu)),
        at.u32(offset_of!(Params, sq_thread_idle)),
    );
    if bits & io_uring::IORING_SETUP_ATTACH_WQ != 0 {
        text += &format!(", wq_fd={}", at.i32(offset_of!(Params, wq_fd)));
    }
    if let Some((_, bytes)) = captured.at_exit() {
        let at = View(bytes);
        text += &format!(
            ", sq_entries={}, cq_entries={}, features={}, sq_off={}, cq_off={}",
            at.u32(offset_of!(Params, sq_entries)),
            at.u32(offset_of!(Params, cq_entries)),
            flags::named(rings::FEATURES, u64::from(at.u32(offset_of!(Params, features)))),
            submissions(at.after(offset_of!(Params, sq_off))),
            completions(at.after(offset_of!(Params, cq_off))),
        );
    }
    Some(text + "}")
}

fn submissions(at: View) -> String {
    type Offsets = io_uring::io_sqring_offsets;
    format!(
        "{{head={}, tail={}, ring_mask={}, ring_entries={}, flags={}, dropped={}, array={}}}",
        at.u32(offset_of!(Offsets, head)),
        at.u32(offset_of!(Offsets, tail)),
        at.u32(offset_of!(Offsets, ring_mask)),
        at.u32(offset_of!(Offsets, ring_entries)),
        at.u32(offset_of!(Offsets, flags)),
        at.u32(offset_of!(Offsets, dropped)),
        at.u32(offset_of!(Offsets, array)),
    )
}

fn completions(at: View) -> String {
    type Offsets = io_uring::io_cqring_offsets;
    format!(
        "{{head={}, tail={}, ring_mask={}, ring_entries={}, overflow={}, cqes={}, flags={}}}",
        at.u32(offset_of!(Offsets, head)),
        at.u32(offset_of!(Offsets, tail)),
        at.u32(offset_of!(Offsets, ring_mask)),
        at.u32(offset_of!(Offsets, ring_entries)),
        at.u32(offset_of!(Offsets, overflow)),
        at.u32(offset_of!(Offsets, cqes)),
        at.u32(offset_of!(Offsets, flags)),
    )
}

/// IORING_REGISTER_FILES_UPDATE's.
pub(super) fn files_update(captured: &Captured) -> Option<String> {
    let at = View(captured.at_entry()?.1);
    let fds = captured.part(Capture::DATA, 0).map(|(cut, bytes)| {
        let (fds, _) = bytes.as_chunks();
        list(fds.iter().map(|fd| i32::from_ne_bytes(*fd).to_string()).collect(), cut)
    });
    let fds = fds.unwrap_or_else(|| address(at.u64(offset_of!(io_uring::io_uring_files_update, fds))));
    Some(format!("{{offset={}, fds={fds}}}", at.u32(0)))
}

/// What io_uring_register(2) registers of files and buffers.
pub(super) fn register(at: View) -> String {
    type Register = io_uring::io_uring_rsrc_register;
    format!(
        "{{nr={}, flags={}, data={}, tags={}}}",
        at.u32(0),
        hex(u64::from(at.u32(offset_of!(Register, flags)))),
        address(at.u64(offset_of!(Register, data))),
        address(at.u64(offset_of!(Register, tags))),
    )
}

/// What it changes of them.
pub(super) fn update(at: View) -> String {
    let data = at.u64(offset_of!(io_uring::io_uring_rsrc_update, data));
    format!("{{offset={}, data={}}}", at.u32(0), address(data))
}

/// The same with tags.
pub(super) fn update_tagged(at: View) -> String {
    type Update = io_uring::io_uring_rsrc_update2;
    format!(
        "{{offset={}, data={}, tags={}, nr={}}}",
        at.u32(0),
        address(at.u64(offset_of!(Update, data))),
        address(at.u64(offset_of!(Update, tags))),
        at.u32(offset_of!(Update, nr)),
    )
}

/// A ring of buffers.
pub(super) fn buffers(at: View) -> String {
    type Buffers = io_uring::io_uring_buf_reg;
    format!(
        "{{ring_addr={}, ring_entries={}, bgid={}, flags={}}}",
        address(at.u64(0)),
        at.u32(offset_of!(Buffers, ring_entries)),
        at.u16(offset_of!(Buffers, bgid)),
        hex(u64::from(at.u16(offset_of!(Buffers, flags)))),
    )
}

/// What is to be cancelled.
pub(super) fn cancel(at: View) -> String {
    type Cancel = io_uring::io_uring_sync_cancel_reg;
    let timeout = at.after(offset_of!(Cancel, timeout));
    format!(
        "{{addr={}, fd={}, flags={}, timeout={}}}",
        hex(at.u64(0)),
        at.i32(offset_of!(Cancel, fd)),
        hex(u64::from(at.u32(offset_of!(Cancel, flags)))),
        super::structs::timespec(timeout),
    )
}

/// A range of descriptors.
pub(super) fn range(at: View) -> String {
    format!("{{off={}, len={}}}", at.u32(0), at.u32(offset_of!(io_uring::io_uring_file_index_range, len)))
}

/// futex_waitv(2)'s.
pub(super) fn waitv(at: View) -> String {
    type Waitv = general::futex_waitv;
    format!(
        "{{val={}, uaddr={}, flags={}}}",
        hex(at.u64(0)),
        address(at.u64(offset_of!(Waitv, uaddr))),
        flags::show(linker::calls::Set::Futex2, u64::from(at.u32(offset_of!(Waitv, flags)))),
    )
}

/// An element of an iovec whose buffer is not looked at.
pub(super) fn vector_element(at: View) -> String {
    let (base, len) = iovec(at.0);
    format!("{{iov_base={}, iov_len={len}}}", address(base))
}
