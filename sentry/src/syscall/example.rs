//! The system call of `docs/adding-a-syscall.md`, so that the page stays true.

use super::table::{Level, Row, arg, finish, row};
use crate::errno::Errno;
use crate::task::Current;

/// square(number): the number times itself; ERANGE where that does not fit.
pub fn square(_: &mut Current, number: u64) -> Result<u64, Errno> {
    number.checked_mul(number).ok_or(Errno::ERANGE)
}

pub(super) const ROWS: &[Row] = &[row!((400) square = square(1), Full, "")];

#[test]
fn square_of_5_at_number_400_is_25() {
    let mut current = crate::fake::current();
    current.regs.rax = 400;
    current.regs.rdi = 5;
    assert!(matches!(super::dispatch::watched(&mut current).result(&mut current), Ok(25)));
    current.regs.rdi = 1 << 33;
    let answer = super::dispatch::watched(&mut current);
    assert!(matches!(answer.result(&mut current), Err(super::Fail::Errno(Errno::ERANGE))));
}
