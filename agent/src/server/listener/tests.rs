//! The endpoint over real sockets: what is served, to whom, and what slow or hostile clients can do.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as Client;
use std::sync::mpsc;
use std::thread::JoinHandle;

use heartline_shared::snapshot::{Family, NumberSeries};
use heartline_shared::{Kind, Labels, Snapshot};
use tokio::sync::oneshot;

use super::super::connections::CONNECTIONS_MAX;
use super::super::token::Token;
use super::*;
use crate::clock::Stamp;
use crate::signals::Overall;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(20);

struct Fixed {
    snapshot: Arc<Snapshot>,
    overall: Overall,
}

impl Source for Fixed {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    fn overall(&self) -> Overall {
        self.overall
    }
}

/// An endpoint on a thread of its own; it ends with the value.
struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().map(JoinHandle::join);
    }
}

fn options() -> Options {
    Options {
        address: Listen::Tcp("127.0.0.1:0".parse().unwrap()),
        policy: Policy::default(),
        tls: None,
        insecure_remote: false,
        deadlines: Deadlines::default(),
    }
}

fn with_read_token() -> Policy {
    Policy { read_token: Some(Token::new(TOKEN)), ..Policy::default() }
}

fn small() -> Snapshot {
    let numbers = vec![NumberSeries { labels: Labels::empty(), value: 5.0 }];
    let name = "process.uptime".into();
    let uptime = Family { name, kind: Kind::Gauge, unit: "s".into(), help: None, numbers, histograms: vec![] };
    Snapshot { schema_version: 1, service: "shop".to_owned(), seq: 7, metrics: vec![uptime], ..Snapshot::default() }
}

/// A page far larger than the kernel keeps for a client that does not read.
fn large() -> Snapshot {
    let series = |at: u32| NumberSeries {
        labels: Labels::from_pairs([("key", format!("{at:07}{}", "x".repeat(240)))]),
        value: f64::from(at),
    };
    let numbers = (0..60_000).map(series).collect();
    let name = "orders".into();
    let orders = Family { name, kind: Kind::Gauge, unit: "".into(), help: None, numbers, histograms: vec![] };
    Snapshot { metrics: vec![orders], ..small() }
}

fn serve(options: Options, snapshot: Snapshot, overall: Overall) -> Served {
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bound = BoundAddress::default();
            let endpoint = Endpoint::bind(options, Arc::clone(&bound));
            tell.send(bound.lock().expect("a free port")).unwrap();
            let source = Arc::new(Fixed { snapshot: Arc::new(snapshot), overall });
            tokio::select! {
                () = endpoint.serve(source) => {}
                _ = stopped => {}
            }
        });
    });
    Served { address: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
}

impl Served {
    fn connect(&self) -> Client {
        let client = Client::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Sends `head` with `Host` and `Connection: close` and reads to the end.
    fn ask(&self, head: &str) -> String {
        let mut client = self.connect();
        let mut lines = head.lines();
        let first = lines.next().unwrap();
        let host = if head.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.address) };
        let rest: Vec<&str> = lines.chain(["Connection: close"]).collect();
        let request = format!("{first} HTTP/1.1\r\n{host}{}\r\n\r\n", rest.join("\r\n"));
        match client.write_all(request.as_bytes()) {
            // a server that refuses may close before it has read everything: its answer is there all the same
            Err(error) if [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&error.kind()) => {}
            written => written.unwrap(),
        }
        read_all(&mut client)
    }
}

/// Everything until the connection ends, in whichever way.
fn read_all(client: &mut Client) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8_192];
    loop {
        match client.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap()
}

