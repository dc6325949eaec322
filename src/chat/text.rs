//! Other people's text made fit for a terminal: nothing in it can move the cursor, change colours or hide what it says.

use millpond_client::{Kind, Message};
use unicode_width::UnicodeWidthChar as _;

/// What is shown of a message: one line, however long.
pub(crate) fn shown(message: &Message) -> String {
    if message.kind == Kind::TEXT {
        return clean(&String::from_utf8_lossy(&message.payload));
    }
    format!(
        "[{} bytes of kind {}]",
        message.payload.len(),
        message.kind.0
    )
}

/// Without control characters and without those that change the direction of what follows.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\n' => cleaned.push_str(" ↵ "),
            '\t' => cleaned.push_str("    "),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => {}
            letter if letter.is_control() => {}
            letter => cleaned.push(letter),
        }
    }
    cleaned
}

/// Columns that a cleaned text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(|letter| letter.width().unwrap_or(0)).sum()
}

/// Rows that a text takes on a screen of this width; at least one.
pub(crate) fn rows(text: &str, width: usize) -> usize {
    columns(text).div_ceil(width.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through_that_a_terminal_obeys() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "[31mred[0m"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("\u{9b}2J", "2J"),
            ("a\r\nb\tc\n", "a ↵ b    c"),
            ("ab\u{202E}cd\u{2066}", "abcd"),
            ("back\u{8}\u{7f}space", "backspace"),
            ("größer 漢 👍", "größer 漢 👍"),
        ] {
            assert_eq!(clean(text), wanted, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_control_character_is_left(text in "\\PC{0,20}[\u{0}-\u{1f}\u{7f}-\u{9f}]{0,20}.{0,20}") {
            proptest::prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }

    #[test]
    fn rows_count_wide_letters_twice() {
        assert_eq!(columns("漢字"), 4);
        assert_eq!(rows("", 80), 1);
        assert_eq!(rows("12345", 5), 1);
        assert_eq!(rows("123456", 5), 2);
        assert_eq!(rows("漢字漢", 5), 2);
    }
}
