//! `/proc/PID/pagemap`: a word a page, at its number's place (Linux, Documentation/admin-guide/mm/pagemap.rst).

use super::{Subject, access, memory};
use crate::errno::Errno;
use crate::fs::{FileOps, OpenFile, OpenFlags, Sink};
use crate::mm::{AddressSpace, PageState};
use crate::platform::platform;
use crate::syscall::Fail;
use crate::task::{Cap, Current};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linker::layout::{PAGE_SIZE, USER_END};

/// The frame's number; what comes above says something else.
const FRAME: u64 = (1 << 55) - 1;
/// Mapped here alone.
const EXCLUSIVE: u64 = 1 << 56;
/// Of a file, or shared.
const FILE: u64 = 1 << 61;
const PRESENT: u64 = 1 << 63;
/// Bytes of a word.
const WORD: u64 = 8;
/// Words made at once.
const STEP: usize = 4096;

/// Opens it.
pub fn open(current: &Current, subject: &Subject, _: OpenFlags) -> Result<Arc<dyn FileOps>, Fail> {
    access::may_read(current, subject)?;
    Ok(Arc::new(PageMap(memory::mm_of(subject).ok_or(Errno::ESRCH)?)))
}

struct PageMap(Arc<AddressSpace>);

/// `frames`: the reader may know where in memory pages are.
fn word(state: &PageState, frames: bool) -> u64 {
    let Some(frame) = state.frame else { return 0 };
    let mut word = PRESENT;
    word |= if state.of_file { FILE } else { 0 };
    word |= if state.alone { EXCLUSIVE } else { 0 };
    word | if frames { frame & FRAME } else { 0 }
}

impl FileOps for PageMap {
    fn read(&self, current: &Current, _: &OpenFile, sink: &mut Sink<'_>, offset: u64) -> Result<usize, Fail> {
        if !offset.is_multiple_of(WORD) || !(sink.left() as u64).is_multiple_of(WORD) {
            return Err(Errno::EINVAL.into());
        }
        let frames = current.creds.has(Cap::SysAdmin);
        let (mut page, mut done) = (offset / WORD, 0);
        while sink.left() > 0 && page < USER_END / PAGE_SIZE {
            let count = (sink.left() / WORD as usize).min(STEP).min((USER_END / PAGE_SIZE - page) as usize);
            let states = self.0.page_states(page * PAGE_SIZE, count);
            let bytes: Vec<u8> = states.iter().flat_map(|state| word(state, frames).to_ne_bytes()).collect();
            done += sink.put(&bytes)?;
            page += count as u64;
            // All of a program's addresses are a long way.
            platform().preempt();
            if current.interrupted() {
                break;
            }
        }
        Ok(done)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek(&self, _: &OpenFile, _: i64, _: u32) -> Result<u64, Errno> {
        Err(Errno::EINVAL)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
