//! Rust source without what is not code: comments and the contents of literals become spaces, lines stay lines.

/// The code alone; every kept byte stays at its offset.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut kept = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at).unwrap_or(at);
        blank(&mut kept[at..end]);
        at = end.max(at + 1);
    }
    String::from_utf8(kept).expect("literals and comments begin and end at ASCII")
}

fn blank(bytes: &mut [u8]) {
    bytes
        .iter_mut()
        .filter(|byte| **byte != b'\n')
        .for_each(|byte| *byte = b' ');
}

/// Behind the comment or literal that begins here, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment(rest)),
        [b'"', ..] => Some(at + quoted(rest)),
        [b'r', ..] if at == 0 || !is_word(bytes[at - 1]) || bytes[at - 1] == b'b' => {
            raw(rest).map(|length| at + length)
        }
        [b'\'', b'\\', _, tail @ ..] => {
            Some(at + 3 + tail.iter().position(|b| *b == b'\'').unwrap_or(0) + 1)
        }
        [b'\'', ..] => character(rest).map(|length| at + length),
        _ => None,
    }
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on.
fn raw(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    let open = 1 + hashes;
    (rest.get(open) == Some(&b'"')).then_some(())?;
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &rest[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close);
    Some(open + 1 + length.map_or(body.len(), |length| length + close.len()))
}

/// A character literal, told from a lifetime by its closing quote.
fn character(rest: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let text = match text {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&rest[1..=error.valid_up_to()]).ok()?,
    };
    let first = text.chars().next()?;
    (rest.get(1 + first.len_utf8()) == Some(&b'\'')).then(|| 2 + first.len_utf8())
}

/// Counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// Words of the code with their offsets.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = code.as_bytes();
    let starts =
        (0..bytes.len()).filter(|at| is_word(bytes[*at]) && (*at == 0 || !is_word(bytes[at - 1])));
    starts.map(|start| {
        let length = bytes[start..]
            .iter()
            .take_while(|byte| is_word(**byte))
            .count();
        (start, &code[start..start + length])
    })
}

#[test]
fn literals_and_comments_are_blanked() {
    let text = "let a = \"x\\\"y\"; // dbg\nlet b: &'static str = r#\"q\"q\"#; /* a /* b */ c */ let c = 'z';\nlet d = '\\''; let e = 'é'; f";
    let kept: Vec<&str> = words(&code(text))
        .map(|(_, word)| word)
        .map(|word| if word == "f" { "f" } else { "" })
        .collect();
    assert_eq!(kept.last(), Some(&"f"));
    let code = code(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<&str> = words(&code).map(|(_, word)| word).collect();
    assert_eq!(
        words,
        "let a let b static str let c let d let e f"
            .split(' ')
            .collect::<Vec<_>>()
    );
    assert_eq!(line_of(&code, code.rfind('f').expect("there")), 3);
}
