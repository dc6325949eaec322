//! Lines of standard input, read by a thread of its own because a terminal cannot be waited for otherwise.

use millpond_wire::PAYLOAD_BYTES_MAX;
use std::io::{BufRead, Read as _, stdin};
use tokio::sync::mpsc::{Receiver, channel};

#[derive(PartialEq, Eq, Debug)]
pub(super) enum Typed {
    Line(Vec<u8>),
    /// It was skipped to its end.
    TooLong,
    /// Standard input broke; nothing follows.
    Broken(String),
}

/// Lines read ahead.
const LINES_AHEAD: usize = 16;

/// Ends at the end of the input.
pub(super) fn lines() -> Receiver<Typed> {
    let (lines, received) = channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = stdin().lock();
        while let Some(typed) = next(&mut input) {
            if lines.blocking_send(typed).is_err() {
                return;
            }
        }
    });
    received
}

fn next(input: &mut impl BufRead) -> Option<Typed> {
    let mut line = Vec::new();
    let limit = u64::try_from(PAYLOAD_BYTES_MAX + 1).expect("it fits");
    match input.by_ref().take(limit).read_until(b'\n', &mut line) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) => return Some(Typed::Broken(error.to_string())),
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() > PAYLOAD_BYTES_MAX {
        return Some(
            input
                .skip_until(b'\n')
                .map_or_else(|error| Typed::Broken(error.to_string()), |_| Typed::TooLong),
        );
    }
    Some(Typed::Line(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Typed> {
        std::iter::from_fn(|| next(&mut input)).collect()
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end() {
        let line = |text: &str| Typed::Line(text.into());
        assert_eq!(all(b""), []);
        assert_eq!(
            all(b"a\n\nb\r\nc"),
            [line("a"), line(""), line("b"), line("c")]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_whole() {
        let longest = vec![b'x'; PAYLOAD_BYTES_MAX];
        let too_long = vec![b'y'; 3 * PAYLOAD_BYTES_MAX];
        let input = [&longest[..], b"\n", &too_long, b"\nafter\n"].concat();
        let wanted = [
            Typed::Line(longest),
            Typed::TooLong,
            Typed::Line(b"after".to_vec()),
        ];
        assert!(all(&input) == wanted);
    }
}
