//! A file over 600 lines or a function over 70 is asking to be two things.

use crate::scan::{code, line_of, words};
use crate::tree::{File, Finding, Tree};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, and up to where.
const LONG_FILES: &[(&str, usize)] = &[];
/// Functions that may be longer: file, name, lines. All are one table or one match of many short arms.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[
    (
        "ring/src/uring/refusal.rs",
        "each_reason_is_told_apart_and_says_what_to_type",
        94,
    ),
    ("ring/tests/agree/main.rs", "the_written_script_agrees", 96),
    ("tests/e2e/hostile.rs", "frames", 136),
    ("wire/tests/codec/grammar.rs", "field", 71),
];

fn long_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        let allowed = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        let max = allowed.map_or(FILE_LINES_MAX, |(_, max)| *max);
        if lines > max {
            findings.push(finding(
                file,
                0,
                format!("{lines} lines; split it, {max} are allowed"),
            ));
        }
    }
    findings
}

fn long_functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for function in functions(file) {
            let allowed = LONG_FUNCTIONS
                .iter()
                .find(|(path, name, _)| *path == file.path && *name == function.name);
            let max = allowed.map_or(FUNCTION_LINES_MAX, |(_, _, max)| *max);
            if function.lines > max {
                let what = format!(
                    "fn {} has {} lines; {max} are allowed",
                    function.name, function.lines
                );
                findings.push(finding(file, function.line, what));
            }
        }
    }
    findings
}

fn finding(file: &File, line: usize, what: String) -> Finding {
    Finding {
        path: file.path.clone(),
        line,
        what,
    }
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn functions(file: &File) -> Vec<Function> {
    let code = code(&file.text);
    let mut words = words(&code).peekable();
    let mut functions = Vec::new();
    while let Some((start, word)) = words.next() {
        let Some((_, name)) = words.peek().filter(|_| word == "fn") else {
            continue;
        };
        if let Some(end) = body_end(&code[start..]) {
            let (first, last) = (line_of(&code, start), line_of(&code, start + end));
            functions.push(Function {
                name: (*name).to_owned(),
                line: first,
                lines: last - first + 1,
            });
        }
    }
    functions
}

/// Offset of the brace that closes the body; `None` for a declaration without one, or a function pointer.
fn body_end(code: &str) -> Option<usize> {
    let mut round = 0_usize;
    let mut braces = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round = round.checked_sub(1)?,
            b';' | b',' | b'=' if round == 0 && braces == 0 && !code[at..].starts_with("=>") => {
                let inside_generics = byte == b',' && open_angles(&code[..at]);
                let bound = byte == b'=' && open_angles(&code[..at]);
                let where_clause = byte == b',' && code[..at].contains("where");
                if !inside_generics && !bound && !where_clause {
                    return None;
                }
            }
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn open_angles(code: &str) -> bool {
    let count = |pattern: &str| code.matches(pattern).count();
    count("<") > count(">") - count("->")
}

#[test]
fn files_and_functions_are_short() {
    let tree = Tree::real();
    crate::assert_none(&long_files(&tree));
    crate::assert_none(&long_functions(&tree));
    let found: usize = tree.rust().map(|file| functions(file).len()).sum();
    assert!(found > 300, "only {found} functions were seen");
}

#[test]
fn exceptions_are_still_needed() {
    let tree = Tree::real();
    for (path, max) in LONG_FILES {
        let lines = tree.file(path).map_or(0, |file| file.text.lines().count());
        assert!(
            lines > FILE_LINES_MAX && lines + 20 > *max,
            "{path}: {lines} lines, lower or remove its exception"
        );
    }
    for (path, name, max) in LONG_FUNCTIONS {
        let functions = tree.file(path).map(functions).unwrap_or_default();
        let longest = functions
            .iter()
            .filter(|function| function.name == *name)
            .map(|function| function.lines)
            .max();
        let lines = longest.unwrap_or(0);
        assert!(
            lines > FUNCTION_LINES_MAX && lines + 5 > *max,
            "{path}: fn {name} has {lines} lines now"
        );
    }
}

#[test]
fn long_ones_are_found() {
    let long = "//! A file.\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(crate::findings_in(long_files, "a.rs", &long).len(), 1);
    let body = "    let _ = \"}\"; // }\n".repeat(FUNCTION_LINES_MAX - 1);
    let signature =
        "pub fn long<A, B>(a: A, b: [u8; 3]) -> Option<B>\nwhere\n    A: Iterator<Item = u8>,\n{\n";
    let text = format!("fn short() {{}}\n{signature}{body}}}\nfn declared(f: fn(u8) -> u8);\n");
    let findings = crate::findings_in(long_functions, "a.rs", &text);
    assert_eq!(findings, ["a.rs:2: fn long has 74 lines; 70 are allowed"]);
    let fits = "    let _ = 1;\n".repeat(FUNCTION_LINES_MAX - 2);
    let text = format!("fn fits() {{\n{fits}}}\n");
    assert!(crate::findings_in(long_functions, "a.rs", &text).is_empty());
}
