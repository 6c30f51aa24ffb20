//! Every address with every token and every TLS: which of them are opened, what is served there, and that a host whose
//! address is refused goes on. What must happen follows from the rules in this file.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use heartline::Agent;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use super::host::{ADMIN_TOKEN, READ_TOKEN};
use super::signed::{Signed, signed};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq)]
enum Bind {
    /// An address that only this machine reaches.
    Loopback(&'static str),
    /// One that others reach: all of them, or one of this machine's own.
    Network(String),
    Unix,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Tls {
    Off,
    On,
    /// With certificates of clients.
    Mutual,
}

#[derive(Debug, Clone)]
struct Case {
    bind: Bind,
    read: bool,
    admin: bool,
    tls: Tls,
    /// Whether the host said that its token may cross the network as it is.
    insecure: bool,
}

impl Case {
    /// The rule: other machines are served with a read token only, and that only where nobody can overhear it, or where
    /// the host said that this does not matter. An admin token alone closes no reading.
    fn opens(&self) -> bool {
        !matches!(self.bind, Bind::Network(_)) || self.read && (self.tls != Tls::Off || self.insecure)
    }

    /// A unix socket cannot be overheard: what goes over it is not encrypted.
    fn encrypts(&self) -> bool {
        self.tls != Tls::Off && self.bind != Bind::Unix
    }
}

/// What all cases share.
struct World {
    folder: tempfile::TempDir,
    server: Signed,
    client: Signed,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), server: signed(), client: signed() };
        let texts = [&world.server.certificate, &world.server.key, &world.client.authority];
        for (name, text) in ["certificate.pem", "key.pem", "clients.pem"].into_iter().zip(texts) {
            std::fs::write(world.path(name), text).unwrap();
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a client of the server's authority gets, with a certificate of its own or without.
    fn over_tls(&self, address: SocketAddr, certified: bool, head: &str) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.server.authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = if certified {
            let chain = vec![CertificateDer::from_pem_slice(self.client.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(self.client.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        exchange(StreamOwned::new(session, connected(address)), head)
    }

    fn start(&self, case: &Case, address: &str) -> Agent {
        let mut builder = Agent::builder("host").listen(address).insecure_remote(case.insecure);
        if case.read {
            builder = builder.read_token(READ_TOKEN);
        }
        if case.admin {
            builder = builder.admin_token(ADMIN_TOKEN);
        }
        if case.tls != Tls::Off {
            builder = builder.tls(self.path("certificate.pem"), self.path("key.pem"));
        }
        if case.tls == Tls::Mutual {
            builder = builder.tls_client_authority(self.path("clients.pem"));
        }
        builder.start().unwrap()
    }
}

fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn exchange(mut stream: impl std::io::Read + std::io::Write, head: &str) -> std::io::Result<String> {
    write!(stream, "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
}

/// A port that nobody uses at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every kind of address that this machine has.
fn binds() -> Vec<Bind> {
    let mut binds = vec![Bind::Loopback("127.0.0.1"), Bind::Loopback("127.9.8.7"), Bind::Network("0.0.0.0".to_owned())];
    if TcpListener::bind("[::1]:0").is_ok() {
        binds.extend([Bind::Loopback("[::1]"), Bind::Network("[::]".to_owned())]);
    }
    // the address that packets to a network for documentation would leave from; none is sent
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_ok() {
        let own = probe.local_addr().unwrap().ip();
        binds.extend((!own.is_loopback() && !own.is_unspecified()).then(|| Bind::Network(own.to_string())));
    }
    binds.push(Bind::Unix);
    binds
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for bind in binds() {
        for tls in [Tls::Off, Tls::On, Tls::Mutual] {
            for bits in 0..8_u8 {
                let (read, admin, insecure) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                cases.push(Case { bind: bind.clone(), read, admin, tls, insecure });
            }
        }
    }
    cases
}

/// What is served at an opened address.
fn check_served(world: &World, case: &Case, agent: &Agent, socket: &Path) {
    let ask = |head: &str| match (agent.local_addr(), case.encrypts()) {
        (None, _) => exchange(UnixStream::connect(socket).unwrap(), head),
        (Some(address), false) => exchange(connected(reachable(address)), head),
        (Some(address), true) => world.over_tls(reachable(address), case.tls == Tls::Mutual, head),
    };
    assert_eq!(status(&ask("GET /livez").unwrap()), Some(200), "{case:?}");
    assert_eq!(status(&ask("GET /metrics").unwrap()), Some(if case.read { 401 } else { 200 }), "{case:?}");
    let acted = status(&ask("POST /api/v1/metrics/reset").unwrap());
    assert_eq!(acted, Some(if case.admin { 401 } else { 403 }), "{case:?}");
    let Some(address) = agent.local_addr().map(reachable).filter(|_| case.encrypts()) else { return };
    let plain = exchange(connected(address), "GET /livez").unwrap_or_default();
    assert_eq!(status(&plain), None, "{case:?} answers HTTP without TLS: {plain}");
    if case.tls == Tls::Mutual {
        assert!(world.over_tls(address, false, "GET /livez").is_err(), "{case:?} serves who has no certificate");
    }
}

/// An address to connect to.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = if bound.ip().is_unspecified() { [127, 0, 0, 1].into() } else { bound.ip() };
    SocketAddr::new(ip, bound.port())
}

#[test]
fn each_address_is_opened_or_refused_by_its_tokens_and_tls_and_the_host_goes_on() {
    let world = World::new();
    let (mut opened, mut refused) = (0, 0);
    for case in cases() {
        let (socket, port) = (world.path("heartline.sock"), free_port());
        let address = match &case.bind {
            Bind::Loopback(ip) => format!("{ip}:0"),
            Bind::Network(ip) => format!("{ip}:{port}"),
            Bind::Unix => format!("unix:{}", socket.display()),
        };
        let agent = world.start(&case, &address);
        let orders = agent.counter("orders", &[]);
        if case.opens() {
            assert_eq!(agent.local_addr().is_some(), case.bind != Bind::Unix, "{case:?}");
            check_served(&world, &case, &agent, &socket);
            opened += 1;
        } else {
            assert_eq!(agent.local_addr(), None, "{case:?}");
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{case:?} is open");
            refused += 1;
        }
        (0..1_000).for_each(|_| orders.add(1));
        let counted = agent.snapshot().family("orders").unwrap().numbers[0].value;
        assert_eq!(counted, 1_000.0, "{case:?}: the host's own counter goes on");
        agent.shutdown(PATIENCE).unwrap();
        assert!(!socket.exists());
    }
    println!("{opened} combinations were opened, {refused} refused");
    assert!(opened > 0 && refused > 0);
}
