//! tokio-uring: a task per connection. Its stream has no way to wait without a buffer, so an idle connection owns one
//! read buffer: that is what its user pays.

use millpond_baselines::{READ_BYTES, announce, listener};
use tokio_uring::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let mut builder = tokio_uring::builder();
    builder.entries(4096).start(serve())
}

async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener()?);
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio_uring::spawn(echo(stream));
    }
}

/// Until either side is done; a connection that fails is dropped.
async fn echo(stream: TcpStream) {
    use tokio_uring::buf::BoundedBuf;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let Ok(count @ 1..) = read else { return };
        let (written, slice) = stream.write_all(filled.slice(..count)).await;
        if written.is_err() {
            return;
        }
        buffer = slice.into_inner();
    }
}
