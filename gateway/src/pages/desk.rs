//! A shard's end of the pool. A place in a line is given first to the routes that have to go, then to whoever asks, and
//! only half of the places, at the end of the turn, to questions that a client can raise without end. It must never
//! wait, and never refuse a route its removal. Called by the shard's hands.

use super::{Ask, Reply, ReplyBody};
use millpond_backplane::mesh::{Receiver, Sender};
use millpond_backplane::routes::Route;
use std::collections::VecDeque;

/// Questions about heads that may wait for a place in one line.
pub(crate) const HEADS_WAITING_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Desk {
    lines: Vec<Line>,
    /// Questions of a line without their answer.
    asks_max: usize,
    /// Routes of a line that may wait for their removal. While one does, the line is full and nobody opens, so there
    /// are no more than connections.
    unrouted_max: usize,
}

/// The two queues between one shard and one reader.
#[derive(Debug)]
struct Line {
    asks: Sender<Ask>,
    replies: Receiver<Reply>,
    /// Questions without their answer.
    open: usize,
    heads: VecDeque<Ask>,
    unrouted: VecDeque<Route>,
}

impl Desk {
    pub(super) fn new(asks_max: usize, connections_max: u32) -> Self {
        Self {
            lines: Vec::new(),
            asks_max,
            unrouted_max: connections_max as usize,
        }
    }

    /// The queues to and from the next reader.
    pub(super) fn add(&mut self, asks: Sender<Ask>, replies: Receiver<Reply>) {
        self.lines.push(Line {
            asks,
            replies,
            open: 0,
            heads: VecDeque::new(),
            unrouted: VecDeque::new(),
        });
    }

    /// Gives the question back when its reader has too many of this shard.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<(), Ask> {
        let asks_max = self.asks_max;
        let line = self.line(&ask);
        match &ask {
            Ask::Head(_) if line.heads.len() < HEADS_WAITING_MAX => {
                line.heads.push_back(ask);
                Ok(())
            }
            Ask::Head(_) => Err(ask),
            Ask::Open(_) | Ask::Page(_) | Ask::History(_) | Ask::Close(_) => {
                line.push(ask, asks_max)
            }
        }
    }

    /// Removes a route, if not now, then as soon as there is a place; says whether it was now.
    pub(crate) fn unroute(&mut self, route: Route) -> bool {
        let (asks_max, unrouted_max) = (self.asks_max, self.unrouted_max);
        let ask = Ask::Close(route);
        let line = self.line(&ask);
        // Asked after the removal, it would write the route again.
        line.heads.retain(|head| head.from() != route.address);
        let now = line.unrouted.is_empty() && line.push(ask, asks_max).is_ok();
        if !now {
            line.unrouted.push_back(route);
            let waiting = line.unrouted.len();
            assert!(waiting <= unrouted_max, "a connection has one route");
        }
        now
    }

    /// The turn ends: what may wait takes the places that are left.
    pub(crate) fn flush(&mut self) {
        let heads_max = self.asks_max.div_ceil(2);
        for line in &mut self.lines {
            while line.open < heads_max
                && let Some(ask) = line.heads.pop_front()
            {
                let placed = line.push(ask, heads_max);
                assert!(placed.is_ok(), "a line has as many places as questions");
            }
            line.asks.flush();
        }
    }

    pub(crate) fn reply(&mut self) -> Option<Reply> {
        let asks_max = self.asks_max;
        self.lines.iter_mut().find_map(|line| line.reply(asks_max))
    }

    /// Questions about heads that find a place to wait, whoever asks.
    pub(crate) fn heads_free(&self) -> usize {
        let free = |line: &Line| HEADS_WAITING_MAX.saturating_sub(line.heads.len());
        self.lines.iter().map(free).min().unwrap_or(0)
    }

    pub(crate) fn has_replies(&self) -> bool {
        self.lines.iter().any(|line| !line.replies.is_empty())
    }

    /// Questions without their answer.
    pub(crate) fn open(&self) -> usize {
        let open = |line: &Line| line.open + line.heads.len() + line.unrouted.len();
        self.lines.iter().map(open).sum()
    }

    /// One user's questions go to one reader.
    fn line(&mut self, ask: &Ask) -> &mut Line {
        let readers = self.lines.len() as u64;
        let index = ask.from().user.value() % readers;
        &mut self.lines[usize::try_from(index).expect("readers are few")]
    }
}

