//! The vector files. What a vector says stands in them; what follows from that (the bytes of a valid frame by the
//! grammar of SPEC.md, the cuts of a stream) is made anew and must not change. A new vector is a new line without
//! those keys and one run with `MILLPOND_WRITE=1`.

use crate::grammar::{Grammar, hex, to_hex};
use crate::{document, streams};
use serde_json::{Value, json};

pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/v1");
/// The body limit of vectors that name none.
pub(crate) const LIMIT: usize = 262_144;

/// One vector as it stands in a file.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) limit: usize,
    pub(crate) json: Value,
}

/// Reads the vectors of a file such as `valid`.
pub(crate) fn load(name: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file.as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(Vector::parse)
        .collect()
}

impl Vector {
    fn parse(json: Value) -> Self {
        Self {
            id: json["id"].as_str().unwrap().to_owned(),
            bytes: hex(json["hex"].as_str().unwrap()),
            limit: json["limit"]
                .as_u64()
                .map_or(LIMIT, |limit| usize::try_from(limit).unwrap()),
            json,
        }
    }
}

#[test]
fn regenerating_changes_no_byte() {
    let grammar = Grammar::load();
    check_or_write("valid", |vector| with_bytes(&grammar, vector));
    check_or_write("invalid", Clone::clone);
    check_or_write("ignored", Clone::clone);
    let valid = load("valid");
    check_or_write("streams", |stream| streams::fill(stream, &valid));
    document::check_or_write(&grammar);
}

#[test]
fn ids_are_unique_and_keys_are_those_of_the_schema() {
    let text = std::fs::read_to_string(format!("{FOLDER}/schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let required = schema["items"]["required"].as_array().unwrap();
    let known = schema["items"]["properties"].as_object().unwrap();
    let vectors = ["valid", "invalid", "ignored", "streams"]
        .map(load)
        .concat();
    let mut ids = std::collections::BTreeSet::new();
    for vector in vectors {
        let keys = vector.json.as_object().unwrap();
        assert!(keys.keys().all(|key| known.contains_key(key)), "{keys:?}");
        assert!(
            required
                .iter()
                .all(|key| keys.contains_key(key.as_str().unwrap())),
            "{keys:?}"
        );
        assert!(ids.insert(vector.id.clone()), "{} twice", vector.id);
    }
}

/// A valid vector with what follows from its frame: its bytes and who sends it.
fn with_bytes(grammar: &Grammar, vector: &Value) -> Value {
    let mut vector = vector.clone();
    vector["hex"] = to_hex(&grammar.bytes(&vector["frame"])).into();
    vector["direction"] = direction(grammar, &vector["frame"]).into();
    vector["result"] = "valid".into();
    vector
}

fn direction(grammar: &Grammar, frame: &Value) -> &'static str {
    let shape = grammar.shape(frame["type"].as_str().unwrap());
    match shape.frame.as_ref().unwrap().1.as_str() {
        "C" => "client",
        "S" => "server",
        _ if frame["users"] == true || frame.get("server_ms").is_some() => "server",
        _ if frame["users"] == false || frame.get("cursor").is_some() => "client",
        _ => "both",
    }
}

/// Makes a file from its own lines; they hold the values, `make` adds what follows from them.
fn check_or_write(name: &str, make: impl Fn(&Value) -> Value) {
    let path = format!("{FOLDER}/{name}.json");
    let frozen = std::fs::read_to_string(&path).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&frozen).unwrap();
    let lines = vectors
        .iter()
        .map(|vector| format!("  {}", line(&make(vector))));
    let text = format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"));
    if document::writing() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    for (made, frozen) in text.lines().zip(frozen.lines()) {
        assert_eq!(made, frozen, "{name}.json is frozen");
    }
    assert_eq!(text.len(), frozen.len(), "{name}.json is frozen");
}

/// The JSON of one value with its keys in a fixed order, whatever map the JSON library was built with.
fn line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys = map.keys().collect::<Vec<_>>();
            keys.sort_by_key(|key| (place(key), key.as_str()));
            let pairs = keys
                .into_iter()
                .map(|key| format!("{}: {}", json!(key), line(&map[key])));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(line).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn place(key: &str) -> usize {
    let first = [
        "id",
        "comment",
        "direction",
        "result",
        "error",
        "limit",
        "type",
        "frame",
    ];
    first
        .iter()
        .position(|first| *first == key)
        .unwrap_or(first.len())
}
