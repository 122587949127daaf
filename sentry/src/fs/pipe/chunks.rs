//! Bytes in flight, as a queue of chunks: what pipes and stream sockets hold between writer and reader.
//!
//! A chunk shares its bytes, so that a reader can take a reference under the owner's lock and copy to user memory outside it,
//! and `tee` copies nothing. Small writes are appended to the last chunk; one emptied chunk is kept, so that a byte going to
//! and fro allocates nothing.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Room in a chunk made for small writes, bytes.
const ROOM: usize = 4096;

/// A run of bytes with the owner's remark on it.
pub struct Chunk<T> {
    data: Arc<Vec<u8>>,
    start: usize,
    end: usize,
    /// What the owner keeps with the bytes (packet boundary, control data).
    pub mark: T,
}

impl<T> Chunk<T> {
    /// All of `data`.
    pub fn new(data: Vec<u8>, mark: T) -> Self {
        let end = data.len();
        Self { data: Arc::new(data), start: 0, end, mark }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// How many bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops the first `count` bytes (at most all).
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.start += count.min(self.len());
    }

    /// Keeps the first `count` bytes (at most all).
    pub fn truncate(&mut self, count: usize) {
        self.end = self.start + count.min(self.len());
    }

    /// The first `count` bytes (at most all) as a chunk of its own, sharing the bytes.
    pub fn head(&self, count: usize, mark: T) -> Self {
        let end = self.start + count.min(self.len());
        Self { data: self.data.clone(), start: self.start, end, mark }
    }
}

/// A queue of chunks.
pub struct Chunks<T> {
    queue: VecDeque<Chunk<T>>,
    bytes: usize,
    spare: Option<Arc<Vec<u8>>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Chunks<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, spare: None }
    }

    /// Bytes queued.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no chunk is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Chunks queued.
    pub fn count(&self) -> usize {
        self.queue.len()
    }

    /// The first chunk.
    #[inline]
    pub fn front(&self) -> Option<&Chunk<T>> {
        self.queue.front()
    }

    /// The first chunk, to change its mark.
    pub fn front_mut(&mut self) -> Option<&mut Chunk<T>> {
        self.queue.front_mut()
    }

    /// All chunks, first to last.
    pub fn iter(&self) -> impl Iterator<Item = &Chunk<T>> {
        self.queue.iter()
    }

    /// Appends a chunk. Empty ones count too (a datagram of no bytes).
    pub fn push(&mut self, chunk: Chunk<T>) {
        self.bytes += chunk.len();
        self.queue.push_back(chunk);
    }

    /// Puts back what was taken and not used.
    pub fn push_front(&mut self, chunk: Chunk<T>) {
        self.bytes += chunk.len();
        self.queue.push_front(chunk);
    }

    /// Appends a few bytes, to the last chunk where `merge` agrees and there is room. Copies: for small writes.
    #[inline]
    pub fn append(&mut self, bytes: &[u8], merge: impl FnOnce(&T) -> bool, mark: impl FnOnce() -> T) {
        self.bytes += bytes.len();
        if let Some(last) = self.queue.back_mut()
            && merge(&last.mark)
            && last.end == last.data.len()
            && let Some(data) = Arc::get_mut(&mut last.data)
            && data.capacity() - data.len() >= bytes.len()
        {
            data.extend_from_slice(bytes);
            last.end += bytes.len();
            return;
        }
        let mut data = self.spare.take().unwrap_or_else(|| Arc::new(Vec::with_capacity(ROOM)));
        if let Some(data) = Arc::get_mut(&mut data) {
            data.extend_from_slice(bytes);
        }
        self.queue.push_back(Chunk { data, start: 0, end: bytes.len(), mark: mark() });
    }

    /// Takes the whole first chunk.
    pub fn pop(&mut self) -> Option<Chunk<T>> {
        let chunk = self.queue.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Drops the first `count` bytes of the first chunk, which stays queued (even empty).
    pub fn advance_front(&mut self, count: usize) {
        if let Some(front) = self.queue.front_mut() {
            let count = count.min(front.len());
            front.advance(count);
            self.bytes -= count;
        }
    }

    /// Keeps the emptied chunk's memory for the next small write.
    #[inline]
    pub fn recycle(&mut self, mut chunk: Chunk<T>) -> T {
        if self.spare.is_none()
            && let Some(data) = Arc::get_mut(&mut chunk.data)
            && data.capacity() == ROOM
        {
            data.clear();
            self.spare = Some(chunk.data);
        }
        chunk.mark
    }

    /// Empties the queue; the caller drops the chunks, outside its lock.
    pub fn take_all(&mut self) -> VecDeque<Chunk<T>> {
        self.bytes = 0;
        self.spare = None;
        core::mem::take(&mut self.queue)
    }
}

