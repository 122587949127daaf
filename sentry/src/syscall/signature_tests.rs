//! `linker::calls`, which tells tracers what calls take, agrees with this table.

use super::table::rows;
use linker::calls::signature;

/// Rows whose handlers leave out arguments that nobody looks at any more, and those of no Linux call.
const DIFFERENT: &[&str] = &["getcpu", "square"];

#[test]
fn a_row_has_as_many_arguments_as_its_signature() {
    for row in rows().filter(|row| !DIFFERENT.contains(&row.name)) {
        let signature = signature(row.number);
        // A call that is only ever refused may have no arguments, or no signature.
        if row.arguments == 0 && row.level == super::table::Level::Unsupported {
            continue;
        }
        let arguments = signature.map(|signature| signature.args.len());
        assert_eq!(arguments, Some(usize::from(row.arguments)), "{}", row.name);
    }
}
