//! Tokio: a task per connection. While a connection is idle its task holds no buffer: it waits until there is something,
//! then reads into memory on the stack.

use millpond_baselines::{READ_BYTES, announce, listener};
use std::io::ErrorKind;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

/// Until either side is done; a connection that fails is dropped.
async fn echo(mut stream: TcpStream) {
    while stream.readable().await.is_ok() {
        match read(&stream) {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Out of the task: what lives across an await is part of every idle connection.
fn read(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut buffer = [0; READ_BYTES];
    let count = stream.try_read(&mut buffer)?;
    Ok(buffer[..count].to_vec())
}
