//! The screen judged by a terminal of a few lines: what a person would see.

use super::*;

/// Enough of a terminal for what [`Screen`] writes, and for a person who types.
struct Glass {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    saved: (usize, usize),
}

const SIZE: Size = Size {
    rows: 6,
    columns: 20,
};

impl Glass {
    fn new() -> Self {
        Self {
            rows: vec![vec![' '; SIZE.columns]; SIZE.rows],
            row: 0,
            column: 0,
            saved: (0, 0),
        }
    }

    fn write(&mut self, text: &str) {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' => self.column = 0,
                '\n' => self.down(),
                '\x1b' => match letters.next() {
                    Some('7') => self.saved = (self.row, self.column),
                    Some('8') => (self.row, self.column) = self.saved,
                    Some('D') => self.down(),
                    Some('[') => self.command(&mut letters),
                    other => panic!("unknown escape {other:?}"),
                },
                letter => self.put(letter),
            }
        }
    }

    fn command(&mut self, letters: &mut std::str::Chars<'_>) {
        let mut count = String::new();
        let command = loop {
            match letters.next().expect("a whole sequence") {
                digit if digit.is_ascii_digit() => count.push(digit),
                command => break command,
            }
        };
        let count = count.parse().unwrap_or(1);
        match command {
            'A' => self.row = self.row.saturating_sub(count),
            'B' => self.row = (self.row + count).min(SIZE.rows - 1),
            'K' => self.rows[self.row][self.column..].fill(' '),
            'J' => {
                self.rows[self.row][self.column..].fill(' ');
                self.rows[self.row + 1..]
                    .iter_mut()
                    .for_each(|row| row.fill(' '));
            }
            'L' => (0..count).for_each(|_| {
                self.rows.insert(self.row, vec![' '; SIZE.columns]);
                self.rows.pop();
            }),
            'm' => {}
            other => panic!("unknown command {other:?}"),
        }
    }

    fn put(&mut self, letter: char) {
        if self.column == SIZE.columns {
            self.column = 0;
            self.down();
        }
        self.rows[self.row][self.column] = letter;
        self.column += 1;
    }

    fn down(&mut self) {
        self.row += 1;
        if self.row == SIZE.rows {
            self.row -= 1;
            self.rows.remove(0);
            self.rows.push(vec![' '; SIZE.columns]);
        }
    }

    /// Rows with something in them.
    fn seen(&self) -> Vec<String> {
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().collect::<String>().trim_end().to_owned());
        rows.filter(|row| !row.is_empty()).collect()
    }
}

struct Person {
    glass: Glass,
    screen: Screen,
}

impl Person {
    fn new() -> Self {
        Self {
            glass: Glass::new(),
            screen: Screen::Terminal(Terminal::new(SIZE)),
        }
    }

    fn types(&mut self, text: &str) {
        self.glass.write(text);
    }

    fn enters(&mut self, text: &str, number: u64) {
        self.glass.write(&format!("{text}\r\n"));
        let out = self.screen.typed(text, &format!("1: {text}"), number);
        self.glass.write(&out);
    }

    fn hears(&mut self, text: &str) {
        let out = self.screen.line(text);
        self.glass.write(&out);
    }

    fn ticks(&mut self, number: u64, tick: Tick) {
        let out = self.screen.ticked(changed(number, tick));
        self.glass.write(&out);
    }
}

fn changed(number: u64, tick: Tick) -> Changed {
    Changed {
        number,
        seq: Some(9),
        tick,
    }
}

#[test]
fn ticks_change_where_the_line_stands() {
    let mut person = Person::new();
    person.enters("hello", 0);
    person.hears("2: hi");
    assert_eq!(person.glass.seen(), ["1: hello …", "2: hi"]);
    person.ticks(0, Tick::Sent);
    person.ticks(0, Tick::Delivered);
    assert_eq!(person.glass.seen(), ["1: hello ✓✓", "2: hi"]);
    person.ticks(0, Tick::Read);
    assert_eq!(person.glass.seen(), ["1: hello ✓✓ read", "2: hi"]);
}

#[test]
fn what_is_being_typed_stays_whole() {
    let mut person = Person::new();
    person.enters("one", 0);
    person.types("hal");
    person.hears("2: a line that wraps twice");
    person.ticks(0, Tick::Sent);
    person.types("f");
    assert_eq!(
        person.glass.seen(),
        ["1: one ✓", "2: a line that wraps", " twice", "half"]
    );
}

#[test]
fn a_full_screen_scrolls_and_lines_above_it_are_left_alone() {
    let mut person = Person::new();
    person.enters("first", 0);
    for number in 1..8 {
        person.enters(&format!("line {number}"), number);
    }
    person.types("typing");
    let before = person.glass.seen();
    person.ticks(0, Tick::Sent);
    assert_eq!(person.glass.seen(), before, "it has scrolled away");
    person.ticks(5, Tick::Sent);
    person.hears("2: hi");
    assert_eq!(
        person.glass.seen(),
        [
            "1: line 4 …",
            "1: line 5 ✓",
            "1: line 6 …",
            "1: line 7 …",
            "2: hi",
            "typing"
        ]
    );
}

#[test]
fn a_long_line_keeps_room_for_its_tick() {
    let mut person = Person::new();
    person.enters("twelve signs", 0);
    person.hears("2: hi");
    person.ticks(0, Tick::Delivered);
    person.ticks(0, Tick::Read);
    person.types("x");
    assert_eq!(
        person.glass.seen(),
        ["1: twelve signs ✓✓ r", "ead", "2: hi", "x"]
    );
}

#[test]
fn a_pipe_gets_lines() {
    let mut pipe = Screen::Pipe;
    assert_eq!(pipe.line("2: hi"), "2: hi\n");
    assert_eq!(pipe.typed("a", "1: a", 0), "");
    assert_eq!(pipe.ticked(changed(0, Tick::Sent)), "✓ 9\n");
    assert_eq!(
        pipe.own("1: old", changed(0, Tick::Read)),
        "1: old ✓✓ read\n"
    );
}
