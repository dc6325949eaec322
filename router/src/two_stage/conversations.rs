//! The first stage: commands in, history and marks out, one inbox entry per member and message.

use super::{Lane, Machines, Output};
use crate::conversation::{Outcome, ack, admit, members};
use crate::world::{Lagging, World};
use millpond_backplane::position::Stamp;
use millpond_backplane::row::HistoryRow;
use millpond_backplane::store::{StoreError, Write};
use millpond_backplane::{Command, CommandBody, Entry, InboxBody, InboxEntry, Message, Source};
use millpond_wire::UserId;

pub(super) fn take(
    machines: &mut Machines<'_>,
    lane: &mut Lane,
    stamp: Stamp,
    command: &Command,
    output: &mut Output,
) -> Result<(), StoreError> {
    if let Some(outcome) = step(machines, stamp, command)? {
        apply(machines.world, lane, stamp, command, outcome, output);
    }
    Ok(())
}

/// `None` when the rows have seen this command: all it led to is durable.
fn step(
    machines: &mut Machines<'_>,
    stamp: Stamp,
    command: &Command,
) -> Result<Option<Outcome>, StoreError> {
    if let Err(code) = admit(command) {
        return Ok(Some(Outcome::Refused(code)));
    }
    if machines.world.reflects_command(stamp.position, command) {
        machines.counters.repeated.add(1);
        return Ok(None);
    }
    let Machines {
        world, rows, store, ..
    } = machines;
    world.command(*store, stamp, command, rows).map(Some)
}

fn apply(
    world: &mut World,
    lane: &mut Lane,
    stamp: Stamp,
    command: &Command,
    outcome: Outcome,
    output: &mut Output,
) {
    match (outcome, &command.body) {
        (Outcome::Sequenced { message, hash }, CommandBody::Send { from, .. }) => {
            output.effects.ack(*from, ack(&message));
            emit(stamp, &message, output);
            let row = HistoryRow {
                position: stamp.position,
                message,
            };
            output.rows.writes.push(Write::Message { row, hash });
        }
        (Outcome::Duplicate(ack), CommandBody::Send { from, .. }) => {
            output.effects.ack(*from, ack);
        }
        (
            Outcome::Refused(code),
            CommandBody::Send {
                from,
                client_msg_id,
                ..
            },
        ) => {
            output.effects.refuse(*from, *client_msg_id, code);
        }
        (Outcome::Marked(hint), _) => {
            lane.lag(world, Lagging::Marks(hint.conversation));
            // Coalesces only neighbours of one batch: without a clock there is no second to hold marks back for, and
            // whoever catches up with a log has large batches.
            output.effects.hint(hint);
        }
        // A mark of somebody who may not set one.
        (Outcome::Refused(_) | Outcome::Unchanged, _) => {}
        (Outcome::Sequenced { .. } | Outcome::Duplicate(_), _) => {
            unreachable!("only a SEND becomes a message")
        }
    }
}

/// Emissions of one record are numbered in the order of the members.
fn emit(stamp: Stamp, message: &Message, output: &mut Output) {
    for (user, emission) in members(message.conversation).zip(0..) {
        output.emit(entry(stamp, user, emission, message.clone()));
    }
}

fn entry(stamp: Stamp, user: UserId, emission: u32, message: Message) -> Entry {
    let source = Source {
        partition: stamp.partition,
        position: stamp.position,
        emission,
    };
    Entry::Inbox(InboxEntry {
        user,
        body: InboxBody::Message { source, message },
    })
}
