//! Every path with every method, credential, `Host` and `Origin` against real agents. What each combination must get is
//! computed from the rules in this file, which are those of the API's description, and not from the server's code.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use heartline::{ActionOutcome, Agent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::host::{ADMIN_TOKEN, READ_TOKEN};

/// Nothing that needs a token may say it without one.
const SERVICE: &str = "service-behind-tokens";
const LISTED_HOST: &str = "shop.internal";
const LISTED_ORIGIN: &str = "https://ops.example";
/// Agents that are asked at the same time.
const AGENTS_AT_ONCE: usize = 4;
/// Connections of the clients whose tokens are wrong; each waits for its answer.
const WRONG_AT_ONCE: usize = 40;

const METHODS: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"];
/// Paths that look like one and are none.
const NO_PATHS: [&str; 8] = [
    "/",
    "/metrics/",
    "//metrics",
    "/METRICS",
    "/api/v1",
    "/api/v1/actions/",
    "/api/admin/metrics",
    "/api/admin/performancesummary",
];

/// Which tokens the agent was given.
#[derive(Debug, Clone, Copy)]
struct Tokens {
    read: bool,
    admin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Credential {
    Nothing,
    Read,
    Admin,
    Wrong,
    /// The admin token in a scheme that is not `Bearer`.
    OtherScheme,
}

const CREDENTIALS: [Credential; 5] =
    [Credential::Nothing, Credential::Read, Credential::Admin, Credential::Wrong, Credential::OtherScheme];

/// What `Host` says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Host {
    Address,
    AddressV6,
    Localhost,
    Listed,
    Foreign,
    /// A name that begins with an address.
    Disguised,
    /// In a request of HTTP/1.0, which need not say it.
    MissingAsAllowed,
    Missing,
    Twice,
}

const HOSTS: [Host; 9] = [
    Host::Address,
    Host::AddressV6,
    Host::Localhost,
    Host::Listed,
    Host::Foreign,
    Host::Disguised,
    Host::MissingAsAllowed,
    Host::Missing,
    Host::Twice,
];

impl Host {
    fn name(self, port: u16) -> Option<String> {
        match self {
            Self::Address => Some(format!("127.0.0.1:{port}")),
            Self::AddressV6 => Some(format!("[::1]:{port}")),
            Self::Localhost | Self::Twice => Some(format!("localhost:{port}")),
            Self::Listed => Some(format!("{LISTED_HOST}:{port}")),
            Self::Foreign => Some("evil.example".to_owned()),
            Self::Disguised => Some(format!("127.0.0.1.evil.example:{port}")),
            Self::MissingAsAllowed | Self::Missing => None,
        }
    }
}

/// What `Origin` says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Origin {
    Absent,
    /// The endpoint's own page.
    Same,
    Listed,
    Foreign,
    Null,
}

const ORIGINS: [Origin; 5] = [Origin::Absent, Origin::Same, Origin::Listed, Origin::Foreign, Origin::Null];

/// Who may have what is there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    Read,
    ReadAlways,
    Admin,
}

/// What is at a path.
#[derive(Debug, Clone, Copy)]
struct There {
    methods: &'static [&'static str],
    needs: Needs,
    /// The answer to who may have it.
    answer: u16,
}

/// The rules of the paths: the first that fits counts.
fn there(path: &str) -> Option<There> {
    const GET: &[&str] = &["GET", "HEAD"];
    const POST: &[&str] = &["POST"];
    let open = ["/health", "/livez", "/readyz", "/startupz", "/-/healthy", "/-/ready"];
    let acts = ["/metrics/reset", "/cache/warm", "/cache/invalidate", "/jobs/retry", "/jobs/clear"];
    let later = ["/api/v1/advice", "/api/v1/alerts", "/api/v1/rules"];
    Some(if NO_PATHS.contains(&path) {
        return None;
    } else if open.contains(&path) {
        There { methods: GET, needs: Needs::Nothing, answer: 200 }
    } else if acts.iter().any(|act| path.ends_with(act)) || path.starts_with("/api/v1/actions/") {
        There { methods: POST, needs: Needs::Admin, answer: 200 }
    } else if path.starts_with("/api/v1/profile/") {
        // who may have one is told that it cannot be of no time: so many would take years
        There { methods: GET, needs: Needs::Admin, answer: 400 }
    } else if path.starts_with("/api/admin/performance") {
        There { methods: GET, needs: Needs::ReadAlways, answer: 200 }
    } else {
        There { methods: GET, needs: Needs::Read, answer: if later.contains(&path) { 501 } else { 200 } }
    })
}

