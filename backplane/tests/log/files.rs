//! The vector files. What a vector says stands in them; its bytes are made from LOG.md's grammar, once: a new vector is
//! a new line without them and one run with `MILLPOND_WRITE=1`. What is there never changes.

use crate::grammar::{Grammar, hex, to_hex};
use crate::{document, functions, render};
use serde_json::{Value, json};

pub(crate) const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");

/// The vectors of a file such as `v1/valid`.
pub(crate) fn load(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{VECTORS}/{name}.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file.as_array().unwrap().clone()
}

pub(crate) fn id(vector: &Value) -> &str {
    vector["id"].as_str().unwrap()
}

pub(crate) fn record(vector: &Value) -> &str {
    vector["record"].as_str().unwrap()
}

#[test]
fn regenerating_changes_no_byte() {
    let grammar = Grammar::load();
    check_or_write("v1/valid", |vector| with_bytes(&grammar, vector));
    check_or_write("v1/invalid", with_fault);
    check_or_write("v1/partitions", functions::with_partition);
    check_or_write("v1/hashes", functions::with_hash);
    document::check_or_write(&grammar);
}

#[test]
fn ids_are_unique_and_keys_are_those_of_the_schema() {
    let text = std::fs::read_to_string(format!("{VECTORS}/v1/schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let known = schema["items"]["properties"].as_object().unwrap();
    let vectors =
        ["valid", "invalid", "partitions", "hashes"].map(|name| load(&format!("v1/{name}")));
    let mut ids = std::collections::BTreeSet::new();
    for vector in vectors.concat() {
        let keys = vector.as_object().unwrap();
        assert!(keys.keys().all(|key| known.contains_key(key)), "{keys:?}");
        assert!(ids.insert(id(&vector).to_owned()), "{} twice", id(&vector));
    }
}

fn with_bytes(grammar: &Grammar, vector: &Value) -> Value {
    let mut vector = vector.clone();
    if record(&vector) == "envelope" {
        let envelope = json!({ "entries": vector["entries"] });
        vector["hex"] = to_hex(&grammar.bytes("envelope", &envelope, &Value::Null)).into();
        return vector;
    }
    let key = vector["key"].clone();
    let bytes = grammar.bytes(record(&vector), &vector["value"], &key);
    let key_bytes = grammar.bytes(&format!("{}_key", record(&vector)), &key, &Value::Null);
    vector["hex"] = to_hex(&bytes).into();
    vector["key_hex"] = to_hex(&key_bytes).into();
    vector
}

/// What is wrong with bytes stands beside them; their code is written by hand.
fn with_fault(vector: &Value) -> Value {
    let mut vector = vector.clone();
    let bytes = hex(vector["hex"].as_str().unwrap());
    let decoded = match record(&vector) {
        key if key.ends_with("_key") => render::key(key, &bytes),
        record => render::value(record, &vector["key"], &bytes),
    };
    let fault = decoded.expect_err(id(&vector));
    assert_eq!(
        vector["error"],
        fault.code.code(),
        "{}: {fault}",
        id(&vector)
    );
    vector["what"] = fault.what.into();
    vector["offset"] = fault.offset.into();
    vector
}

/// Makes a file from its own lines; they hold the values, `make` adds what follows from them.
fn check_or_write(name: &str, make: impl Fn(&Value) -> Value) {
    let path = format!("{VECTORS}/{name}.json");
    let frozen = load(name);
    let made: Vec<Value> = frozen.iter().map(make).collect();
    for (made, frozen) in made.iter().zip(&frozen) {
        for (key, value) in frozen.as_object().unwrap() {
            assert_eq!(
                &made[key],
                value,
                "{key} of {} in {name}.json is frozen",
                id(frozen)
            );
        }
    }
    let lines: Vec<String> = made
        .iter()
        .map(|vector| format!("  {}", line(vector)))
        .collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    if document::writing() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        text,
        "{name}.json is frozen"
    );
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
        "id", "comment", "record", "error", "what", "offset", "type", "key", "value", "entries",
    ];
    first
        .iter()
        .position(|first| *first == key)
        .unwrap_or(first.len())
}
