//! The server that is driven, and the disk beneath it: how it ends, comes back, and is looked into when it has stopped.

use super::rows::Rows;
use millpond_testbed::{Disk, Server};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DISK_MEBIBYTES: u64 = 1_024;
/// For SIGTERM to be answered.
const STOP: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Standing {
    program: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    /// `None` while it is down.
    server: Option<Server>,
    ground: Ground,
}

/// What the data lie on; both vanish with it.
#[derive(Debug)]
enum Ground {
    /// Its power can be cut.
    Disk(Disk),
    Folder(tempfile::TempDir),
}

impl Ground {
    fn path(&self) -> &Path {
        match self {
            Self::Disk(disk) => disk.path(),
            Self::Folder(folder) => folder.path(),
        }
    }
}

impl Standing {
    pub(super) fn start(program: &Path) -> Result<Self, String> {
        let folder = || tempfile::tempdir().map_err(|error| format!("no folder for data: {error}"));
        let ground = match Disk::create_or_skip(DISK_MEBIBYTES) {
            Some(disk) => Ground::Disk(disk),
            None => Ground::Folder(folder()?),
        };
        let data = ground.path().join("data");
        let server = Server::start(program, &data, "127.0.0.1:0", &[])?;
        Ok(Self {
            program: program.to_owned(),
            data,
            address: server.listen,
            server: Some(server),
            ground,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn has_disk(&self) -> bool {
        matches!(self.ground, Ground::Disk(_))
    }

    /// # Panics
    /// While the server is down.
    pub(super) fn token(&self, user: u64) -> Vec<u8> {
        let server = self.server.as_ref().expect("it runs");
        server.token(user)
    }

    pub(super) fn lives(&mut self) -> bool {
        self.server.as_mut().is_some_and(Server::lives)
    }

    /// Ends it where it stands, by SIGKILL or with the disk's power, if it runs.
    pub(super) fn end(&mut self, power: bool) {
        let Some(server) = self.server.take() else {
            return;
        };
        match (&self.ground, power) {
            (Ground::Disk(disk), true) => disk.cut_under(server),
            _ => server.kill(),
        }
    }

    /// Starts it again where clients will look for it, if it does not run.
    pub(super) fn begin(&mut self) -> Result<(), String> {
        if self.server.is_none() {
            let listen = self.address.to_string();
            let server = Server::start(&self.program, &self.data, &listen, &[])?;
            self.server = Some(server);
        }
        Ok(())
    }

    /// Stops it as an operator does, for a look at its rows.
    pub(super) fn stop(&mut self) -> Result<Rows<'_>, String> {
        let server = self.server.take().ok_or("it does not run")?;
        let status = server.terminate(STOP);
        if !status.success() {
            return Err(format!("SIGTERM ended it with {status}"));
        }
        Ok(Rows {
            program: &self.program,
            data: &self.data,
        })
    }
}
