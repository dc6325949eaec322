//! The runtime behind a driver's blocking calls. It may be dropped anywhere, on a thread of another runtime too: what still
//! runs on it is not waited for.
#![forbid(unsafe_code)]

use std::ops::Deref;
use tokio::runtime::{Builder, Runtime};

/// Threads of a runtime, for as long as this lives.
#[derive(Debug)]
pub struct Background(Option<Runtime>);

impl Background {
    /// # Errors
    /// No thread from the system.
    pub fn start(name: &str, threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }
}

impl Deref for Background {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
