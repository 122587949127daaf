//! Strings and buffers as C literals. What a container wrote reaches the terminal as printable ASCII only.

/// As a literal; `cut` says that there was more.
pub(super) fn quoted(bytes: &[u8], cut: bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 5);
    text.push('"');
    for (index, byte) in bytes.iter().enumerate() {
        push(&mut text, *byte, bytes.get(index + 1));
    }
    text.push_str(if cut { "\"..." } else { "\"" });
    text
}

/// As a literal, up to the first NUL.
pub(super) fn quoted_string(bytes: &[u8], cut: bool) -> String {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => quoted(&bytes[..end], false),
        None => quoted(bytes, cut),
    }
}

fn push(text: &mut String, byte: u8, next: Option<&u8>) {
    match byte {
        b'"' | b'\\' => {
            text.push('\\');
            text.push(char::from(byte));
        }
        b'\n' => text.push_str("\\n"),
        b'\t' => text.push_str("\\t"),
        b'\r' => text.push_str("\\r"),
        0x0b => text.push_str("\\v"),
        0x0c => text.push_str("\\f"),
        b' '..=b'~' => text.push(char::from(byte)),
        // Three digits where the next character would read as another.
        _ if next.is_some_and(u8::is_ascii_digit) => text.push_str(&format!("\\{byte:03o}")),
        _ => text.push_str(&format!("\\{byte:o}")),
    }
}

/// A pointer.
pub(super) fn address(value: u64) -> String {
    if value == 0 { "NULL".to_owned() } else { format!("{value:#x}") }
}

/// A number in hexadecimal; 0 has no prefix.
pub(super) fn hex(value: u64) -> String {
    if value == 0 { "0".to_owned() } else { format!("{value:#x}") }
}

/// A number in octal, as permissions are written.
pub(super) fn octal(value: u64) -> String {
    format!("0{value:02o}")
}
