//! Wakes the writer thread, if it sleeps.

use millpond_backplane::mesh::Bell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct ThreadBell {
    sleeper: OnceLock<Thread>,
    asleep: AtomicBool,
}

impl ThreadBell {
    /// The calling thread is the one to be woken from now on; once per bell.
    pub(crate) fn own(&self) {
        self.sleeper
            .set(std::thread::current())
            .expect("a bell has one sleeper");
    }

    /// Sleeps until the bell rings or the time is over, unless there is something to do already.
    pub(crate) fn sleep(&self, longest: Duration, has_work: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        // Pairs with the fence in `ring`: either the sender sees us asleep, or we see what it pushed.
        fence(Ordering::SeqCst);
        if !has_work() {
            std::thread::park_timeout(longest);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    pub(crate) fn ring_always(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

impl Bell for ThreadBell {
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.ring_always();
        }
    }
}
