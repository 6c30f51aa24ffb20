//! A receiver of OTLP over HTTP that takes everything, counts the bytes that came in, and keeps the newest request. Who sends,
//! and what, is not known here.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What an answer of success is.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// What came in since it was last asked.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// Requests.
    pub requests: u64,
    /// Bytes on the wire: heads and bodies.
    pub bytes: u64,
    /// The body of the newest request.
    pub body: Vec<u8>,
}

/// A sink on a free port; its thread ends with the process.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Sink {
    /// Listens.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Received::default()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(take_all(stream, &shared))); // a client that leaves ends it
            }
        });
        Ok(Self { address, received })
    }

    /// The base of its URLs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came in since the last call. A request whose answer was read is in it.
    pub fn take(&self) -> Received {
        self.received.lock().map(|mut received| std::mem::take(&mut *received)).unwrap_or_default()
    }
}

fn take_all(mut stream: TcpStream, shared: &Mutex<Received>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 << 20); // so that the sender's allocations are the only ones
    let mut chunk = vec![0; 256 << 10];
    loop {
        let (body_at, end) = loop {
            if let Some(found) = frame(&buffer).filter(|(_, end)| buffer.len() >= *end) {
                break found;
            }
            match stream.read(&mut chunk)? {
                0 => return Ok(()),
                read => buffer.extend_from_slice(&chunk[..read]),
            }
        };
        if let Ok(mut received) = shared.lock() {
            received.requests += 1;
            received.bytes += end as u64;
            received.body.clear();
            received.body.extend_from_slice(&buffer[body_at..end]);
        }
        buffer.drain(..end);
        stream.write_all(ANSWER)?;
    }
}

/// Where the body of the first request begins, and where it ends.
fn frame(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let length = String::from_utf8_lossy(&buffer[..head]).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    Some((head + 4, head + 4 + length))
}
