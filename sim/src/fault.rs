//! What can go wrong, by kind. A run has some of them switched on; each time one happens it is counted.

/// One kind of accident.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Fault {
    /// One hint in ten never arrives, also after quiet.
    DropHint,
    DuplicateHint,
    /// Hints arrive up to seconds later, and so in another order.
    DelayHint,
    /// The network cuts a connection.
    CutConnection,
    /// Bytes come in the smallest pieces.
    SplitBytes,
    /// An application takes what it gets late.
    SlowReader,
    /// Answers to questions about rows come late.
    LatePages,
    /// A read of rows fails.
    FailedRead,
    /// Commits wait, several at a time.
    LateCommit,
    /// The kernel does what it seldom does: short reads and writes, no buffers, errors. Counted when a gateway starts on it.
    Kernel,
    /// The log, or the queue to the router, has no room. Counted when a gateway starts on it.
    FullLog,
    /// A process of the server ends at any step: the embedded server, or a gateway.
    Crash,
    /// A gateway sends its clients away and ends.
    Drain,
    /// A router ends at any step.
    OwnerCrash,
    /// A router is stopped, replaced, and resumed much later.
    Zombie,
    /// Partitions move from one router to another in the middle of a batch.
    Rebalance,
    /// A commit fails: a full disk, or a store that writes half of it.
    FailedCommit,
    /// An append fails after some of it was written.
    FailedAppend,
    /// A gateway's lease ends while it lives.
    LeaseEnds,
    /// All routes and leases are lost.
    RoutesLost,
    /// Clocks are set forward and back.
    ClockJump,
    /// An application ends without a word, and comes back with what it had saved.
    ClientCrash,
    /// A device connects elsewhere while its gateway believes that it is still there.
    Ghost,
    /// The power goes, and with it what a store that does not sync each commit has shown and not synced.
    PowerCut,
    /// The disk is full for a while.
    DiskFull,
    /// A commit ends in the middle: of its keys some are written and some are not.
    TornCommit,
}

impl Fault {
    pub const ALL: [Self; 26] = [
        Self::DropHint,
        Self::DuplicateHint,
        Self::DelayHint,
        Self::CutConnection,
        Self::SplitBytes,
        Self::SlowReader,
        Self::LatePages,
        Self::FailedRead,
        Self::LateCommit,
        Self::Kernel,
        Self::FullLog,
        Self::Crash,
        Self::Drain,
        Self::OwnerCrash,
        Self::Zombie,
        Self::Rebalance,
        Self::FailedCommit,
        Self::FailedAppend,
        Self::LeaseEnds,
        Self::RoutesLost,
        Self::ClockJump,
        Self::ClientCrash,
        Self::Ghost,
        Self::PowerCut,
        Self::DiskFull,
        Self::TornCommit,
    ];

    /// Drawn apart from the others, so that seeds found before them still stand for the same runs.
    pub const LATER: [Self; 3] = [Self::PowerCut, Self::DiskFull, Self::TornCommit];

    /// Whether it may lose a hint: then only the heartbeat brings what is missing.
    pub fn loses_hints(self) -> bool {
        matches!(
            self,
            Self::DropHint
                | Self::Crash
                | Self::Drain
                | Self::OwnerCrash
                | Self::Zombie
                | Self::Rebalance
                | Self::FailedCommit
                | Self::FailedAppend
                | Self::LeaseEnds
                | Self::RoutesLost
                | Self::Ghost
                | Self::Kernel
                | Self::FailedRead
                | Self::PowerCut
                | Self::DiskFull
                | Self::TornCommit
        )
    }
}

/// Which kinds are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults(u32);

impl Faults {
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u8) != 0
    }

    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u8)
    }

    #[must_use]
    pub fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u8))
    }

    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }

    /// Whether no hint is ever lost.
    pub fn keep_hints(self) -> bool {
        !self.iter().any(Fault::loses_hints)
    }
}
