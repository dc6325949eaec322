//! The life of a message as text and as JSON. What it says is never shown: only how long it is.

use super::life::{Absent, Life, Member, name};
use millpond_backplane::row::{DedupRow, DeviceCursor};
use millpond_router::digest::digest;
use serde_json::{Value, json};

pub(super) fn to_text(life: &Life) -> String {
    let (message, position) = (&life.row.message, life.row.position);
    let mut lines = vec![
        format!(
            "sequence {} of the conversation {}, which ends at {}",
            message.seq,
            name(message.conversation),
            life.head
        ),
        format!(
            "  taken    {} ({}) from user {}, device {}, client message id {}",
            utc(message.server_ms),
            message.server_ms,
            message.sender,
            message.device.0,
            message.client_msg_id
        ),
        format!(
            "  position epoch {}, offset {}, index {}",
            position.epoch, position.offset, position.index
        ),
        format!(
            "  body     {} bytes of kind {}",
            message.payload.len(),
            message.kind.0
        ),
        format!("  dedup    {}", dedup_text(life)),
    ];
    for member in &life.members {
        lines.extend(member_lines(life, member));
    }
    lines.push(
        "marks and device cursors may lag behind by about a second before the server stopped"
            .to_owned(),
    );
    lines.join("\n") + "\n"
}

fn dedup_text(life: &Life) -> String {
    match life.dedup {
        None => "no row: the same id would be taken again; run `millpond verify`".to_owned(),
        Some(row) if row == wanted(life) => {
            "a resend of this id is answered with this sequence and time".to_owned()
        }
        Some(DedupRow {
            seq,
            server_ms,
            hash,
        }) => format!(
            "names sequence {seq}, time {server_ms}, hash {hash:08x}: not this message; run `millpond verify`"
        ),
    }
}

fn wanted(life: &Life) -> DedupRow {
    let message = &life.row.message;
    DedupRow::of(message, digest(message.kind, &message.payload))
}

fn member_lines(life: &Life, member: &Member) -> Vec<String> {
    let Member {
        user, inbox_head, ..
    } = member;
    let mut lines = vec![match member.cursor {
        Some(cursor) => format!(
            "user {user}: cursor {cursor} of an inbox that ends at {inbox_head}, epoch {}",
            epoch(life, member)
        ),
        None => format!("user {user}: not in the inbox; run `millpond verify`"),
    }];
    for device in &member.devices {
        lines.push(device_line(life, member, *device));
    }
    if member.devices.is_empty() {
        lines.push("  no device has acknowledged anything".to_owned());
    }
    lines.push(match member.marks {
        None => "  no marks in this conversation".to_owned(),
        Some(marks) => format!(
            "  delivered up to {}{}, read up to {}{}",
            marks.delivered,
            reaches(marks.delivered, life),
            marks.read,
            reaches(marks.read, life)
        ),
    });
    lines
}

fn device_line(life: &Life, member: &Member, device: DeviceCursor) -> String {
    let message = &life.row.message;
    let author = (message.sender, message.device) == (member.user, device.device);
    format!(
        "  device {} has acknowledged up to cursor {}: {}{}",
        device.device.0,
        device.cursor,
        if has(member, device) {
            "has it"
        } else {
            "does not have it"
        },
        if author { ", and wrote it" } else { "" }
    )
}

fn has(member: &Member, device: DeviceCursor) -> bool {
    member.cursor.is_some_and(|cursor| cursor <= device.cursor)
}

fn reaches(mark: u64, life: &Life) -> &'static str {
    if mark >= life.row.message.seq {
        " (this one too)"
    } else {
        " (not this one)"
    }
}

fn epoch(life: &Life, member: &Member) -> u64 {
    life.epoch.saturating_add(u64::from(member.inbox_resets))
}

/// Numbers of 64 bits are decimal text, as everywhere in our JSON.
pub(super) fn to_json(answer: &Result<Life, Absent>) -> Value {
    let life = match answer {
        Ok(life) => life,
        Err(absent) => return json!({ "found": false, "why": absent.to_string() }),
    };
    let (message, position) = (&life.row.message, life.row.position);
    json!({
        "found": true,
        "conversation": name(message.conversation),
        "seq": message.seq.to_string(),
        "last_seq": life.head.to_string(),
        "server_ms": message.server_ms.to_string(),
        "server_time": utc(message.server_ms),
        "sender": message.sender.to_string(),
        "device": message.device.0.to_string(),
        "client_msg_id": message.client_msg_id.to_string(),
        "kind": message.kind.0,
        "payload_bytes": message.payload.len(),
        "position": { "epoch": position.epoch, "offset": position.offset.to_string(), "index": position.index },
        "dedup": life.dedup.map(|row| json!({
            "seq": row.seq.to_string(),
            "server_ms": row.server_ms.to_string(),
            "hash": format!("{:08x}", row.hash),
            "agrees": row == wanted(life),
        })),
        "members": life.members.iter().map(|member| member_json(life, member)).collect::<Vec<_>>(),
    })
}

fn member_json(life: &Life, member: &Member) -> Value {
    let devices = member.devices.iter().map(|device| {
        json!({
            "device": device.device.0.to_string(),
            "cursor": device.cursor.to_string(),
            "has_it": has(member, *device),
        })
    });
    json!({
        "user": member.user.to_string(),
        "cursor": member.cursor.map(|cursor| cursor.to_string()),
        "last_cursor": member.inbox_head.to_string(),
        "epoch": epoch(life, member).to_string(),
        "devices": devices.collect::<Vec<_>>(),
        "delivered": member.marks.map(|marks| marks.delivered.to_string()),
        "read": member.marks.map(|marks| marks.read.to_string()),
    })
}

/// Unix milliseconds as a date and a time of day, by the calendar's cycle of 400 years; a year begins in March here, so
/// that the odd day is the last one.
fn utc(ms: u64) -> String {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    const DAYS_BEFORE_1970: u64 = 719_468;
    let days = ms / DAY_MS + DAYS_BEFORE_1970;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let (month, day) = ((march + 2) % 12 + 1, day - (153 * march + 2) / 5 + 1);
    let year = cycle * 400 + year + u64::from(month <= 2);
    let (second, ms) = (ms % DAY_MS / 1000, ms % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn days_that_calendars_get_wrong() {
        let wanted = [
            (0, "1970-01-01 00:00:00.000 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00.000 UTC"),
            (951_868_799_999, "2000-02-29 23:59:59.999 UTC"),
            (1_709_251_199_000, "2024-02-29 23:59:59.000 UTC"),
            (1_767_225_600_000, "2026-01-01 00:00:00.000 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
        ];
        for (ms, text) in wanted {
            assert_eq!(utc(ms), text);
        }
    }
}
