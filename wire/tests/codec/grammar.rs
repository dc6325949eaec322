//! A second encoder, driven by the grammar blocks of SPEC.md: it knows nothing of the crate's code, so vectors made with
//! it test both the codec and the document.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/SPEC.md");

pub(crate) struct Grammar {
    shapes: BTreeMap<String, Shape>,
}

pub(crate) struct Shape {
    pub(crate) name: String,
    /// Of a frame: its type byte and who sends it.
    pub(crate) frame: Option<(u8, String)>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: String,
    condition: Option<String>,
}

/// Some bytes of a frame and what they are.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: String,
}

/// The names that `if` may ask for.
type Facts = BTreeSet<String>;

impl Grammar {
    pub(crate) fn load() -> Self {
        Self::parse(&std::fs::read_to_string(SPEC).unwrap())
    }

    fn parse(text: &str) -> Self {
        let blocks = text.split("```grammar\n").skip(1);
        let shapes = blocks.map(|block| Shape::parse(block.split("```").next().unwrap()));
        Self {
            shapes: shapes.map(|shape| (shape.name.clone(), shape)).collect(),
        }
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &Shape> {
        self.shapes.values().filter(|shape| shape.frame.is_some())
    }

    pub(crate) fn shape(&self, name: &str) -> &Shape {
        self.shapes
            .get(name)
            .unwrap_or_else(|| panic!("SPEC.md has no grammar of {name}"))
    }

    pub(crate) fn bytes(&self, frame: &Value) -> Vec<u8> {
        self.pieces(frame)
            .into_iter()
            .flat_map(|piece| piece.bytes)
            .collect()
    }

    /// A whole frame, piece by piece.
    pub(crate) fn pieces(&self, frame: &Value) -> Vec<Piece> {
        let shape = self.shape(text(frame, "type"));
        let mut body = Vec::new();
        self.fields(shape, frame, &mut Facts::new(), &mut body);
        let length = body.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        let mut head = vec![shape.frame.as_ref().unwrap().0];
        head.extend(uvarint(length as u64));
        let label = format!("{}, {length} bytes of body", shape.name);
        std::iter::once(Piece { bytes: head, label })
            .chain(body)
            .collect()
    }

    fn fields(&self, shape: &Shape, value: &Value, facts: &mut Facts, out: &mut Vec<Piece>) {
        let known = shape.keys();
        for key in value.as_object().unwrap().keys() {
            assert!(known.contains(key), "{} has no {key}", shape.name);
        }
        for field in &shape.fields {
            if field
                .condition
                .as_ref()
                .is_some_and(|condition| !facts.contains(condition))
            {
                assert!(
                    value.get(&field.name).is_none(),
                    "{} without its flag",
                    field.name
                );
                continue;
            }
            self.field(field, value, facts, out);
        }
    }

    fn field(&self, field: &Field, value: &Value, facts: &mut Facts, out: &mut Vec<Piece>) {
        let item = &value[&field.name];
        let kind = field.kind.as_str();
        let mut piece = |bytes: Vec<u8>, shown: &str| {
            let label = format!("{} {shown}", field.name).trim_end().to_owned();
            out.push(Piece { bytes, label });
        };
        match kind.split([' ', '<']).next().unwrap() {
            _ if kind.contains("optional") && item.is_null() => {}
            "none" => piece(vec![0], ""),
            "flags" => {
                let (byte, names) = flags(kind, value, facts);
                piece(vec![byte], &names);
            }
            "u8" if kind.contains('{') => {
                let name = text(value, &field.name);
                piece(vec![named_values(kind)[name]], name);
            }
            "conv" => piece(
                conversation(item, facts).to_be_bytes().to_vec(),
                &item.to_string(),
            ),
            "bytes" => {
                let bytes = hex(item.as_str().unwrap());
                piece(
                    uvarint(bytes.len() as u64),
                    &format!("of {} bytes", bytes.len()),
                );
                piece(bytes, "");
            }
            "str" => {
                let text = item.as_str().unwrap();
                piece(
                    uvarint(text.len() as u64),
                    &format!("of {} bytes", text.len()),
                );
                piece(text.as_bytes().to_vec(), &format!("{text:?}"));
            }
            "tail" => piece(hex(item.as_str().unwrap()), ""),
            "list" => {
                let items = item.as_array().unwrap();
                piece(
                    uvarint(items.len() as u64),
                    &format!("count {}", items.len()),
                );
                let shape = self.shape(kind.strip_prefix("list of ").unwrap());
                items
                    .iter()
                    .for_each(|item| self.fields(shape, item, &mut facts.clone(), out));
            }
            "sized" => {
                let name = kind
                    .strip_prefix("sized ")
                    .unwrap()
                    .trim_end_matches(['+', '*']);
                let items = item.as_array().unwrap();
                assert!(
                    kind.ends_with('*') || !items.is_empty(),
                    "no {}",
                    field.name
                );
                items
                    .iter()
                    .for_each(|item| self.sized(self.shape(name), item, out));
            }
            scalar => piece(
                number_bytes(scalar, item),
                item.to_string().trim_matches('"'),
            ),
        }
    }

    fn sized(&self, shape: &Shape, item: &Value, out: &mut Vec<Piece>) {
        let mut inside = Vec::new();
        self.fields(shape, item, &mut Facts::new(), &mut inside);
        let length = inside.iter().map(|piece| piece.bytes.len()).sum::<usize>();
        let label = format!("{} of {length} bytes", shape.name);
        out.push(Piece {
            bytes: uvarint(length as u64),
            label,
        });
        out.append(&mut inside);
    }
}

impl Shape {
    fn parse(block: &str) -> Self {
        let mut lines = block
            .lines()
            .map(|line| line.split("--").next().unwrap().trim_end());
        let head = lines.next().unwrap().split(' ').collect::<Vec<_>>();
        let (name, frame) = match head[..] {
            ["item", name] => (name, None),
            [byte, name, direction] => {
                let byte = u8::from_str_radix(byte.strip_prefix("0x").unwrap(), 16).unwrap();
                (name, Some((byte, direction.to_owned())))
            }
            _ => panic!("SPEC.md: {head:?} heads no grammar"),
        };
        let fields = lines
            .filter(|line| !line.is_empty())
            .map(Field::parse)
            .collect();
        Self {
            name: name.to_owned(),
            frame,
            fields,
        }
    }

