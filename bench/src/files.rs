//! The limit of open files: the kernel compares a ring's table of direct descriptors with it.

use anyhow::{Context, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors beside the sockets of a ring: its own, logs, pipes to children, sockets not yet in the table.
const OTHERS: u64 = 200;

/// Raises this process's own limit, within what it may, so that a ring can hold this many sockets.
pub(crate) fn allow_sockets(sockets: u32) -> anyhow::Result<()> {
    let wanted = u64::from(sockets) + OTHERS;
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        wanted <= allowed,
        "{sockets} sockets need {wanted} open files, and this process may have {allowed}: \
         ask for fewer connections, or raise the hard limit (ulimit -Hn)"
    );
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")
}

/// Raises it to all that this process may have: for a server that is started next and inherits it.
pub(crate) fn allow_all() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_holds_and_too_much_is_refused_in_words() {
        allow_sockets(100).unwrap();
        let current = getrlimit(Resource::Nofile).current;
        assert!(current.is_none_or(|current| current >= 300));
        if getrlimit(Resource::Nofile)
            .maximum
            .is_some_and(|most| most < u64::from(u32::MAX))
        {
            let refused = allow_sockets(u32::MAX).unwrap_err().to_string();
            assert!(refused.contains("ulimit -Hn"), "{refused}");
        }
    }
}
