//! Lets the effects of a durable batch leave: answers first, then deliveries in order of cursors, then marks.

use crate::conversation::{MarkHint, members};
use crate::effects::{Delivery, Effects};
use millpond_backplane::Message;
use millpond_backplane::link::{Downlink, DownlinkBody, Link};
use millpond_backplane::routes::{Route, Routes};
use millpond_wire::{Code, Mark, MarkKind, UserId, encode_record};
use std::sync::Arc;

/// Knows where devices are and how to reach them.
#[derive(Debug)]
pub struct Releaser {
    routes: Arc<dyn Routes>,
    link: Box<dyn Link>,
    users: Vec<UserId>,
    found: Vec<Route>,
    bytes: Vec<u8>,
}

impl Releaser {
    pub fn new(routes: Arc<dyn Routes>, link: Box<dyn Link>) -> Self {
        Self {
            routes,
            link,
            users: Vec::new(),
            found: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Sends everything of a batch that is durable, with one lookup of routes and one flush.
    /// Returns how many deliveries were handed to connections.
    pub fn release(&mut self, effects: &Effects) -> u64 {
        if effects.is_empty() {
            return 0;
        }
        self.find_routes(effects);
        for answer in &effects.answers {
            self.link.send(answer.downlink());
        }
        let deliveries = effects
            .deliveries
            .iter()
            .map(|delivery| self.deliver(delivery))
            .sum();
        for hint in &effects.hints {
            self.tell(*hint);
        }
        for user in &effects.resets {
            self.kick(*user);
        }
        self.link.flush();
        deliveries
    }

    fn find_routes(&mut self, effects: &Effects) {
        self.users.clear();
        self.found.clear();
        for delivery in &effects.deliveries {
            self.users
                .extend(delivery.places.iter().flatten().map(|(user, _)| *user));
        }
        for hint in &effects.hints {
            self.users.extend(members(hint.conversation));
        }
        self.users.extend(&effects.resets);
        if self.users.is_empty() {
            return;
        }
        self.users.sort_unstable();
        self.users.dedup();
        // Nobody is reached live without routes: the cursors make it good.
        if self.routes.find(&self.users, &mut self.found).is_err() {
            self.found.clear();
        }
        let in_order = self.found.is_sorted_by_key(|route| route.address.user);
        assert!(in_order, "routes come in the order of the users");
    }

    fn deliver(&mut self, delivery: &Delivery) -> u64 {
        let mut count = 0;
        for (user, cursor) in delivery.places.iter().flatten() {
            let mut shared = Shared::default();
            for route in routes_of(&self.found, *user) {
                let view = View::of(&delivery.message, route);
                let record = shared.record(view, &delivery.message, *user, &mut self.bytes);
                count += 1;
                self.link.send(Downlink {
                    to: route.address,
                    body: DownlinkBody::Deliver {
                        cursor: *cursor,
                        record,
                    },
                });
            }
        }
        count
    }

    /// The others learn of every mark, the author's own devices of what was read.
    fn tell(&mut self, hint: MarkHint) {
        for user in members(hint.conversation) {
            if user == hint.author && hint.kind != MarkKind::Read {
                continue;
            }
            let mark = Mark {
                kind: hint.kind,
                conversation: hint.conversation.seen_by(user),
                up_to: hint.up_to,
                user: Some(hint.author),
            };
            for route in routes_of(&self.found, user) {
                self.link.send(Downlink {
                    to: route.address,
                    body: DownlinkBody::Mark(mark),
                });
            }
        }
    }

    fn kick(&mut self, user: UserId) {
        for route in routes_of(&self.found, user) {
            self.link.send(Downlink {
                to: route.address,
                body: DownlinkBody::Kick(Code::UNKNOWN_EPOCH),
            });
        }
    }
}

fn routes_of(found: &[Route], user: UserId) -> &[Route] {
    let from = found.partition_point(|route| route.address.user < user);
    let count = found[from..].partition_point(|route| route.address.user == user);
    &found[from..from + count]
}

/// How a device sees a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum View {
    /// It sent it: no body.
    Stub,
    /// Another device of the same user sent it.
    Mine,
    Theirs,
}

impl View {
    fn of(message: &Message, route: &Route) -> Self {
        if route.address.user != message.sender {
            Self::Theirs
        } else if route.address.device == message.device {
            Self::Stub
        } else {
            Self::Mine
        }
    }
}

/// The encoded record of each view, made when the first device needs it and shared by the others.
#[derive(Default)]
struct Shared([Option<Arc<[u8]>>; 3]);

impl Shared {
    fn record(
        &mut self,
        view: View,
        message: &Message,
        user: UserId,
        bytes: &mut Vec<u8>,
    ) -> Arc<[u8]> {
        let place = match view {
            View::Stub => &mut self.0[0],
            View::Mine => &mut self.0[1],
            View::Theirs => &mut self.0[2],
        };
        let encoded = place.get_or_insert_with(|| {
            bytes.clear();
            let record = match view {
                View::Stub => message.stub(),
                View::Mine | View::Theirs => message.record_for(user),
            };
            encode_record(&record, bytes);
            Arc::from(bytes.as_slice())
        });
        encoded.clone()
    }
}