impl Line {
    fn push(&mut self, ask: Ask, asks_max: usize) -> Result<(), Ask> {
        if self.open >= asks_max {
            return Err(ask);
        }
        self.asks.push(ask)?;
        self.open += 1;
        Ok(())
    }

    /// An answer leaves a place, and the first to take it is a route that has to go.
    fn reply(&mut self, asks_max: usize) -> Option<Reply> {
        let reply = self.replies.pop()?;
        if matches!(reply.body, ReplyBody::Displaced | ReplyBody::RoutesLost) {
            return Some(reply);
        }
        self.open -= 1;
        if let Some(route) = self.unrouted.pop_front()
            && self.push(Ask::Close(route), asks_max).is_err()
        {
            self.unrouted.push_front(route);
        }
        Some(reply)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_types,
    reason = "a queue between threads shares its bell"
)]
mod tests {
    use super::*;
    use crate::pages::{Hail, OpenAsk};
    use crate::tests::mill::user;
    use millpond_backplane::mesh::{ThreadBell, channel};
    use millpond_backplane::{Address, GatewayId, Handle};
    use millpond_wire::DeviceId;
    use std::sync::Arc;

    const ASKS_MAX: usize = 4;

    fn address(slot: u32) -> Address {
        Address {
            gateway: GatewayId(1),
            gateway_epoch: 1,
            handle: Handle {
                shard: 0,
                slot,
                generation: 0,
            },
            user: user(1),
            device: DeviceId(1),
        }
    }

    fn route(slot: u32) -> Route {
        Route {
            address: address(slot),
            attempt: 1,
        }
    }

    fn open(slot: u32) -> Ask {
        let hail = Hail {
            window: 1,
            background: false,
            token_ttl_s: 1,
            resume: None,
        };
        let route = route(slot);
        Ask::Open(OpenAsk { route, hail })
    }

    fn head() -> Ask {
        Ask::Head(route(0))
    }

    struct Bench {
        desk: Desk,
        asked: Receiver<Ask>,
        answers: Sender<Reply>,
    }

    fn bench() -> Bench {
        let bell: Arc<ThreadBell> = Arc::default();
        let (asks, asked) = channel(ASKS_MAX, Arc::clone(&bell) as _);
        let (answers, replies) = channel(ASKS_MAX, bell as _);
        let mut desk = Desk::new(ASKS_MAX, 2);
        desk.add(asks, replies);
        Bench {
            desk,
            asked,
            answers,
        }
    }

    impl Bench {
        /// The oldest question is answered, and the shard takes the answer.
        fn answer(&mut self) -> Ask {
            let ask = self.asked.pop().expect("a question is there");
            self.answers.push(ask.failed()).unwrap();
            self.desk.reply().expect("the answer came");
            ask
        }
    }

    #[test]
    fn a_flood_about_heads_leaves_places_for_those_who_open() {
        let mut bench = bench();
        let taken = (0..1_000).filter(|_| bench.desk.ask(head()).is_ok());
        assert_eq!(taken.count(), HEADS_WAITING_MAX);
        bench.desk.ask(open(1)).unwrap();
        bench.desk.flush();
        bench.desk.ask(open(2)).unwrap();
        bench.desk.ask(open(3)).unwrap();
        assert!(matches!(bench.answer(), Ask::Open(_)), "they go first");
        assert!(matches!(bench.answer(), Ask::Head(_)));
    }

    #[test]
    fn a_question_about_a_route_does_not_outlive_it() {
        let mut bench = bench();
        bench.desk.ask(head()).unwrap();
        assert!(bench.desk.unroute(route(0)));
        bench.desk.flush();
        assert!(matches!(bench.answer(), Ask::Close(_)));
        assert!(bench.asked.pop().is_none());
    }

    #[test]
    fn a_route_that_has_to_go_takes_the_next_place() {
        let mut bench = bench();
        (0..4).for_each(|slot| bench.desk.ask(open(slot)).unwrap());
        assert!(!bench.desk.unroute(route(9)), "no place");
        bench.answer();
        let refused = bench.desk.ask(open(5)).expect_err("the place is taken");
        assert!(matches!(refused.refused().body, ReplyBody::OpenRefused));
        for _ in 0..3 {
            bench.answer();
        }
        assert!(matches!(bench.answer(), Ask::Close(it) if it == route(9)));
        assert_eq!(bench.desk.open(), 0);
    }
}
