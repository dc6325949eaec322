//! `docs/verify.md` has every code with its rule, and no other.

use millpond_backplane::audit::Code;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify.md");

#[test]
fn the_table_for_people_is_the_programs() {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| V"));
    let told: Vec<(String, String)> = rows
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let mut next = || cells.next().unwrap().to_owned();
            (next(), next())
        })
        .collect();
    let wanted: Vec<(String, String)> = Code::ALL
        .iter()
        .map(|(_, number, rule)| ((*number).to_owned(), (*rule).to_owned()))
        .collect();
    assert_eq!(told, wanted);
}
