//! A TCP proxy that can eat answers: what the caller says arrives, what it is told does not.
//!
//! It stands between gateways and their host, to lose the answer to what was committed.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};

/// Read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A running proxy. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    eats: watch::Sender<bool>,
    eaten: Arc<AtomicU64>,
    // Closed by dropping it; the proxy's thread ends with its runtime then.
    _running: oneshot::Sender<Infallible>,
}

impl Proxy {
    /// Starts one on a free port that passes everything on to `target`, and back.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (eats, look) = watch::channel(false);
        let eaten = Arc::<AtomicU64>::default();
        let (running, stop) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let count = Arc::clone(&eaten);
        thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, target, look, count) => {}
                    _ = stop => {}
                }
            });
        })?;
        Ok(Self { address, eats, eaten, _running: running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Eats answers from now on, or passes them again.
    ///
    /// A connection that lost a part of its answers is cut then: half an answer is none.
    pub fn eat(&self, eats: bool) {
        self.eats.send_replace(eats);
    }

    /// Bytes eaten so far.
    pub fn eaten(&self) -> u64 {
        self.eaten.load(Ordering::Relaxed)
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    eats: watch::Receiver<bool>,
    eaten: Arc<AtomicU64>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    loop {
        let Ok((caller, _)) = listener.accept().await else {
            continue;
        };
        let (eats, eaten) = (eats.clone(), Arc::clone(&eaten));
        tokio::spawn(async move {
            // Nobody there: the caller finds its connection closed.
            if let Ok(target) = TcpStream::connect(target).await {
                carry(caller, target, eats, &eaten).await;
            }
        });
    }
}

/// Until either side ends, or has to.
async fn carry(
    caller: TcpStream,
    target: TcpStream,
    eats: watch::Receiver<bool>,
    eaten: &AtomicU64,
) {
    for stream in [&caller, &target] {
        // Small messages, each waited for.
        let _ = stream.set_nodelay(true);
    }
    let (mut from_caller, to_caller) = caller.into_split();
    let (from_target, mut to_target) = target.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_caller, &mut to_target) => {}
        _ = answers(from_target, to_caller, eats, eaten) => {}
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut eats: watch::Receiver<bool>,
    eaten: &AtomicU64,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut torn = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut chunk) => read?,
            _ = eats.changed(), if torn => return Ok(()),
        };
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        if *eats.borrow_and_update() {
            eaten.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
            torn = true;
        } else if torn {
            return Ok(());
        } else {
            to.write_all(bytes).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_said_arrives_and_what_is_eaten_does_not() {
        let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Proxy::start(target.local_addr().unwrap()).unwrap();
        let connect = || {
            let caller = TcpStream::connect(proxy.address()).unwrap();
            caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            (caller, target.accept().unwrap().0)
        };
        let read = |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.read(&mut byte).map(|count| byte.get(..count).unwrap().to_vec())
        };

        let (mut caller, mut there) = connect();
        caller.write_all(b"a").unwrap();
        assert_eq!(read(&mut there).unwrap(), b"a");
        there.write_all(b"b").unwrap();
        assert_eq!(read(&mut caller).unwrap(), b"b");

        proxy.eat(true);
        let (mut second, mut there_too) = connect();
        second.write_all(b"c").unwrap();
        assert_eq!(read(&mut there_too).unwrap(), b"c");
        there_too.write_all(b"d").unwrap();
        while proxy.eaten() == 0 {
            thread::yield_now();
        }
        // What lost nothing goes on; what lost something is cut, and heard nothing before.
        proxy.eat(false);
        assert_eq!(read(&mut second).unwrap_or_default(), b"");
        there.write_all(b"e").unwrap();
        assert_eq!(read(&mut caller).unwrap(), b"e");
    }
}
