//! A listener whose connections cannot cost more than their bounds: so many at once, so many bytes of request, so long.
//!
//! The bounds sit below HTTP, in the socket itself, so that they hold whatever the bytes are: a slow trickle, an endless
//! head, a reader that never reads. Beyond the number of connections the kernel's backlog holds clients back.

use axum::serve::Listener;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// What the admin address may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Connections at once; more wait in the backlog.
    pub connections: usize,
    /// Bytes one connection may send: the head of one request, there are no bodies.
    pub request_bytes: usize,
    /// Time from accept to close.
    pub lifetime: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            request_bytes: 8 * 1024,
            lifetime: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
pub(crate) struct BoundedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    bounds: Bounds,
}

impl BoundedListener {
    pub(crate) fn new(listener: TcpListener, bounds: Bounds) -> Self {
        let permits = Arc::new(Semaphore::new(bounds.connections));
        Self {
            listener,
            permits,
            bounds,
        }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let io = BoundedStream {
            stream,
            bytes_left: self.bounds.request_bytes,
            deadline: Box::pin(tokio::time::sleep(self.bounds.lifetime)),
            _permit: permit,
        };
        (io, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[derive(Debug)]
pub(crate) struct BoundedStream {
    stream: TcpStream,
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn check_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let arrived = buffer.filled().len() - before;
        let Some(left) = self.bytes_left.checked_sub(arrived) else {
            return Poll::Ready(Err(io::Error::other("the request is too long")));
        };
        self.bytes_left = left;
        read
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_deadline(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
