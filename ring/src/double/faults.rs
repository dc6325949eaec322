//! How often the double does what a kernel may do and seldom does. Each is a chance in a thousand. Called by whoever
//! opens a [`super::Double`].

/// Chances in a thousand; the default is none of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// A read takes fewer bytes than are there; the rest stays.
    pub short_recv: u16,
    /// A send takes fewer bytes than there is room for.
    pub short_send: u16,
    /// An operation fails: reads and sends with the connection's reset (which the peer sees too), accepts with the loss
    /// of the connection or no memory, polls and timeouts with no memory, cancels with −EALREADY (and the operation
    /// still ends). A close never fails but by the caller's own error: the kernel has no other either.
    pub errno: u16,
    /// A read finds no provided buffer though there are some.
    pub no_buffers: u16,
    /// A multishot ends with a completion that says so, though nothing is wrong: as when completions overflow.
    pub cut_multishot: u16,
    /// A completion comes some virtual microseconds after its operation is done.
    pub late: u16,
    /// A turn's completions come in another order; those of one socket keep theirs.
    pub reorder: u16,
    /// The submission queue takes nothing.
    pub full: u16,
    /// A turn comes back with nothing before its time.
    pub early_return: u16,
}

impl Faults {
    pub const NONE: Self = Self {
        short_recv: 0,
        short_send: 0,
        errno: 0,
        no_buffers: 0,
        cut_multishot: 0,
        late: 0,
        reorder: 0,
        full: 0,
        early_return: 0,
    };

    /// Everything that leaves connections alive, often.
    pub const ROUGH: Self = Self {
        short_recv: 200,
        short_send: 200,
        errno: 0,
        no_buffers: 100,
        cut_multishot: 100,
        late: 200,
        reorder: 500,
        full: 50,
        early_return: 50,
    };

    /// Everything.
    pub const WILD: Self = Self {
        errno: 20,
        ..Self::ROUGH
    };
}
