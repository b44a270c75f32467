//! The thread that answers HTTP requests, and how many connections it takes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use kv_common::id::Address;
use kv_net::{ListenError, listen};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

/// Connections at a time; who comes then waits in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// After a failure that will not have passed at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Why nothing is shown over HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no thread or socket.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// The running thread.
#[derive(Debug)]
pub struct HttpServer {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    address: SocketAddr,
}

impl HttpServer {
    /// Serves `router` at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When it cannot listen there, or the system has no thread left.
    pub fn spawn(address: &Address, router: Router) -> Result<Self, HttpError> {
        let address = address.clone();
        // On the new thread: a thread that runs tasks cannot wait for others.
        Self::spawn_with(async move || Ok(listen(&address).await?), router)
    }

    /// Serves `router` on a socket that listens already.
    ///
    /// # Errors
    /// When the socket cannot be used, or the system has no thread left.
    pub fn spawn_on(listener: std::net::TcpListener, router: Router) -> Result<Self, HttpError> {
        let open = async move || {
            listener.set_nonblocking(true)?;
            Ok(TcpListener::from_std(listener)?)
        };
        Self::spawn_with(open, router)
    }

    fn spawn_with<O>(open: O, router: Router) -> Result<Self, HttpError>
    where
        O: AsyncFnOnce() -> Result<TcpListener, HttpError> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (opened, opening) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                let (listener, bound) = match runtime.block_on(open()) {
                    Ok(listener) => {
                        let bound = listener.local_addr().map_err(HttpError::from);
                        (Some(listener), bound)
                    }
                    Err(error) => (None, Err(error)),
                };
                // Who asked waits for it.
                let _ = opened.send(bound);
                if let Some(listener) = listener {
                    runtime.block_on(serve(listener, router, stopped));
                }
            })?;
        let gone = || HttpError::System(io::Error::other("the thread ended before it began"));
        let address = opening.recv().map_err(|_| gone())??;
        Ok(Self {
            stop,
            thread,
            address,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection and ends the thread.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that answers HTTP requests ended by a panic");
        }
    }
}

async fn serve(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let listener = BoundedListener {
        listener,
        free: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    };
    tokio::select! {
        _ = stopped => {}
        ended = axum::serve(listener, router) => if let Err(error) = ended {
            tracing::error!(%error, "nothing is shown over HTTP any more");
        },
    }
}

/// Takes a connection when there is room for it.
struct BoundedListener {
    listener: TcpListener,
    free: Arc<Semaphore>,
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // It is closed by nobody, so there is always a permit in the end.
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else {
                std::future::pending::<()>().await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let _permit = permit;
                    return (BoundedStream { stream, _permit }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection cannot be taken");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that counts for as long as it is open.
struct BoundedStream {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
