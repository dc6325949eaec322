//! What is kept as state: the marks of conversations and the devices of users.

use super::judge::{Judge, is_member, members, name};
use super::partitions::Bounds;
use super::{Code, Table};
use crate::ConversationKey;
use crate::codec::{decode_marks, decode_marks_key, decode_user, decode_user_key};
use crate::row::{DEVICES_MAX, MarksRow, MemberMarks, UserRow};
use crate::store::StoreError;
use millpond_wire::UserId;

pub(super) fn check_marks(judge: &mut Judge<'_>, bounds: &Bounds) -> Result<(), StoreError> {
    for row in judge.rows.scan(Table::Marks, &[]) {
        let (key, value) = row?;
        judge.seen(Table::Marks);
        let decoded = decode_marks_key(&key)
            .and_then(|conversation| Ok((conversation, decode_marks(&value)?)));
        match decoded {
            Ok((conversation, row)) => {
                bounds.conversation(judge, conversation, row.position, "marks");
                marks(judge, conversation, &row)?;
            }
            Err(why) => judge.undecodable(Table::Marks, &key, why),
        }
    }
    Ok(())
}

fn marks(
    judge: &mut Judge<'_>,
    conversation: ConversationKey,
    row: &MarksRow,
) -> Result<(), StoreError> {
    let place = || name(conversation);
    let complete = members(conversation).is_none_or(|members| members.count() == row.members.len());
    let strange = row
        .members
        .iter()
        .find(|member| !is_member(conversation, member.user));
    if !complete || strange.is_some() {
        judge.found(Code::MarksMembers, || {
            let users: Vec<String> = row.members.iter().map(|it| it.user.to_string()).collect();
            format!("{}: {}", place(), users.join(", "))
        });
    }
    if row.version == 0 {
        judge.found(Code::MarksVersion, place);
    }
    let head = judge.last_seq(conversation)?;
    for MemberMarks {
        user,
        delivered,
        read,
    } in row.members.iter().copied()
    {
        if delivered.max(read) > head {
            judge.found(Code::MarkBeyondHead, || {
                format!(
                    "{}: user {user} at {}, the last is {head}",
                    place(),
                    delivered.max(read)
                )
            });
        }
        if read > delivered {
            judge.found(Code::ReadNotDelivered, || {
                format!("{}: user {user} has read {read}, has {delivered}", place())
            });
        }
    }
    Ok(())
}

pub(super) fn check_users(judge: &mut Judge<'_>, bounds: &Bounds) -> Result<(), StoreError> {
    for row in judge.rows.scan(Table::Users, &[]) {
        let (key, value) = row?;
        judge.seen(Table::Users);
        match decode_user_key(&key).and_then(|user| Ok((user, decode_user(&value)?))) {
            Ok((user, row)) => {
                bounds.user(judge, user, row.position, "devices");
                devices(judge, user, &row)?;
            }
            Err(why) => judge.undecodable(Table::Users, &key, why),
        }
    }
    Ok(())
}

fn devices(judge: &mut Judge<'_>, user: UserId, row: &UserRow) -> Result<(), StoreError> {
    if row.devices.len() > DEVICES_MAX {
        judge.found(Code::TooManyDevices, || {
            format!("user {user}: {}, {DEVICES_MAX} at most", row.devices.len())
        });
    }
    let head = judge.last_cursor(user)?;
    for device in row.devices.iter().filter(|device| device.cursor > head) {
        judge.found(Code::DeviceBeyondHead, || {
            let (id, cursor) = (device.device.0, device.cursor);
            format!("user {user}: device {id} at {cursor}, the last is {head}")
        });
    }
    Ok(())
}
