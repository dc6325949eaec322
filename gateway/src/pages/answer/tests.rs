//! Pages over a store where only units are atomic: an inbox may point to what is not in the history yet.

use super::*;
use millpond_backplane::conformance::{inbox_row, message_write, user};
use millpond_backplane::memory::{Atomicity, MemoryStore};
use millpond_backplane::store::{Batch, Durability, Write};
use millpond_backplane::{Address, ConversationKey, GatewayId, Handle};

fn conversation() -> ConversationKey {
    ConversationKey::direct(user(1), user(2))
}

/// An inbox of five, and the first `messages` of them in the history.
fn store(atomicity: Atomicity, messages: u64) -> MemoryStore {
    let store = MemoryStore::new(Durability::Sync, atomicity);
    let pointers = (1..=5).map(|cursor| Write::Inbox {
        user: user(2),
        cursor,
        row: inbox_row(conversation(), cursor, cursor),
    });
    let writes = pointers.chain((1..=messages).map(|seq| message_write(conversation(), seq, seq)));
    let writes = writes.collect();
    store.commit(&Batch { writes }).unwrap();
    store
}

fn page(store: &MemoryStore, after: u64) -> Result<ReplyBody, StoreError> {
    let handle = Handle {
        shard: 0,
        slot: 0,
        generation: 0,
    };
    let from = Address {
        gateway: GatewayId(1),
        gateway_epoch: 1,
        handle,
        user: user(2),
        device: DeviceId(1),
    };
    let ask = Ask::Page(PageAsk {
        from,
        stamp: 7,
        after,
        rows: 10,
        bytes: 1 << 16,
        sync: None,
    });
    let placed = [Placed {
        ask: &ask,
        older: false,
    }];
    let mut replies = Vec::new();
    answer(store, &placed, &mut replies)?;
    Ok(replies.remove(0).body)
}

/// First cursor and number of what a page found, and whether nothing lay behind it.
fn found(body: &ReplyBody) -> (u64, usize, bool) {
    let ReplyBody::Page(page) = body else {
        panic!("wanted a page, got {body:?}");
    };
    match page.found {
        Found::Rows { first, count, .. } => (first, count, page.end),
        Found::Nothing | Found::Reset { .. } => panic!("wanted rows, got {page:?}"),
    }
}

#[test]
fn a_page_ends_before_a_message_that_is_not_there_yet() {
    let unit = store(Atomicity::Unit, 3);
    assert_eq!(found(&page(&unit, 0).unwrap()), (1, 3, false));
    let failed = page(&unit, 3).unwrap();
    let asked_again = ReplyBody::PageFailed {
        stamp: 7,
        rid: None,
    };
    assert_eq!(format!("{failed:?}"), format!("{asked_again:?}"));
    let writes = vec![message_write(conversation(), 4, 4)];
    unit.commit(&Batch { writes }).unwrap();
    assert_eq!(found(&page(&unit, 3).unwrap()), (4, 1, false));
    let whole = store(Atomicity::Unit, 5);
    assert_eq!(found(&page(&whole, 0).unwrap()), (1, 5, true));
}

#[test]
fn where_batches_are_atomic_a_missing_message_is_damage() {
    let damaged = page(&store(Atomicity::Batch, 3), 0);
    assert!(
        matches!(damaged, Err(StoreError::Corrupt { .. })),
        "{damaged:?}"
    );
}
