//! Dedup rows: each decodes, and has its message.
//!
//! Every message has found its own row before, and no two share one. So when there are as many rows as that, none is
//! left over, and no message has to be looked up.

use super::history::{Facts, key_of, message_at};
use super::judge::{Judge, name};
use super::{Code, Table};
use crate::codec::{decode_dedup, decode_dedup_key};
use crate::store::StoreError;

pub(super) fn check(judge: &mut Judge<'_>, facts: &Facts) -> Result<(), StoreError> {
    let mut undecodable_keys = 0;
    for row in judge.rows.scan(Table::Dedup, &[]) {
        let (key, value) = row?;
        judge.seen(Table::Dedup);
        if let Err(why) = decode_dedup_key(&key) {
            undecodable_keys += 1;
            judge.undecodable(Table::Dedup, &key, why);
        } else if let Err(why) = decode_dedup(&value) {
            judge.undecodable(Table::Dedup, &key, why);
        }
    }
    if judge.rows_of(Table::Dedup) - undecodable_keys == facts.matched {
        return Ok(());
    }
    find_alone(judge, facts)
}

fn find_alone(judge: &mut Judge<'_>, facts: &Facts) -> Result<(), StoreError> {
    for row in judge.rows.scan(Table::Dedup, &[]) {
        let (key, value) = row?;
        let (Ok(named), Ok(row)) = (decode_dedup_key(&key), decode_dedup(&value)) else {
            continue;
        };
        let alone = !facts.differing.contains(&key)
            && match message_at(judge, named.conversation, row.seq)? {
                None => true,
                Some(message) => message.is_ok_and(|message| key_of(&message) != key),
            };
        if alone {
            judge.found(Code::DedupAlone, || {
                format!(
                    "{}: user {}, device {}, id {} names sequence {}",
                    name(named.conversation),
                    named.user,
                    named.device.0,
                    named.client_msg_id,
                    row.seq
                )
            });
        }
    }
    Ok(())
}
