use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// A flag that one side sets to say that nobody wants the result any more.
///
/// Clones share the flag. It is looked at between passes of the model and twice a layer of a long prompt.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    #[cfg(test)]
    looks: Arc<counting::Looks>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        #[cfg(test)]
        self.count_a_look();
        self.flag.load(Ordering::Relaxed)
    }

    /// [`Error::Cancelled`] if the flag is set.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod counting {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Cancel;

    /// How often the flag was looked at, and the look at which it sets itself; never where that is 0.
    #[derive(Debug, Default)]
    pub(super) struct Looks {
        count: AtomicUsize,
        last: AtomicUsize,
    }

    impl Cancel {
        /// A flag that sets itself when it is looked at for the `look`-th time, counted from 1.
        pub(crate) fn at_look(look: usize) -> Self {
            let cancel = Self::new();
            cancel.looks.last.store(look, Ordering::Relaxed);
            cancel
        }

        /// How often anybody has looked.
        pub(crate) fn looks(&self) -> usize {
            self.looks.count.load(Ordering::Relaxed)
        }

        pub(super) fn count_a_look(&self) {
            let look = self.looks.count.fetch_add(1, Ordering::Relaxed) + 1;
            if look == self.looks.last.load(Ordering::Relaxed) {
                self.cancel();
            }
        }
    }
}
