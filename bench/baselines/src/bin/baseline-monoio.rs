//! Monoio: a task per connection on io_uring. While a connection is idle its task waits for readability and holds no
//! buffer; one is made for the read and given up after the write.

use millpond_baselines::{READ_BYTES, announce, listener};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096);
    runtime.build()?.block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener()?)?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(echo(stream));
    }
}

/// Until either side is done; a connection that fails is dropped.
async fn echo(mut stream: TcpStream) {
    while stream.readable(false).await.is_ok() {
        let (read, buffer) = stream.read(Vec::with_capacity(READ_BYTES)).await;
        if !read.is_ok_and(|count| count > 0) {
            return;
        }
        let (written, _) = stream.write_all(buffer).await;
        if written.is_err() {
            return;
        }
    }
}
