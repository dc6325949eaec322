//! Why a store takes no more, if it does not: the first reason, for good.

use millpond_backplane::store::StoreError;
use std::sync::OnceLock;

#[derive(Default, Debug)]
pub(crate) struct Failure(OnceLock<String>);

impl Failure {
    pub(crate) fn fail(&self, why: String) {
        self.0.get_or_init(|| why);
    }

    /// `Err` after a failure.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            Some(why) => Err(StoreError::Failed(why.clone())),
        }
    }
}
