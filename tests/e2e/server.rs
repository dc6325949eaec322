//! The servers of these tests: the program as Cargo built it beside them.

pub(crate) use millpond_testbed::{Server, eventually, eventually_within};
use std::path::Path;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_millpond");

/// On free ports over `data`.
pub(crate) fn serve(data: &Path, arguments: &[&str]) -> Server {
    serve_on(data, "127.0.0.1:0", arguments)
}

/// The same at a chosen address, so that clients find it again after a restart.
pub(crate) fn serve_on(data: &Path, listen: &str, arguments: &[&str]) -> Server {
    try_serve_on(data, listen, arguments).expect("the server starts")
}

/// Says how it ended when it does not start.
pub(crate) fn try_serve_on(
    data: &Path,
    listen: &str,
    arguments: &[&str],
) -> Result<Server, String> {
    Server::start(PROGRAM.as_ref(), data, listen, arguments)
}
