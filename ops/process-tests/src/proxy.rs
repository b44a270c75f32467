//! A way between two programs that breaks: it passes bytes on, and cuts connections in the middle of
//! what they carry.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 4 << 10;
/// While it cuts, a connection carries no more than so many bytes in a direction: a few frames, and a
/// part of one.
const BYTES_BEFORE_CUT: std::ops::Range<usize> = 1..20_000;

/// A port that passes connections on to a program, as long as it stands.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    /// Dropped to end the thread.
    _alive: tokio::sync::oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    target: OnceLock<String>,
    cuts: AtomicU64,
    cutting: AtomicBool,
}

impl Proxy {
    /// Opens a port on loopback; where it leads is told later.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn open(seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let (alive, ended) = tokio::sync::oneshot::channel();
        let (tell, told) = mpsc::channel();
        let passing = Arc::clone(&shared);
        let name = "proxy".to_owned();
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("it is bound");
                tell.send(address.to_string()).expect("somebody waits");
                tokio::select! {
                    () = accept(listener, passing, seed) => {}
                    _ = ended => {}
                }
            });
        });
        drop(spawned.expect("a thread"));
        Self {
            address: told.recv().expect("the thread tells its port"),
            shared,
            _alive: alive,
        }
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Leads to the program that listens there, from now on and for good.
    pub fn lead_to(&self, target: &str) {
        self.shared.target.get_or_init(|| target.to_owned());
    }

    /// Cuts connections after some bytes, or no longer.
    pub fn cut(&self, cutting: bool) {
        self.shared.cutting.store(cutting, Ordering::Relaxed);
    }

    /// How many connections were cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    while let Ok((caller, _)) = listener.accept().await {
        let allowances = [(); 2].map(|()| random.random_range(BYTES_BEFORE_CUT));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Who cannot be reached, or goes, is missed by the other side.
            let _ = pass_on(caller, &shared, allowances).await;
        });
    }
}

async fn pass_on(caller: TcpStream, shared: &Shared, allowances: [usize; 2]) -> io::Result<()> {
    let Some(target) = shared.target.get() else {
        return Ok(());
    };
    let called = TcpStream::connect(target).await?;
    caller.set_nodelay(true)?;
    called.set_nodelay(true)?;
    // Unread bytes are thrown away with the connection, as when a machine dies.
    caller.set_zero_linger()?;
    called.set_zero_linger()?;
    let (from_caller, to_caller) = caller.into_split();
    let (from_called, to_called) = called.into_split();
    tokio::select! {
        ended = pass_bytes(from_caller, to_called, shared, allowances[0]) => ended,
        ended = pass_bytes(from_called, to_caller, shared, allowances[1]) => ended,
    }
}

async fn pass_bytes(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    mut allowance: usize,
) -> io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        if !shared.cutting.load(Ordering::Relaxed) {
            to.write_all(&bytes[..count]).await?;
            continue;
        }
        let passed = count.min(allowance);
        to.write_all(&bytes[..passed]).await?;
        allowance -= passed;
        if allowance == 0 {
            // What was passed on is to arrive before the connection breaks.
            tokio::time::sleep(Duration::from_millis(1)).await;
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
    }
}