#[test]
fn serves_each_document_with_its_type() {
    let served = serve(options(), small(), Overall::Healthy);
    for (path, content_type, part) in [
        ("/health", "application/json", r#""status":"healthy""#),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz?verbose", "text/plain; charset=utf-8", "ok\n"),
        ("/startupz", "text/plain; charset=utf-8", "ok\n"),
        ("/-/healthy", "text/plain; charset=utf-8", "ok\n"),
        ("/-/ready", "text/plain; charset=utf-8", "ok\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "process_uptime_seconds 5\n"),
        ("/api/v1/snapshot", "application/json", r#""seq":7"#),
        ("/api/v1/catalogue", "application/json", "http_server_request_duration_seconds"),
        ("/api/v1/info", "application/json", r#""service":"shop""#),
    ] {
        let answer = served.ask(&format!("GET {path}"));
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert!(body(&answer).contains(part), "{answer}");
    }
    let snapshot = served.ask("GET /api/v1/snapshot");
    assert_eq!(serde_json::from_str::<Snapshot>(body(&snapshot)).unwrap(), small());
    let draft = served.ask("GET /health\nAccept: application/health+json");
    assert!(draft.contains(r#""status":"pass""#), "{draft}");
    assert!(!served.ask("GET /metrics?name[]=nothing").contains("process_uptime"));
}

#[test]
fn an_unhealthy_service_answers_503_and_stays_alive() {
    let served = serve(options(), small(), Overall::Unhealthy);
    assert_eq!(status(&served.ask("GET /health")), 503);
    assert_eq!(status(&served.ask("GET /livez")), 200);
}

#[test]
fn wrong_paths_and_methods_are_problem_documents() {
    let served = serve(options(), small(), Overall::Healthy);
    let missing = served.ask("GET /nothing");
    assert_eq!(status(&missing), 404);
    assert!(missing.contains("content-type: application/problem+json\r\n"), "{missing}");
    let wrong = served.ask("DELETE /metrics");
    assert_eq!(status(&wrong), 405);
    assert!(wrong.contains("allow: GET, HEAD\r\n"), "{wrong}");
    assert_eq!(status(&served.ask("POST /api/v1/snapshot\nContent-Length: 0")), 405);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let served = serve(options(), small(), Overall::Healthy);
    let (get, head) = (served.ask("GET /metrics"), served.ask("HEAD /metrics"));
    let length = format!("content-length: {}\r\n", body(&get).len());
    assert_eq!(status(&head), 200);
    assert!(head.contains(&length) && body(&head).is_empty(), "{head}");
}

#[test]
fn with_a_token_only_health_is_open() {
    let served = serve(Options { policy: with_read_token(), ..options() }, small(), Overall::Healthy);
    for path in ["/metrics", "/api/v1/snapshot", "/api/v1/catalogue", "/api/v1/info"] {
        let refused = served.ask(&format!("GET {path}"));
        assert_eq!(status(&refused), 401, "{refused}");
        assert!(refused.contains("www-authenticate: Bearer"), "{refused}");
        assert_eq!(status(&served.ask(&format!("GET {path}\nAuthorization: Bearer wrong"))), 401);
        assert_eq!(status(&served.ask(&format!("GET {path}\nAuthorization: Bearer {TOKEN}"))), 200);
    }
    for path in ["/health", "/livez", "/readyz", "/-/healthy", "/-/ready"] {
        assert_eq!(status(&served.ask(&format!("GET {path}"))), 200);
    }
}

#[test]
fn foreign_hosts_and_origins_get_no_answer() {
    let served = serve(options(), small(), Overall::Healthy);
    for head in ["GET /metrics\nHost: evil.example", "GET /api/v1/snapshot\nOrigin: http://evil.example"] {
        let refused = served.ask(head);
        assert_eq!(status(&refused), 403, "{refused}");
        assert!(!refused.contains("process_uptime"), "{refused}");
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let served = serve(options(), small(), Overall::Healthy);
    let answer = served.ask(&format!("GET /metrics\nCookie: {}", "x".repeat(3 * HEAD_BYTES_MAX)));
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    assert_eq!(status(&served.ask("GET /metrics")), 200);
}

#[test]
fn a_client_that_never_finishes_its_request_is_ended_at_the_deadline() {
    let deadlines = Deadlines { head: Duration::from_millis(200), ..Deadlines::default() };
    let served = serve(Options { deadlines, ..options() }, small(), Overall::Healthy);
    let mut slow = served.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").unwrap();
    assert_eq!(read_all(&mut slow), "");
}

#[test]
fn a_client_that_never_fetches_its_answer_is_ended_at_the_deadline() {
    let deadlines = Deadlines { answer: Duration::from_millis(200), ..Deadlines::default() };
    let served = serve(Options { deadlines, ..options() }, large(), Overall::Healthy);
    let mut slow = served.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let started = Stamp::now();
    // Honest clients are served meanwhile, and their answers take the time that the deadline needs to pass.
    while started.elapsed() < Duration::from_secs(2) {
        assert_eq!(status(&served.ask("GET /health")), 200);
    }
    let page = read_all(&mut slow);
    let promised: usize = page.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    assert!(body(&page).len() < promised, "{promised} bytes were sent although nobody read them");
}

#[test]
fn a_full_house_makes_room_for_an_honest_client() {
    let served = serve(options(), small(), Overall::Healthy);
    let mut slow: Vec<Client> = (0..CONNECTIONS_MAX).map(|_| served.connect()).collect();
    for client in &mut slow {
        client.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").unwrap();
    }
    let started = Stamp::now();
    assert_eq!(status(&served.ask("GET /metrics")), 200);
    assert!(started.elapsed() < Duration::from_secs(4), "sooner than the deadline for heads could have helped");
    assert_eq!(read_all(&mut slow[0]), "", "the one that waited longest lost its place");
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let served = serve(options(), small(), Overall::Healthy);
    let mut client = served.connect();
    for _ in 0..3 {
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
}

#[test]
fn other_machines_need_a_token_and_a_word_that_it_may_cross_the_network() {
    let anywhere = Options { address: Listen::Tcp("0.0.0.0:0".parse().unwrap()), ..options() };
    assert!(anywhere.refusal().unwrap().contains("read token"));
    let with_token = Options { policy: with_read_token(), ..anywhere.clone() };
    assert!(with_token.refusal().unwrap().contains("unencrypted"));
    assert!(Options { insecure_remote: true, ..anywhere }.refusal().is_some());
    assert_eq!(Options { insecure_remote: true, ..with_token.clone() }.refusal(), None);
    let files = Some(TlsFiles::default());
    assert_eq!(Options { tls: files.clone(), ..with_token.clone() }.refusal(), None);
    let admin_only = Policy { admin_token: Some(Token::new(TOKEN)), ..Policy::default() };
    let unread = Options { tls: files, policy: admin_only, ..with_token };
    assert!(unread.refusal().unwrap().contains("read token"), "an admin token closes no reading");
    assert_eq!(options().refusal(), None);
}

#[test]
fn a_unix_socket_is_for_its_owner_and_an_abandoned_one_is_taken_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heartline.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // what a killed process leaves
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = Options { address: Listen::Unix(path.clone()), ..options() };
        let endpoint = Endpoint::bind(options, BoundAddress::default());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let source = Arc::new(Fixed { snapshot: Arc::new(small()), overall: Overall::Healthy });
        let serving = tokio::spawn(endpoint.serve(source));
        let socket = path.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let mut client = std::os::unix::net::UnixStream::connect(socket).unwrap();
            client.write_all(b"GET /livez HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        });
        assert_eq!(status(&asked.await.unwrap()), 200);
        serving.abort();
        let _ = serving.await;
    });
    assert!(!path.exists(), "the socket goes with the endpoint");
}

#[cfg(feature = "tls")]
#[path = "../../../tests/hostile/signed.rs"]
mod signed;

#[cfg(feature = "tls")]
mod encrypted {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    use super::signed::{Signed, signed};
    use super::*;

    /// What a client that trusts `ours` gets, presenting the certificate of `client` if there is one.
    fn ask(served: &Served, ours: &Signed, client: Option<&Signed>) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ours.authority.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(served.address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
    }

    fn files(folder: &std::path::Path, signed: &Signed, client_authority: Option<&Signed>) -> TlsFiles {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            certificate: write("certificate.pem", &signed.certificate),
            key: write("key.pem", &signed.key),
            client_authority: client_authority.map(|signed| write("clients.pem", &signed.authority)),
        }
    }

    #[test]
    fn tls_is_served_and_nothing_else_on_that_port() {
        let (folder, ours) = (tempfile::tempdir().unwrap(), signed());
        let tls = Some(files(folder.path(), &ours, None));
        let served = serve(Options { tls, ..options() }, small(), Overall::Healthy);
        assert_eq!(status(&ask(&served, &ours, None).unwrap()), 200);
        assert!(!served.ask("GET /livez").contains("200"), "HTTP without TLS");
        assert!(ask(&served, &signed(), None).is_err(), "another authority is not trusted");
    }

    #[test]
    fn a_client_without_a_certificate_of_the_authority_gets_nothing() {
        let (folder, ours, clients) = (tempfile::tempdir().unwrap(), signed(), signed());
        let tls = Some(files(folder.path(), &ours, Some(&clients)));
        let served = serve(Options { tls, ..options() }, small(), Overall::Healthy);
        assert_eq!(status(&ask(&served, &ours, Some(&clients)).unwrap()), 200);
        for client in [None, Some(signed())] {
            assert!(ask(&served, &ours, client.as_ref()).is_err());
        }
    }

    #[test]
    fn a_changed_certificate_is_read_and_a_broken_one_is_not() {
        let (folder, first, second) = (tempfile::tempdir().unwrap(), signed(), signed());
        let tls = Tls::read(files(folder.path(), &first, None)).unwrap();
        assert_eq!(tls.read_again(), Ok(false));
        let later = std::time::UNIX_EPOCH + Duration::from_hours(1);
        let touch = |name: &str, at| {
            std::fs::File::options().append(true).open(folder.path().join(name)).unwrap().set_modified(at).unwrap();
        };
        std::fs::write(folder.path().join("key.pem"), "half of a k").unwrap();
        touch("key.pem", later);
        assert!(tls.read_again().unwrap_err().contains("key.pem"));
        assert_eq!(tls.read_again(), Ok(false), "told once");
        let _ = files(folder.path(), &second, None);
        touch("key.pem", later + Duration::from_secs(1));
        assert_eq!(tls.read_again(), Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_taken_port_is_tried_again_until_it_is_free() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bound = BoundAddress::default();
    let endpoint = Endpoint::bind(Options { address: Listen::Tcp(address), ..options() }, Arc::clone(&bound));
    assert_eq!(*bound.lock(), None);
    let source = Arc::new(Fixed { snapshot: Arc::new(small()), overall: Overall::Healthy });
    let serving = tokio::spawn(endpoint.serve(source));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(*bound.lock(), None);
    drop(taken);
    sleep(RETRY_PAUSE_MAX).await;
    assert_eq!(*bound.lock(), Some(address));
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert_eq!(*bound.lock(), None, "nothing listens any more");
}
