//! The socket: being made, up, or not there. Waiting for it can be cancelled at any point without losing a byte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes read from the socket at a time.
const READ_BYTES: usize = 64 * 1024;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

pub(super) enum Link {
    Down,
    Connecting(Connecting),
    Up {
        stream: TcpStream,
        /// What is not yet written, from `written` on.
        output: Vec<u8>,
        written: usize,
    },
}

/// What has happened to the link.
pub(super) enum Turn {
    Connected,
    /// This many bytes of the buffer are new.
    Read(usize),
    /// All output is written.
    Written,
    /// The end; an error says how, if it was not a plain one.
    Ended(Option<io::Error>),
}

impl Link {
    pub(super) fn connect(address: String) -> Self {
        Self::Connecting(Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }))
    }

    /// Whether all that was given has been written.
    pub(super) fn is_drained(&self) -> bool {
        match self {
            Self::Down | Self::Connecting(_) => true,
            Self::Up {
                output, written, ..
            } => *written == output.len(),
        }
    }

    /// Takes the next bytes to write, when the last are gone.
    pub(super) fn give(&mut self, bytes: Vec<u8>) {
        if let Self::Up {
            output, written, ..
        } = self
        {
            assert_eq!(*written, output.len(), "one write at a time");
            *output = bytes;
            *written = 0;
        }
    }

    /// Waits until something happens; for ever when there is no link.
    pub(super) async fn turn(&mut self, read: bool, buffer: &mut Vec<u8>) -> Turn {
        match self {
            Self::Down => std::future::pending().await,
            Self::Connecting(connecting) => {
                let stream = connecting.await;
                self.connected(stream)
            }
            Self::Up {
                stream,
                output,
                written,
            } => {
                let turn = transfer(stream, read, output, written, buffer).await;
                turn.unwrap_or_else(|error| Turn::Ended(Some(error)))
            }
        }
    }

    fn connected(&mut self, stream: io::Result<TcpStream>) -> Turn {
        match stream {
            Ok(stream) => {
                *self = Self::Up {
                    stream,
                    output: Vec::new(),
                    written: 0,
                };
                Turn::Connected
            }
            Err(error) => {
                *self = Self::Down;
                Turn::Ended(Some(error))
            }
        }
    }

    /// Writes the rest and `last_words`, as far as that goes without waiting, and closes.
    pub(super) fn close(&mut self, last_words: &[u8]) {
        let link = std::mem::replace(self, Self::Down);
        if let Self::Up {
            stream,
            output,
            written,
        } = link
            && !last_words.is_empty()
        {
            let words = [&output[written..], last_words].concat();
            // The connection is given up either way; what does not fit into the socket's buffer is lost.
            let _written = stream.try_write(&words);
        }
    }
}

async fn transfer(
    stream: &TcpStream,
    read: bool,
    output: &[u8],
    written: &mut usize,
    buffer: &mut Vec<u8>,
) -> io::Result<Turn> {
    loop {
        let write = *written < output.len();
        let interest = match (read, write) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return std::future::pending().await,
        };
        let ready = stream.ready(interest).await?;
        if write && ready.is_writable() {
            match stream.try_write(&output[*written..]) {
                Ok(bytes) => *written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if *written == output.len() {
                return Ok(Turn::Written);
            }
        }
        if read && ready.is_readable() {
            buffer.resize(READ_BYTES, 0);
            match stream.try_read(buffer) {
                Ok(0) => return Ok(Turn::Ended(None)),
                Ok(bytes) => return Ok(Turn::Read(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
