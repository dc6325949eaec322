//! The rows of a server that has stopped, by its own `verify` and `why`.

use crate::notes::Notes;
use millpond_checker::Conversation;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) program: &'a Path,
    pub(super) data: &'a Path,
}

impl Rows<'_> {
    /// Every rule of `verify` holds, there are as many messages as clients have read, and everybody is marked to have
    /// got and read everything.
    pub(super) fn audit(&self, heads: &BTreeMap<Conversation, u64>, notes: &mut Notes) {
        let report = self.ask("verify", &[]);
        let messages = number(&report["rows"]["history"]);
        if report["clean"] != true {
            notes.find("Verify", format!("{report:#}"));
        }
        if messages != Some(heads.values().sum()) {
            notes.find(
                "Verify",
                format!("{messages:?} rows of messages, clients found {heads:?}"),
            );
        }
        for (conversation, head) in heads.iter().filter(|(_, head)| **head > 0) {
            if let Some(what) = self.marks_wrong(*conversation, *head) {
                notes.find("MarksWrong", what);
            }
        }
    }

    fn marks_wrong(&self, conversation: Conversation, head: u64) -> Option<String> {
        let Conversation::Direct(low, high) = conversation else {
            return Some(format!("{conversation} has no marks to look at"));
        };
        let (user, peer, seq) = (low.to_string(), high.to_string(), head.to_string());
        let life = self.ask(
            "why",
            &["--user", &user, "--conversation", &peer, "--seq", &seq],
        );
        let members = life["members"].as_array().map_or(&[][..], Vec::as_slice);
        let head = Some(head);
        let right = |member: &Value| {
            number(&member["read"]) == head && (low == high || number(&member["delivered"]) == head)
        };
        let whole = members.len() == if low == high { 1 } else { 2 };
        (!whole || !members.iter().all(right)).then(|| format!("{life:#}"))
    }

    fn ask(&self, verb: &str, arguments: &[&str]) -> Value {
        let mut command = Command::new(self.program);
        let command = command.args([verb, "--json", "--data"]).arg(self.data);
        let output = command.args(arguments).output();
        let output = output.expect("the program was run before");
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| Value::from(said))
    }
}

/// 64 bits are decimal text.
fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
