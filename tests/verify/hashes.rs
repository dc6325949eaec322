//! The router's hash of a message is that of the format's document: its vectors lie with the backplane, which must not
//! know the router.

use millpond_router::digest::digest;
use millpond_wire::Kind;
use serde_json::Value;

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/backplane/vectors/v1/hashes.json"
);

#[test]
fn hashes_are_those_of_the_vectors() {
    let text = std::fs::read_to_string(VECTORS).unwrap();
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(vectors.len() >= 7);
    for vector in vectors {
        let kind = u8::try_from(vector["kind"].as_u64().unwrap()).unwrap();
        let digits = vector["payload"].as_str().unwrap().as_bytes();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let payload: Vec<u8> = digits.chunks(2).map(byte).collect();
        assert_eq!(
            vector["hash"],
            digest(Kind(kind), &payload),
            "{}",
            vector["id"]
        );
    }
}
