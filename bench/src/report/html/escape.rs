//! Text from outside as text of the page, and data as data of its scripts: nothing in a name is ever markup.

use serde::Serialize;
use std::fmt::{self, Write};

/// Fits between tags and inside quoted attributes, in HTML and in XML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                '\n' | '\t' => out.write_char(letter)?,
                _ if forbidden(letter) => out.write_char(char::REPLACEMENT_CHARACTER)?,
                _ => out.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// Has no place in a document, or turns the direction of what stands beside it.
fn forbidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FFFE}' | '\u{FFFF}')
}

/// JSON inside a `script` element: no sign in it can end the element.
pub(super) fn json(data: &impl Serialize) -> String {
    let text = serde_json::to_string(data).expect("plots are plain data");
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        // All of them have four digits.
        match matches!(letter, '<' | '>' | '&') || forbidden(letter) {
            true => safe.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_text_is_markup() {
        let text = Escaped("<b a='1' c=\"&\">\u{0}\u{7f}\u{202e}ü\n").to_string();
        let expected = "&lt;b a=&#39;1&#39; c=&quot;&amp;&quot;&gt;\u{fffd}\u{fffd}\u{fffd}ü\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn data_cannot_end_its_script() {
        let hostile = "</script><!-- & ]]>";
        let text = json(&hostile);
        assert!(!text.contains(['<', '>', '&']), "{text}");
        let back: String = serde_json::from_str(&text).unwrap();
        assert_eq!(back, hostile);
    }
}
