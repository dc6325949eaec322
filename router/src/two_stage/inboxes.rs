//! The second stage: inbox entries in, inboxes and devices out, one command per conversation that was delivered.

use super::{Lane, Machines, Output};
use crate::effects::Delivery;
use crate::inbox::Outcome;
use crate::world::{Lagging, World};
use millpond_backplane::position::Stamp;
use millpond_backplane::store::{StoreError, Write};
use millpond_backplane::{Entry, InboxBody, InboxEntry, Message, Position};
use millpond_wire::UserId;

pub(super) fn take(
    machines: &mut Machines<'_>,
    lane: &mut Lane,
    stamp: Stamp,
    entry: &InboxEntry,
    output: &mut Output,
) -> Result<(), StoreError> {
    if let InboxBody::Message { source, .. } = &entry.body
        && !lane.is_first(*source)
    {
        machines.counters.dropped.add(1);
        return Ok(());
    }
    if machines.world.reflects_entry(stamp.position, entry) {
        machines.counters.repeated.add(1);
        return Ok(());
    }
    if let InboxBody::Message { message, .. } = &entry.body {
        place(
            machines.world,
            lane.durable,
            stamp,
            entry.user,
            message,
            output,
        );
        return Ok(());
    }
    let outcome = machines.world.entry(machines.store, stamp, entry)?;
    apply(machines.world, lane, entry, outcome, output);
    Ok(())
}

fn place(
    world: &mut World,
    durable: Position,
    stamp: Stamp,
    user: UserId,
    message: &Message,
    output: &mut Output,
) {
    let (cursor, row) = world.place(stamp, user, message, durable);
    output.rows.writes.push(Write::Inbox { user, cursor, row });
    output.effects.deliveries.push(Delivery {
        message: message.clone(),
        places: [Some((user, cursor)), None],
    });
}

fn apply(
    world: &mut World,
    lane: &mut Lane,
    entry: &InboxEntry,
    outcome: Outcome,
    output: &mut Output,
) {
    let key = Lagging::User(entry.user);
    match outcome {
        Outcome::Acked { delivered } => {
            lane.lag(world, key);
            for command in delivered {
                output.emit(Entry::Command(command));
            }
        }
        Outcome::Reset => {
            world.soil(key);
            output.rows.writes.extend(world.clean(key));
            output.effects.resets.push(entry.user);
        }
        Outcome::Unchanged => {}
        Outcome::Placed { .. } => unreachable!("messages are placed apart"),
    }
}
