//! Text that goes into a page. What a container says may be anything: all of it passes through [`escape`].

use std::fmt::Write;

/// Text for an element or a quoted attribute. Control characters, which HTML has no place for, are shown as escapes.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => {
                let _ = write!(safe, "{}", c.escape_default());
            }
            // Marks that turn the direction of what follows.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(safe, "{}", c.escape_unicode());
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with three digits.
pub fn time(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A size.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        0x400..0x10_0000 if bytes.is_multiple_of(1024) => format!("{} KiB", bytes >> 10),
        0x400..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1048576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1073741824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, escape, time};

    #[test]
    fn nothing_that_is_shown_can_be_markup() {
        assert_eq!(
            escape("<script>alert('1')</script>&\""),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"
        );
        assert_eq!(escape("a\0\x1b\n\u{202e}b"), "a\\u{0}\\u{1b}\\n\\u{202e}b");
    }

    #[test]
    fn figures_read_well() {
        assert_eq!((count(0).as_str(), count(999).as_str(), count(1_234_567).as_str()), ("0", "999", "1,234,567"));
        assert_eq!((time(7).as_str(), time(1_500).as_str(), time(12_345_678).as_str()), ("7 ns", "1.50 µs", "12.3 ms"));
        assert_eq!((bytes(100).as_str(), bytes(4096).as_str(), bytes(5000).as_str()), ("100 B", "4 KiB", "4.9 KiB"));
    }
}
