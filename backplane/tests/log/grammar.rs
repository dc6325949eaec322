//! A second encoder, driven by the grammar blocks of LOG.md: it knows nothing of the crate's code, so vectors made with
//! it test both the codec and the document.

use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/LOG.md");

pub(crate) struct Grammar {
    shapes: BTreeMap<String, Shape>,
}

struct Shape {
    /// Of an entry.
    tag: Option<u8>,
    /// Name and type.
    fields: Vec<(String, String)>,
}

/// Some bytes of a record and what they are.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: String,
}

impl Grammar {
    pub(crate) fn load() -> Self {
        let text = std::fs::read_to_string(DOCUMENT).unwrap();
        let blocks = text.split("```grammar\n").skip(1);
        let shapes = blocks.map(|block| Shape::parse(block.split("```").next().unwrap()));
        Self {
            shapes: shapes.collect(),
        }
    }

    /// Names of the entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &str> {
        let entries = self.shapes.iter().filter(|(_, shape)| shape.tag.is_some());
        entries.map(|(name, _)| name.as_str())
    }

    pub(crate) fn bytes(&self, shape: &str, value: &Value, key: &Value) -> Vec<u8> {
        let pieces = self.pieces(shape, value, key);
        pieces.into_iter().flat_map(|piece| piece.bytes).collect()
    }

    /// A record, piece by piece. `key` is that of a row whose value this is.
    pub(crate) fn pieces(&self, shape: &str, value: &Value, key: &Value) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.shape(shape, value, key, "", &mut pieces);
        pieces
    }

    fn shape(&self, name: &str, value: &Value, key: &Value, within: &str, out: &mut Vec<Piece>) {
        let shape = self.shapes.get(name);
        let shape = shape.unwrap_or_else(|| panic!("LOG.md has no grammar of {name}"));
        for given in value.as_object().unwrap().keys() {
            let known = given == "type" || shape.fields.iter().any(|(name, _)| name == given);
            assert!(known, "{name} has no {given}");
        }
        for (field, kind) in &shape.fields {
            let label = format!("{within}{field}");
            let context = (value, key);
            self.field(&label, kind, &value[field.as_str()], context, out);
        }
    }

    fn field(
        &self,
        label: &str,
        kind: &str,
        item: &Value,
        (record, key): (&Value, &Value),
        out: &mut Vec<Piece>,
    ) {
        let conversation = || record.get("conversation").unwrap_or(&key["conversation"]);
        let bytes = match kind {
            "u8" => vec![u8::try_from(item.as_u64().unwrap()).unwrap()],
            "u32" => u32::try_from(item.as_u64().unwrap())
                .unwrap()
                .to_be_bytes()
                .to_vec(),
            "u64" | "user" => number(item).to_be_bytes().to_vec(),
            "uvarint" => uvarint(number(item)),
            "uvarint16" | "uvarint32" => uvarint(item.as_u64().unwrap()),
            "ordered" => ordered(number(item)),
            "conv" => conv(item),
            "member" => member(item, conversation()),
            "seen" => seen(item, &key["user"]),
            "maybe u64" if item.is_null() => vec![0],
            "maybe u64" => [&[1][..], &number(item).to_be_bytes()].concat(),
            "tail" => hex(item.as_str().unwrap()),
            "sized entry*" => return self.entries_of(item, out),
            _ => {
                if let Some(byte) = kind.strip_prefix("const ") {
                    vec![byte.parse().unwrap()]
                } else if let Some(shape) = kind.strip_prefix("list of ") {
                    return self.list(label, shape, item, key, out);
                } else {
                    return self.shape(kind, item, key, &format!("{label}."), out);
                }
            }
        };
        let label = if item.is_null() {
            label.to_owned()
        } else {
            format!("{label} {}", shown(kind, item))
        };
        out.push(Piece { bytes, label });
    }

    fn list(&self, label: &str, shape: &str, items: &Value, key: &Value, out: &mut Vec<Piece>) {
        let items = items.as_array().unwrap();
        out.push(Piece {
            bytes: uvarint(items.len() as u64),
            label: format!("{label}, {}", items.len()),
        });
        for item in items {
            self.shape(shape, item, key, &format!("{label}."), out);
        }
    }

    fn entries_of(&self, items: &Value, out: &mut Vec<Piece>) {
        for entry in items.as_array().unwrap() {
            let name = entry["type"].as_str().unwrap();
            let tag = self.shapes[name].tag.expect("an entry has a tag");
            let pieces = self.pieces(name, entry, &Value::Null);
            let length = 1 + pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>();
            let mut bytes = uvarint(length as u64);
            bytes.push(tag);
            let label = format!("{length} bytes, {name}");
            out.push(Piece { bytes, label });
            out.extend(pieces);
        }
    }
}

impl Shape {
    fn parse(block: &str) -> (String, Self) {
        let mut lines = block.lines();
        let head: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let (name, tag) = match head.as_slice() {
            [name] => (*name, None),
            ["entry", tag, name] => (*name, Some(tag.parse().unwrap())),
            _ => panic!("LOG.md: {head:?} heads no grammar"),
        };
        let fields = lines.map(|line| {
            let line = line.split("--").next().unwrap();
            let (name, kind) = line.split_once(": ").unwrap();
            (name.to_owned(), kind.trim().to_owned())
        });
        let fields = fields.collect();
        (name.to_owned(), Self { tag, fields })
    }
}

fn shown(kind: &str, item: &Value) -> String {
    match (kind, item) {
        ("tail", Value::String(text)) => format!("of {} bytes", text.len() / 2),
        (_, Value::String(text)) => text.clone(),
        _ => item.to_string(),
    }
}

fn number(item: &Value) -> u64 {
    let text = item
        .as_str()
        .unwrap_or_else(|| panic!("{item} is not text"));
    text.parse().unwrap()
}

fn uvarint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(group | 0x80);
    }
}

fn ordered(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    let count = u8::try_from(8 - first).unwrap();
    [&[count], &bytes[first..]].concat()
}

fn conv(item: &Value) -> Vec<u8> {
    let words = match item.get("direct") {
        Some(users) => [number(&users[0]), number(&users[1])],
        None => [0, number(&item["group"])],
    };
    words.map(u64::to_be_bytes).concat()
}

fn member(item: &Value, conversation: &Value) -> Vec<u8> {
    let users = conversation.get("direct").and_then(Value::as_array);
    let place = users.and_then(|users| users.iter().position(|user| user == item));
    match place {
        Some(place) => vec![u8::try_from(place).unwrap()],
        None => [&[2][..], &number(item).to_be_bytes()].concat(),
    }
}

fn seen(item: &Value, user: &Value) -> Vec<u8> {
    let Some(users) = item.get("direct") else {
        return [&[1][..], &number(&item["group"]).to_be_bytes()].concat();
    };
    if users[0] == *user {
        [&[0][..], &number(&users[1]).to_be_bytes()].concat()
    } else if users[1] == *user {
        [&[0][..], &number(&users[0]).to_be_bytes()].concat()
    } else {
        [&[2][..], &conv(item)].concat()
    }
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let (pairs, odd) = digits.as_chunks::<2>();
    assert!(odd.is_empty(), "half a byte in {text}");
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