impl<T: Default> Chunks<T> {
    /// Takes up to `max` bytes from the first chunk, as a chunk; the mark goes with them.
    pub fn pop_up_to(&mut self, max: usize) -> Option<Chunk<T>> {
        let front = self.queue.front_mut()?;
        if front.len() <= max {
            return self.pop();
        }
        let mark = core::mem::take(&mut front.mark);
        let head = front.head(max, mark);
        front.advance(max);
        self.bytes -= max;
        Some(head)
    }
}

impl<T> Chunks<T> {
    /// Copies up to `to.len()` bytes out, from as many chunks as are `plain`. For small reads.
    #[inline]
    pub fn take_small(&mut self, to: &mut [u8], plain: impl Fn(&T) -> bool) -> usize {
        let mut done = 0;
        while done < to.len() {
            let Some(front) = self.queue.front_mut().filter(|front| plain(&front.mark)) else { break };
            let step = front.len().min(to.len() - done);
            to[done..done + step].copy_from_slice(&front.bytes()[..step]);
            done += step;
            self.bytes -= step;
            front.advance(step);
            if !front.is_empty() {
                break;
            }
            if let Some(emptied) = self.queue.pop_front() {
                self.recycle(emptied);
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Chunks};
    use alloc::vec;

    #[test]
    fn small_writes_share_one_chunk_and_its_memory_is_used_again() {
        let mut chunks = Chunks::<bool>::new();
        chunks.append(b"ab", |_| true, || false);
        chunks.append(b"c", |_| true, || false);
        assert_eq!(chunks.count(), 1);
        let mut to = [0; 8];
        assert_eq!(chunks.take_small(&mut to, |_| true), 3);
        assert_eq!(&to[..3], b"abc");
        assert!(chunks.is_empty() && chunks.spare.is_some() && chunks.bytes() == 0);
    }

    #[test]
    fn a_chunk_taken_in_parts_keeps_its_order() {
        let mut chunks = Chunks::<bool>::new();
        chunks.push(Chunk::new(vec![1, 2, 3, 4, 5], false));
        let head = chunks.pop_up_to(2).map(|chunk| chunk.bytes().to_vec());
        assert_eq!(head, Some(vec![1, 2]));
        let mut rest = chunks.pop().expect("three bytes are left");
        rest.advance(1);
        chunks.push_front(rest);
        assert_eq!(chunks.bytes(), 2);
        assert_eq!(chunks.front().map(Chunk::bytes), Some(&[4, 5][..]));
    }

    #[test]
    fn a_chunk_that_a_reader_still_holds_is_not_appended_to() {
        let mut chunks = Chunks::<bool>::new();
        chunks.append(b"xyz", |_| true, || false);
        let held = chunks.front().map(|front| front.head(3, false));
        chunks.append(b"w", |_| true, || false);
        assert_eq!(chunks.count(), 2);
        assert_eq!(held.as_ref().map(Chunk::bytes), Some(&b"xyz"[..]));
    }
}
