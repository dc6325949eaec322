//! Bugs that a simulation switches on, to see whether it would find them. They are only there with the feature
//! `planted`, which no program is built with, and even then only on a thread that asks for one.

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A hint that comes while a page is read is forgotten: the end that the page finds counts as the end.
    CatchUpRace,
    /// A hint goes to whoever sits in the slot that it names.
    HandleWithoutUser,
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on, on this thread.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "planted")]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