    /// Every key that the JSON of this shape may have.
    fn keys(&self) -> BTreeSet<String> {
        let flags = self.fields.iter().filter(|field| field.name == "flags");
        let bits = flags
            .flat_map(|field| bits(&field.kind))
            .map(|bit| bit.name);
        let fields = self.fields.iter().map(|field| field.name.clone());
        bits.chain(fields).chain(["type".to_owned()]).collect()
    }

    /// Flag bits that the grammar names.
    pub(crate) fn flag_bits(&self) -> Option<u8> {
        let field = self.fields.iter().find(|field| field.name == "flags")?;
        Some(
            bits(&field.kind)
                .map(|bit| ((1 << bit.width) - 1) << bit.at)
                .sum(),
        )
    }
}

impl Field {
    fn parse(line: &str) -> Self {
        let (name, rest) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("SPEC.md: {line}"));
        let (kind, condition) = match rest.split_once(" if ") {
            Some((kind, condition)) => (kind, Some(condition.trim().to_owned())),
            None => (rest, None),
        };
        let kind = if name == "flags" && kind != "none" {
            format!("flags {kind}")
        } else {
            kind.into()
        };
        Self {
            name: name.to_owned(),
            kind: kind.trim().to_owned(),
            condition,
        }
    }
}

struct Bit {
    name: String,
    at: u8,
    width: u8,
    values: Option<BTreeMap<String, u8>>,
}

/// The flags of a line like `a bit 0, b bits 1-2 {x=0 y=1}`.
fn bits(kind: &str) -> impl Iterator<Item = Bit> {
    let list = kind.strip_prefix("flags ").unwrap_or("");
    list.split(", ").filter(|bit| !bit.is_empty()).map(|bit| {
        let words = bit.split(' ').collect::<Vec<_>>();
        let (first, last) = words[2].split_once('-').unwrap_or((words[2], words[2]));
        let (first, last) = (first.parse::<u8>().unwrap(), last.parse::<u8>().unwrap());
        let values = bit.contains('{').then(|| named_values(bit));
        Bit {
            name: words[0].to_owned(),
            at: first,
            width: last - first + 1,
            values,
        }
    })
}

fn flags(kind: &str, value: &Value, facts: &mut Facts) -> (u8, String) {
    let mut byte = 0;
    let mut names = Vec::new();
    for bit in bits(kind) {
        let (set, shown) = match &bit.values {
            Some(values) => (
                values[text(value, &bit.name)],
                text(value, &bit.name).to_owned(),
            ),
            None => (
                u8::from(value[&bit.name].as_bool().unwrap()),
                bit.name.clone(),
            ),
        };
        byte |= set << bit.at;
        if set != 0 {
            names.push(shown);
            facts.insert(bit.name);
        }
    }
    (byte, names.join(" "))
}

/// The names and numbers of `{a=0 b=1}`.
fn named_values(kind: &str) -> BTreeMap<String, u8> {
    let inside = kind.split(['{', '}']).nth(1).unwrap();
    let pairs = inside.split(' ').map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, number)| (name.to_owned(), number.parse().unwrap()))
        .collect()
}

fn conversation(item: &Value, facts: &mut Facts) -> u64 {
    if let Some(group) = item.get("group") {
        facts.insert("group".to_owned());
        return number(group) | 1 << 63;
    }
    user(&item["direct"])
}

fn user(item: &Value) -> u64 {
    let id = number(item);
    assert!(id != 0 && id < 1 << 63);
    id
}

/// A field that is one number.
fn number_bytes(kind: &str, item: &Value) -> Vec<u8> {
    match kind {
        "u8" => small(item, 1),
        "u16" => small(item, 2),
        "u32" => small(item, 4),
        "u64" => number(item).to_be_bytes().to_vec(),
        "user" => user(item).to_be_bytes().to_vec(),
        "ms" => number(item).to_be_bytes()[2..].to_vec(),
        "uvarint" => uvarint(number(item)),
        other => panic!("SPEC.md: no such type: {other}"),
    }
}

fn small(item: &Value, width: usize) -> Vec<u8> {
    item.as_u64().unwrap().to_be_bytes()[8 - width..].to_vec()
}

fn number(item: &Value) -> u64 {
    item.as_str()
        .unwrap_or_else(|| panic!("{item} is no decimal string"))
        .parse()
        .unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {value}"))
}

pub(crate) fn uvarint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = u8::try_from(value % 128).unwrap();
        value /= 128;
        if value == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(group + 128);
    }
}

/// Bytes of hex digits; spaces are skipped.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits = text
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .collect::<String>();
    assert!(digits.len() % 2 == 0, "half a byte in {text}");
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
