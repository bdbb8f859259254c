//! The tasks that a command wakes when it holds no lock any more.

use std::task::Waker;

/// The wakers of the receivers of notices. They are woken when this is dropped.
///
/// That must be after the last lock of the store is gone: a waker may poll its task or drop it at
/// once, and the task may call into the store. So it is declared before the lock that it outlives.
#[derive(Debug, Default)]
pub(crate) struct Wakes(Vec<Waker>);

impl Extend<Waker> for Wakes {
    fn extend<W: IntoIterator<Item = Waker>>(&mut self, wakers: W) {
        self.0.extend(wakers);
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        // Nearly always there are none.
        if !self.0.is_empty() {
            wake(std::mem::take(&mut self.0));
        }
    }
}

#[inline(never)]
fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
