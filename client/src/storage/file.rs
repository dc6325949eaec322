//! One file per device, replaced as a whole: written beside, synced, renamed. For chats, not for load.
//!
//! ```text
//! magic 8 bytes | device u64 | attempt u32 | has_position u8 | epoch u64 | cursor u64 | last_id u64 | count u32
//!   | { client_msg_id u64 | conversation u64 | kind u8 | bytes u32 | payload }*      all big-endian
//! ```

use super::{Change, Position, Saved, Storage, Stored};
use crate::{Conversation, DeviceId, Kind};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"mpclient";
/// What a file may hold; a larger one was not written here.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Keeps the state of one device in a file.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    saved: Option<Saved>,
    /// Taken by a device that the file does not know yet.
    device: DeviceId,
}

impl FileStorage {
    /// The file is made by the first change, for a device with a random id.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_device(path, DeviceId(rand::random()))
    }

    /// The same with a given id, for a token that names the device.
    pub fn with_device(path: impl Into<PathBuf>, device: DeviceId) -> Self {
        Self {
            path: path.into(),
            saved: None,
            device,
        }
    }
}

impl Storage for FileStorage {
    /// # Errors
    /// When the file cannot be read, or is none of ours.
    fn load(&mut self) -> io::Result<Saved> {
        let saved = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Saved::fresh(self.device),
            Err(error) => return Err(error),
            Ok(found) if found.len() > FILE_BYTES_MAX => return Err(foreign(&self.path)),
            Ok(_) => parse(&fs::read(&self.path)?).ok_or_else(|| foreign(&self.path))?,
        };
        self.saved = Some(saved.clone());
        Ok(saved)
    }

    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let device = self.device;
        let saved = self.saved.get_or_insert_with(|| Saved::fresh(device));
        changes.iter().for_each(|change| saved.apply(change));
        replace(&self.path, &bytes(saved))
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn foreign(path: &Path) -> io::Error {
    let what = format!("{} does not hold the state of a client", path.display());
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn bytes(saved: &Saved) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(saved.device.0.to_be_bytes());
    out.extend(saved.attempt.to_be_bytes());
    out.push(u8::from(saved.position.is_some()));
    let position = saved.position.unwrap_or(Position {
        epoch: 0,
        cursor: 0,
    });
    out.extend(position.epoch.to_be_bytes());
    out.extend(position.cursor.to_be_bytes());
    out.extend(saved.last_id.to_be_bytes());
    out.extend(length(saved.outbox.len()));
    for message in &saved.outbox {
        out.extend(message.client_msg_id.to_be_bytes());
        out.extend(message.conversation.to_wire().to_be_bytes());
        out.push(message.kind.0);
        out.extend(length(message.payload.len()));
        out.extend(&message.payload);
    }
    out
}

fn length(length: usize) -> [u8; 4] {
    let length = u32::try_from(length).expect("outbox and payload are bounded far below 2^32");
    length.to_be_bytes()
}

fn parse(bytes: &[u8]) -> Option<Saved> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let device = DeviceId(u64(&mut rest)?);
    let attempt = u32(&mut rest)?;
    let has_position = u8(&mut rest)? == 1;
    let (epoch, cursor) = (u64(&mut rest)?, u64(&mut rest)?);
    let last_id = u64(&mut rest)?;
    let count = u32(&mut rest)?;
    let outbox: Option<Vec<Stored>> = (0..count).map(|_| stored(&mut rest)).collect();
    rest.is_empty().then_some(Saved {
        device,
        attempt,
        position: has_position.then_some(Position { epoch, cursor }),
        last_id,
        outbox: outbox?,
    })
}

fn stored(rest: &mut &[u8]) -> Option<Stored> {
    let client_msg_id = u64(rest)?;
    let conversation = Conversation::from_wire(u64(rest)?)?;
    let kind = Kind(u8(rest)?);
    let bytes = usize::try_from(u32(rest)?).ok()?;
    let payload = rest.split_off(..bytes)?.to_vec();
    Some(Stored {
        client_msg_id,
        conversation,
        kind,
        payload,
    })
}

fn u64(rest: &mut &[u8]) -> Option<u64> {
    let bytes = rest.split_off(..8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn u32(rest: &mut &[u8]) -> Option<u32> {
    let bytes = rest.split_off(..4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn u8(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(client_msg_id: u64) -> Stored {
        Stored {
            client_msg_id,
            conversation: Conversation::Group(5),
            kind: Kind(3),
            payload: vec![1, 2, 3],
        }
    }

    #[test]
    fn what_was_applied_is_there_for_the_next_process() {
        let folder = std::env::temp_dir().join(format!("millpond-client-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("state");
        let mut first = FileStorage::new(&path);
        let device = first.load().unwrap().device;
        let position = Position {
            epoch: 9,
            cursor: 7,
        };
        first
            .apply(&[Change::Attempt(4), Change::Position(position)])
            .unwrap();
        first
            .apply(&[Change::Added(message(70)), Change::Added(message(71))])
            .unwrap();
        first.apply(&[Change::Removed(70)]).unwrap();

        let mut second = FileStorage::new(&path);
        let expected = Saved {
            device,
            attempt: 4,
            position: Some(position),
            last_id: 71,
            outbox: vec![message(71)],
        };
        assert_eq!(second.load().unwrap(), expected);

        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = FileStorage::new(&path).load().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{cut}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
