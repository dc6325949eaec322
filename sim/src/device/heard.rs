//! What the SDK tells the application: noted for the checker, and kept.

use super::{Device, Held, Page, content};
use crate::notes::Notes;
use millpond_checker as checker;
use millpond_client::{Event, Kind, Message, Reply, UserId};

impl Device {
    pub(super) fn reply(&mut self, reply: Reply, notes: &mut Notes) {
        match reply {
            Reply::Page { rid, page } => {
                let Some(conversation) = self.asked.remove(&rid) else {
                    return;
                };
                for message in &page.messages {
                    self.note_history(message, notes);
                }
                let seqs = page.messages.iter().map(|message| message.seq).collect();
                let found = Some((seqs, page.end));
                self.pages.push_back(Page {
                    conversation,
                    found,
                });
            }
            Reply::Refused { rid, .. } => {
                if let Some(conversation) = self.asked.remove(&rid) {
                    self.pages.push_back(Page {
                        conversation,
                        found: None,
                    });
                }
            }
            Reply::Sent(_) | Reply::Failed { .. } => {
                unreachable!("nothing is awaited")
            }
        }
    }

    fn note_history(&self, message: &Message, notes: &mut Notes) {
        self.tell(notes, || {
            let conversation = self.named(message.conversation);
            format!("finds message {} of {conversation} in history", message.seq)
        });
        notes.note(checker::Operation::History {
            reader: self.user,
            conversation: self.named(message.conversation),
            seq: message.seq,
            sender: message.author().map_or(self.user, UserId::value),
            payload: content(message.kind, &message.payload),
            at: notes.now_us,
        });
    }

    pub(super) fn event(&mut self, event: Event, notes: &mut Notes) {
        let (user, device, at) = (self.user, self.name, notes.now_us);
        match event {
            Event::Message(message) => self.message(&message, notes),
            Event::Sent(sent) => {
                self.tell(notes, || {
                    format!(
                        "is told that {} is message {}",
                        sent.client_msg_id, sent.seq
                    )
                });
                notes.note(checker::Operation::Acked {
                    user,
                    device,
                    id: sent.client_msg_id,
                    seq: sent.seq,
                    at,
                });
            }
            Event::Failed {
                client_msg_id,
                code,
                ..
            } => notes.note(checker::Operation::Refused {
                user,
                device,
                id: client_msg_id,
                code: code.0,
                at,
            }),
            Event::Reset { epoch, head, .. } => {
                self.tell(notes, || {
                    format!("is reset to epoch {epoch}, cursor {head}")
                });
                self.held.retain(|held| held.cursor <= head);
                self.forgot_above = None;
                notes.note(checker::Operation::Reset {
                    user,
                    device,
                    epoch,
                    head,
                    at,
                });
            }
            Event::Connected { .. } => {
                self.live_since_us = Some(at);
                self.tell(notes, || format!("is let in by gateway {}", self.gate));
            }
            Event::Disconnected { why, .. } => {
                self.live_since_us = None;
                self.tell(notes, || format!("is out: {why}"));
            }
            Event::Stopped { why } => {
                self.tell(notes, || format!("stops: {why}"));
                self.core = None;
                self.ended(notes);
            }
            Event::Synced | Event::Receipt { .. } => {}
        }
    }

    fn message(&mut self, message: &Message, notes: &mut Notes) {
        let (user, device, at) = (self.user, self.name, notes.now_us);
        if let Some(head) = self.forgot_above.take() {
            notes.note(checker::Operation::Reset {
                user,
                device,
                epoch: message.epoch,
                head,
                at,
            });
        }
        let mine = message.author().is_none();
        if message.counts != (message.kind == Kind::TEXT && !mine) {
            notes.find(
                "Unread",
                format!(
                    "message {} counts as unread: {}",
                    message.seq, message.counts
                ),
            );
        }
        let operation = checker::Operation::Delivered {
            user,
            device,
            epoch: message.epoch,
            cursor: message.cursor,
            conversation: self.named(message.conversation),
            seq: message.seq,
            sender: message.author().map_or(user, UserId::value),
            origin: message
                .origin
                .map(|origin| (origin.device.0, origin.client_msg_id)),
            payload: (!message.stub).then(|| content(message.kind, &message.payload)),
            at,
        };
        notes.tally.deliveries += 1;
        self.tell(notes, || {
            format!(
                "gets message {} of {} at epoch {}, cursor {}",
                message.seq,
                self.named(message.conversation),
                message.epoch,
                message.cursor
            )
        });
        notes.note(operation);
        self.held.push(Held {
            operation,
            epoch: message.epoch,
            cursor: message.cursor,
        });
        let shown = self.shown.entry(message.conversation).or_default();
        *shown = message.seq.max(*shown);
    }
}
