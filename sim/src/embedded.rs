//! The embedded server's router: the fused core, with the queue, the committer and the release of its threads as steps
//! of their own, so that it can end between any two of them.

use crate::chance::Chance;
use crate::plan::Bug;
use crate::shelf::Shelf;
use millpond_backplane::link::{Downlink, DownlinkBody, Link};
use millpond_backplane::log::{Appender, Full};
use millpond_backplane::memory::RecordingLink;
use millpond_backplane::routes::Routes;
use millpond_backplane::store::{Batch, Store};
use millpond_backplane::{CommandBody, Entry};
use millpond_router::fused::{Config, FusedCore, Now};
use millpond_router::{CacheLimits, Effects, Releaser};
use millpond_wire::Code;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Batches on their way, as in the driver's threads.
const COMMITS_MAX: usize = 2;

#[derive(Debug)]
pub(crate) struct Embedded {
    core: FusedCore,
    store: Arc<Shelf>,
    link: RecordingLink,
    releaser: Releaser,
    pub(crate) queue: Queue,
    pending: VecDeque<Pending>,
    /// An error: nothing in memory may be trusted, and every SEND is refused.
    pub(crate) failed: bool,
    bug: Option<Bug>,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    batch: Batch,
    effects: Effects,
    durable: bool,
}

/// What a shard hands in.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    entries: Arc<Mutex<VecDeque<Entry>>>,
    pub(crate) seen: Arc<Mutex<u8>>,
    max: usize,
}

impl Queue {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: Arc::default(),
            seen: Arc::default(),
            max,
        }
    }

    fn take(&self, max: usize) -> Vec<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = max.min(entries.len());
        entries.drain(..count).collect()
    }

    fn is_empty(&self) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.is_empty()
    }
}

impl Appender for Queue {
    fn append(&mut self, entry: Entry) -> Result<(), Full> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.max {
            return Err(Full(entry));
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) |= record_bit(&entry);
        entries.push_back(entry);
        Ok(())
    }

    fn flush(&mut self) {}
}

/// A bit for each name of [`crate::operation::RECORDS`].
pub(crate) fn record_bit(entry: &Entry) -> u8 {
    let (_, name) = match entry {
        Entry::Command(command) => crate::operation::by_command(&command.body),
        Entry::Inbox(entry) => crate::operation::by_inbox(&entry.body),
    };
    let place = crate::operation::RECORDS.iter().position(|it| *it == name);
    1 << place.expect("every record has a name")
}

/// What an embedded server is put together from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<Shelf>,
    pub(crate) routes: Arc<dyn Routes>,
    pub(crate) link: RecordingLink,
    pub(crate) queue: Queue,
    pub(crate) bug: Option<Bug>,
}

impl Embedded {
    /// `None` when the rows cannot be read.
    pub(crate) fn start(parts: Parts, chance: &mut Chance) -> Option<Self> {
        let caches = *chance.of(&[1, 3, 100]);
        let config = Config {
            caches: CacheLimits {
                conversations: caches,
                inboxes: caches,
            },
            batch_entries_max: 1 + chance.index(32),
            ..Config::default()
        };
        let core = FusedCore::open(config, parts.store.clone()).ok()?;
        Some(Self {
            core,
            releaser: Releaser::new(parts.routes, Box::new(parts.link.clone())),
            link: parts.link,
            store: parts.store,
            queue: parts.queue,
            pending: VecDeque::new(),
            failed: false,
            bug: parts.bug,
        })
    }

    /// Takes what has come, when there is room for another commit.
    pub(crate) fn run(&mut self, now: Now, entries_max: usize) {
        if self.pending.len() >= COMMITS_MAX {
            return;
        }
        let mut entries = self.queue.take(entries_max);
        if self.failed {
            return self.refuse(&entries);
        }
        let due = self.core.next_due().is_some_and(|due| due <= now.steady_ms);
        if entries.is_empty() && !due {
            return;
        }
        match self.core.run(&mut entries, now) {
            Ok(turn) => {
                let mut effects = turn.effects;
                if self.bug == Some(Bug::AckBeforeSync) {
                    self.releaser.release(&effects);
                    effects = Effects::default();
                }
                self.pending.push_back(Pending {
                    number: turn.number,
                    durable: turn.batch.writes.is_empty() && self.pending.is_empty(),
                    batch: turn.batch,
                    effects,
                });
            }
            Err(_) => self.fail(&entries),
        }
    }

    /// Makes the next batch durable.
    pub(crate) fn commit(&mut self) {
        let Some(next) = self.pending.iter_mut().find(|pending| !pending.durable) else {
            return;
        };
        if next.batch.writes.is_empty() || self.store.commit(&next.batch).is_ok() {
            next.durable = true;
        } else {
            self.fail(&[]);
        }
    }

    /// Lets go of what the next durable batch has led to.
    pub(crate) fn release(&mut self) {
        let Some(first) = self.pending.pop_front_if(|first| first.durable) else {
            return;
        };
        let mut batch = first.batch;
        batch.writes.clear();
        self.core.committed(first.number, Some(batch));
        self.releaser.release(&first.effects);
    }

    /// Whether nothing is left to do, now or later.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pending.is_empty() && !self.core.has_dirty()
    }

    /// What is on its way is never answered: clients repeat it.
    fn fail(&mut self, entries: &[Entry]) {
        self.failed = true;
        self.pending.clear();
        self.refuse(entries);
    }

    fn refuse(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Command(command) = entry
                && let CommandBody::Send {
                    from,
                    client_msg_id,
                    ..
                } = &command.body
            {
                self.link.send(Downlink {
                    to: *from,
                    body: DownlinkBody::Refused {
                        client_msg_id: *client_msg_id,
                        code: Code::UNAVAILABLE,
                        retry_after_ms: 1_000,
                    },
                });
            }
        }
    }
}
