//! A value the kernel may read and write while we hold on to it. Never gives out a reference: the address is stable,
//! and only copies leave. Called by the flights of a ring.

use std::fmt;
use std::ptr::NonNull;

/// Owns one `T` at an address that stays the same until it is dropped. A raw pointer, not a `Box`: moving a `Box` would
/// claim that nobody else touches what it points to.
pub(super) struct Lent<T: Copy>(NonNull<T>);

impl<T: Copy> Lent<T> {
    pub(super) fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    /// For the kernel.
    pub(super) fn pointer(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// Only while no operation is in flight on it.
    pub(super) fn read(&self) -> T {
        // SAFETY: we own the value, `new` initialised it, and the kernel's last completion has been taken.
        unsafe { self.0.read() }
    }

    /// Only while no operation is in flight on it.
    pub(super) fn write(&mut self, value: T) {
        // SAFETY: we own the value, and the kernel has no operation on it.
        unsafe { self.0.write(value) };
    }
}

impl<T: Copy> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box of the same type, and is freed only here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T: Copy> fmt::Debug for Lent<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Lent({:p})", self.0)
    }
}
