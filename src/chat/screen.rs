//! Where lines go: a terminal whose lines change after they are printed, or a pipe where each change is a line.
//!
//! The terminal stays in its usual mode, so that the line being typed is the terminal's own. What arrives is inserted
//! above it; ticks are rewritten where they stand, as long as they have not scrolled away. Makes text, does no I/O.

use super::text::{columns, rows};
use super::transcript::{Changed, Tick};
use std::collections::VecDeque;
use std::fmt::Write as _;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

#[derive(Debug)]
pub(crate) enum Screen {
    Terminal(Terminal),
    Pipe,
}

impl Screen {
    /// A line of somebody else, or news about the connection.
    pub(crate) fn line(&mut self, text: &str) -> String {
        match self {
            Self::Terminal(terminal) => terminal.insert(text, None),
            Self::Pipe => format!("{text}\n"),
        }
    }

    /// A line of mine that was not typed here and now.
    pub(crate) fn own(&mut self, text: &str, changed: Changed) -> String {
        match self {
            Self::Terminal(terminal) => terminal.insert(text, Some((changed.number, changed.tick))),
            Self::Pipe => format!("{text} {}\n", changed.tick.sign()),
        }
    }

    /// The line that was just typed, to be shown with its tick. In a pipe it shows when it is sent.
    pub(crate) fn typed(&mut self, typed: &str, text: &str, number: u64) -> String {
        match self {
            Self::Terminal(terminal) => terminal.replace_typed(typed, text, number),
            Self::Pipe => String::new(),
        }
    }

    pub(crate) fn ticked(&mut self, changed: Changed) -> String {
        match self {
            Self::Terminal(terminal) => terminal.tick(changed),
            Self::Pipe => match changed.seq {
                Some(seq) => format!("{} {seq}\n", changed.tick.sign()),
                None => format!("{}\n", changed.tick.sign()),
            },
        }
    }
}

/// What stands above the line being typed, newest last.
#[derive(Debug)]
pub(crate) struct Terminal {
    size: Size,
    placed: VecDeque<Placed>,
}

#[derive(Debug)]
struct Placed {
    text: String,
    own: Option<(u64, Tick)>,
    rows: usize,
}

impl Placed {
    fn new(text: &str, own: Option<(u64, Tick)>, width: usize) -> Self {
        // Room for the longest sign, so that a line never grows by a row when it is ticked.
        let reserved = own.map_or(0, |_| 1 + columns(Tick::Failed.sign()));
        Self {
            text: text.to_owned(),
            own,
            rows: rows(&format!("{text}{}", " ".repeat(reserved)), width),
        }
    }

    fn drawn(&self) -> String {
        match self.own {
            None => self.text.clone(),
            Some((_, tick)) => format!("{} {}{}{PLAIN}", self.text, colour(tick), tick.sign()),
        }
    }
}

const PLAIN: &str = "\x1b[0m";
/// To the start of the row, and everything in it away.
const CLEAR_ROW: &str = "\r\x1b[K";
const SAVE: &str = "\x1b7";
const RESTORE: &str = "\x1b8";
/// One row down in the same column; at the bottom the screen scrolls.
const DOWN_SCROLLING: &str = "\x1bD";

fn colour(tick: Tick) -> &'static str {
    match tick {
        Tick::Waiting | Tick::Sent | Tick::Delivered => "\x1b[2m",
        Tick::Read => "\x1b[36m",
        Tick::Failed => "\x1b[31m",
    }
}

impl Terminal {
    pub(crate) fn new(size: Size) -> Self {
        Self {
            size,
            placed: VecDeque::new(),
        }
    }

    /// Rows that were broken at another width are not touched again.
    pub(crate) fn resize(&mut self, size: Size) {
        if size.columns != self.size.columns {
            self.placed.clear();
        }
        self.size = size;
    }

    /// Opens rows above the cursor's and writes there; what is being typed moves down whole.
    fn insert(&mut self, text: &str, own: Option<(u64, Tick)>) -> String {
        let placed = Placed::new(text, own, self.size.columns);
        let count = placed.rows;
        let mut out = DOWN_SCROLLING.repeat(count);
        write!(
            out,
            "\x1b[{count}A{SAVE}\r\x1b[{count}L{}{RESTORE}\x1b[{count}B",
            placed.drawn()
        )
        .expect("a String takes every write");
        self.place(placed);
        out
    }

    /// The terminal has echoed the typed line and stands on the next row: writes over what it echoed.
    fn replace_typed(&mut self, typed: &str, text: &str, number: u64) -> String {
        let echoed = rows(typed, self.size.columns);
        let placed = Placed::new(text, Some((number, Tick::Waiting)), self.size.columns);
        let mut out = format!("\x1b[{echoed}A\r\x1b[J{}", placed.drawn());
        // What was reserved for the sign may take a row more than what is drawn now.
        let drawn = rows(
            &format!("{} {}", placed.text, Tick::Waiting.sign()),
            self.size.columns,
        );
        out.push_str(&"\r\n".repeat(1 + placed.rows - drawn));
        self.place(placed);
        out
    }

    fn tick(&mut self, changed: Changed) -> String {
        let below = self.rows_below(changed.number);
        let Some((placed, up)) = below.filter(|(_, up)| *up < self.size.rows) else {
            return String::new();
        };
        self.placed[placed].own = Some((changed.number, changed.tick));
        let drawn = self.placed[placed].drawn();
        format!("{SAVE}\x1b[{up}A{CLEAR_ROW}{drawn}{RESTORE}")
    }

    /// Which placed line has this number, and how many rows it begins above the cursor's.
    fn rows_below(&self, number: u64) -> Option<(usize, usize)> {
        let mut up = 0;
        for (at, placed) in self.placed.iter().enumerate().rev() {
            up += placed.rows;
            if placed.own.is_some_and(|(own, _)| own == number) {
                return Some((at, up));
            }
        }
        None
    }

    fn place(&mut self, placed: Placed) {
        self.placed.push_back(placed);
        // No line is lower than one row.
        while self.placed.len() > self.size.rows {
            self.placed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