/// One request.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    tokens: Tokens,
    host: Host,
    origin: Origin,
    path: &'a str,
    method: &'static str,
    credential: Credential,
}

impl Asked<'_> {
    /// The rules, in the order in which they count.
    fn expected(self) -> u16 {
        let Self { tokens, host, origin, path, method, credential } = self;
        // without a host there is no own page to come from
        let origin = if origin == Origin::Same && host.name(0).is_none() { Origin::Absent } else { origin };
        match host {
            Host::Missing | Host::Twice => return 400,
            Host::Foreign | Host::Disguised => return 403,
            _ => {}
        }
        if matches!(origin, Origin::Foreign | Origin::Null) {
            return 403;
        }
        let Some(there) = there(path) else { return 404 };
        if !there.methods.contains(&method) {
            return 405;
        }
        let reads = credential == Credential::Read || credential == Credential::Admin && tokens.admin;
        match there.needs {
            Needs::ReadAlways if !tokens.read => 403,
            Needs::Read | Needs::ReadAlways if tokens.read && !reads => 401,
            Needs::Admin if !tokens.admin || origin == Origin::Same => 403,
            Needs::Admin if credential == Credential::Read && tokens.read => 403,
            Needs::Admin if credential != Credential::Admin => 401,
            _ => there.answer,
        }
    }

    /// Whether it presents a token that the agent does not know.
    fn guesses(self) -> bool {
        match self.credential {
            Credential::Nothing | Credential::OtherScheme => false,
            Credential::Read => !self.tokens.read,
            Credential::Admin => !self.tokens.admin,
            Credential::Wrong => true,
        }
    }

    fn text(self, port: u16) -> String {
        let version = if self.host == Host::MissingAsAllowed { "1.0\r\nConnection: keep-alive" } else { "1.1" };
        let mut text = format!("{} {} HTTP/{version}\r\n", self.method, self.path);
        let name = self.host.name(port);
        let mut header = |name: &str, value: &str| {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        };
        if let Some(name) = &name {
            header("Host", name);
        }
        if self.host == Host::Twice {
            header("Host", "evil.example");
        }
        match (self.origin, &name) {
            (Origin::Absent, _) | (Origin::Same, None) => {}
            (Origin::Same, Some(name)) => header("Origin", &format!("http://{name}")),
            (Origin::Listed, _) => header("Origin", LISTED_ORIGIN),
            (Origin::Foreign, _) => header("Origin", "http://evil.example"),
            (Origin::Null, _) => header("Origin", "null"),
        }
        match self.credential {
            Credential::Nothing => {}
            Credential::Read => header("Authorization", &format!("Bearer {READ_TOKEN}")),
            Credential::Admin => header("Authorization", &format!("Bearer {ADMIN_TOKEN}")),
            Credential::Wrong => header("Authorization", "Bearer 0123456789abcdef0123456789abcdef"),
            Credential::OtherScheme => header("Authorization", &format!("Basic {ADMIN_TOKEN}")),
        }
        let body = if self.method == "POST" { self.body() } else { "" };
        if !body.is_empty() {
            header("Content-Type", "application/json");
            header("Content-Length", &body.len().to_string());
        }
        text + "\r\n" + body
    }

    fn body(self) -> &'static str {
        if self.path.contains("/cache/") {
            r#"{"cache":"products","all":true,"dry_run":true}"#
        } else if self.path.contains("/jobs/") {
            r#"{"queue":"email","state":"failed","limit":1,"dry_run":true}"#
        } else {
            r#"{"dry_run":true}"#
        }
    }

    fn check(self, answer: &Answer) {
        let head = &answer.head;
        assert_eq!(answer.status, self.expected(), "{self:?}\n{head}{}", answer.body);
        let has = |header: &str| head.to_ascii_lowercase().contains(&format!("\r\n{header}"));
        assert!(has("cache-control: no-store"), "{self:?}\n{head}");
        assert!(!has("access-control-allow-origin") || self.origin == Origin::Listed, "{self:?}\n{head}");
        assert_eq!(has("www-authenticate: bearer"), answer.status == 401, "{self:?}\n{head}");
        assert_eq!(has("allow: "), answer.status == 405, "{self:?}\n{head}");
        if answer.status >= 400 && self.method != "HEAD" {
            let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("a problem document");
            assert!(has("content-type: application/problem+json"), "{self:?}\n{head}");
            assert_eq!(problem["status"], answer.status, "{self:?}");
            assert!(!answer.body.contains(SERVICE), "{self:?}\n{}", answer.body);
        }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// A client that keeps its connection while the server does.
struct Client {
    server: SocketAddr,
    from: Ipv4Addr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn new(server: SocketAddr, from: Ipv4Addr) -> Self {
        Self { server, from, stream: None }
    }

    async fn connected(&mut self) -> &mut BufReader<TcpStream> {
        if self.stream.is_none() {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((self.from, 0).into()).unwrap();
            let stream = socket.connect(self.server).await.unwrap();
            stream.set_nodelay(true).unwrap();
            self.stream = Some(BufReader::new(stream));
        }
        self.stream.as_mut().unwrap()
    }

    async fn ask(&mut self, request: &str, bodiless: bool) -> Answer {
        // the server ends a connection whose body it did not read: once more on another
        for _ in 0..2 {
            if let Some(answer) = self.try_ask(request, bodiless).await {
                if answer.head.to_ascii_lowercase().contains("connection: close") {
                    self.stream = None;
                }
                return answer;
            }
            self.stream = None;
        }
        panic!("no answer to {request}");
    }

    async fn try_ask(&mut self, request: &str, bodiless: bool) -> Option<Answer> {
        let stream = self.connected().await;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let small = head.to_ascii_lowercase();
        let mut body = Vec::new();
        if bodiless {
        } else if let Some((_, length)) = small.split_once("content-length: ") {
            body.resize(length.split('\r').next()?.parse().ok()?, 0);
            stream.read_exact(&mut body).await.ok()?;
        } else if small.contains("transfer-encoding: chunked") {
            // only the end matters: what is streamed here are frames
            while !body.ends_with(b"0\r\n\r\n") {
                body.push(stream.read_u8().await.ok()?);
            }
        } else {
            stream.read_to_end(&mut body).await.ok()?;
            self.stream = None;
        }
        Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

fn paths() -> Vec<String> {
    let contract: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let asked = |path: &String| match path.as_str() {
        profile if profile.starts_with("/api/v1/profile/") => format!("{profile}?seconds=0"),
        other => other.replace("{name}", "search.reindex"),
    };
    let described = contract["paths"].as_object().unwrap().keys().map(asked);
    let paths: BTreeSet<String> = described.chain(NO_PATHS.map(str::to_owned)).collect();
    paths.into_iter().collect()
}

/// What the description says of who may ask, and how, is what the rules here say.
#[test]
fn the_description_names_the_methods_and_tokens_of_the_rules() {
    let contract: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    for (path, operations) in contract["paths"].as_object().unwrap() {
        let there = there(path).unwrap();
        let described: BTreeSet<String> = operations.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        assert_eq!(described, there.methods.iter().map(|&method| method.to_owned()).collect(), "{path}");
        for operation in operations.as_object().unwrap().values() {
            let needs = match operation["security"].to_string().as_str() {
                "null" => Needs::Nothing,
                r#"[{"read":[]},{}]"# => Needs::Read,
                r#"[{"read":[]}]"# => Needs::ReadAlways,
                r#"[{"admin":[]}]"# => Needs::Admin,
                other => panic!("{path}: {other}"),
            };
            assert_eq!(needs, there.needs, "{path}");
        }
    }
}

/// An agent that has seen nobody, so that none of its limits on the number of requests is near. Outside of any runtime,
/// so that its actions run on its own.
fn agent(tokens: Tokens) -> Agent {
    let mut builder = Agent::builder(SERVICE).listen("127.0.0.1:0").instance_id("one");
    builder = builder.allowed_host(LISTED_HOST).allowed_origin(LISTED_ORIGIN);
    if tokens.read {
        builder = builder.read_token(READ_TOKEN);
    }
    if tokens.admin {
        builder = builder.admin_token(ADMIN_TOKEN);
    }
    let agent = builder.start().unwrap();
    for name in ["cache.warm", "cache.invalidate", "jobs.retry", "jobs.clear", "search.reindex"] {
        agent.action(name, async |_| Ok(ActionOutcome::new(1, 0)));
    }
    agent
}

/// Every path, method and credential for one way of asking; gives how many requests that were.
async fn ask_all(tokens: Tokens, host: Host, origin: Origin, paths: Arc<Vec<String>>) -> u64 {
    let agent = std::thread::spawn(move || agent(tokens)).join().unwrap();
    let address = agent.local_addr().unwrap();
    let mut client = Client::new(address, Ipv4Addr::LOCALHOST);
    let mut wrong = JoinSet::new();
    let count = Arc::new(AtomicU64::new(0));
    for path in 0..paths.len() {
        for (method, credential) in METHODS.into_iter().flat_map(|method| CREDENTIALS.map(|it| (method, it))) {
            let paths = Arc::clone(&paths);
            let asked = Asked { tokens, host, origin, path: &paths[path], method, credential };
            if asked.guesses() {
                if wrong.len() >= WRONG_AT_ONCE {
                    wrong.join_next().await.unwrap().unwrap();
                }
                let (count, paths) = (Arc::clone(&count), Arc::clone(&paths));
                // the limit on wrong tokens is one of each address: each of these comes from its own
                wrong.spawn(async move {
                    let asked = Asked { tokens, host, origin, path: &paths[path], method, credential };
                    let mut client = Client::new(address, another_address());
                    asked.check(&client.ask(&asked.text(address.port()), method == "HEAD").await);
                    count.fetch_add(1, Ordering::Relaxed);
                });
            } else {
                asked.check(&client.ask(&asked.text(address.port()), method == "HEAD").await);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    while let Some(ended) = wrong.join_next().await {
        ended.unwrap();
    }
    count.load(Ordering::Relaxed)
}

/// The loopback network has sixteen million.
fn another_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(1 << 8);
    let [_, b, c, d] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, b, c, d)
}

#[test]
#[ignore = "asks half a million times; ./test hostile runs it"]
fn every_route_method_credential_host_and_origin_gets_what_the_rules_say() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let paths = Arc::new(paths());
    let asked = runtime.block_on(async {
        let room = Arc::new(Semaphore::new(AGENTS_AT_ONCE));
        let mut agents = JoinSet::new();
        let tokens = [false, true].into_iter().flat_map(|read| [false, true].map(|admin| Tokens { read, admin }));
        for tokens in tokens {
            for (host, origin) in HOSTS.into_iter().flat_map(|host| ORIGINS.map(|origin| (host, origin))) {
                let (room, paths) = (Arc::clone(&room), Arc::clone(&paths));
                agents.spawn(async move {
                    let _place = room.acquire_owned().await.unwrap();
                    ask_all(tokens, host, origin, paths).await
                });
            }
        }
        let mut asked = 0;
        while let Some(ended) = agents.join_next().await {
            asked += ended.unwrap();
        }
        asked
    });
    println!("{} paths: {asked} requests, each with the status that the rules give", paths.len());
    let combinations = paths.len() * METHODS.len() * CREDENTIALS.len() * HOSTS.len() * ORIGINS.len() * 4;
    assert_eq!(asked, combinations as u64);
}
