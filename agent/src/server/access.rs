//! Who may ask: the names a listener answers to, pages of other sites, and the bearer tokens. Knows no socket and no
//! document.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::pace::{Failures, Pace};
use super::problem::Problem;
use super::route::Credential;
use super::token::Token;

/// How long the answer to a wrong token waits.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(250);
/// The same for a caller who presented too many.
const GUESSING_DELAY: Duration = Duration::from_secs(1);

/// How a caller reached the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A listener on loopback, where a name in `Host` may be an attacker's (DNS rebinding).
    Loopback,
    /// A listener that other machines reach, or a unix socket: names are not ours to judge unless a list of them is
    /// configured.
    Other,
    /// A router of the service itself. Names are not ours to judge either, and who reaches it is not known, so nobody reads
    /// without a token.
    Mounted,
}

/// What is known of a caller before its request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) via: Via,
    /// Its address; `None` on a unix socket or behind the service's own router.
    pub(crate) address: Option<IpAddr>,
}

/// What the endpoint was told about who may ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// What readers must present; `None` lets everyone read who reaches the endpoint.
    pub(crate) read_token: Option<Token>,
    /// What callers of actions must present; `None` lets nobody act.
    pub(crate) admin_token: Option<Token>,
    /// Names in `Host` that are answered beside addresses and `localhost`, lower case. Empty: any, except on loopback.
    pub(crate) hosts: Vec<String>,
    /// Origins whose pages are answered beside the endpoint's own, lower case.
    pub(crate) origins: Vec<String>,
}

/// The policy with what it has seen.
#[derive(Debug, Default)]
pub(super) struct Access {
    policy: Policy,
    failures: Failures,
    admin_pace: Pace,
}

/// Why a request gets no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: Problem,
    /// One word for logs and counters.
    pub(super) reason: &'static str,
    /// How long the answer must wait.
    pub(super) delay: Duration,
}

impl Refusal {
    fn new(reason: &'static str, problem: Problem) -> Self {
        Self { problem, reason, delay: Duration::ZERO }
    }
}

impl Access {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Checks host and origin. On a loopback listener the host must be an address, `localhost`, or on the list: names can
    /// be made to resolve to loopback by anyone, addresses cannot.
    pub(super) fn check_caller(&self, via: Via, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let header = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        let host = uri.authority().map(|authority| authority.as_str().to_owned()).or(header);
        let strict = via == Via::Loopback || !self.policy.hosts.is_empty();
        if let Some(host) = host.as_ref().filter(|host| strict && !self.answers_to(host)) {
            let detail = format!(
                "asked as {:?}, but this endpoint answers to addresses, localhost and the names it was given only; use \
                 http://127.0.0.1 with the port, or add the name with allowed_host",
                shortened(host)
            );
            return Err(Refusal::new("foreign_host", Problem::forbidden(detail)));
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let own = |host: &str| {
            let theirs = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(host))
        };
        if host.as_deref().is_some_and(own) || self.is_listed_origin(&origin) {
            return Ok(());
        }
        let detail = format!("a page of {:?} asked; pages of other sites get no answer", shortened(&origin));
        Err(Refusal::new("foreign_origin", Problem::forbidden(detail)))
    }

    fn answers_to(&self, authority: &str) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => authority.rsplit_once(':').map_or(authority, |(host, _port)| host),
        };
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let local = name == "localhost" || name.ends_with(".localhost");
        host.parse::<IpAddr>().is_ok() || local || self.policy.hosts.contains(&name)
    }

    fn is_listed_origin(&self, origin: &str) -> bool {
        self.policy.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }

    /// The allow-listed origin that this request comes from.
    pub(super) fn listed_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a http::HeaderValue> {
        headers.get(ORIGIN).filter(|origin| origin.to_str().is_ok_and(|origin| self.is_listed_origin(origin)))
    }

    /// Whether the request may have what `credential` guards. `now` is on the boot-time clock.
    pub(super) fn admit(
        &self,
        credential: Credential,
        caller: Caller,
        headers: &HeaderMap,
        now: Duration,
    ) -> Result<(), Refusal> {
        let presented = bearer(headers);
        let without_token = self.policy.read_token.is_none();
        match credential {
            Credential::Open => Ok(()),
            Credential::Read if without_token && caller.via == Via::Mounted => Err(disabled(
                "the service's own router serves this, where it needs a read token, and none is configured; set one with read_token",
            )),
            Credential::Read if without_token => Ok(()),
            Credential::ReadAlways if without_token => Err(disabled(
                "this path needs a read token and none is configured; set one with read_token, or ask /api/performance",
            )),
            Credential::Read | Credential::ReadAlways if self.is_reader(presented) => Ok(()),
            Credential::Read | Credential::ReadAlways => Err(self.wrong(presented.is_some(), "read", caller, now)),
            Credential::Admin => self.admit_admin(presented, caller, headers, now),
        }
    }

    fn admit_admin(
        &self,
        presented: Option<&[u8]>,
        caller: Caller,
        headers: &HeaderMap,
        now: Duration,
    ) -> Result<(), Refusal> {
        let Some(admin) = &self.policy.admin_token else {
            return Err(disabled("actions are off: no admin token is configured; set one with admin_token"));
        };
        if headers.contains_key(ORIGIN) && self.listed_origin(headers).is_none() {
            return Err(Refusal::new(
                "foreign_origin",
                Problem::forbidden("a page asked for an action; pages get none"),
            ));
        }
        if presented.is_some_and(|presented| admin.matches(presented)) {
            return self.admin_pace.take(now).map_err(|wait| {
                Refusal::new("admin_pace", Problem::too_many("too many requests to admin routes; wait a little", wait))
            });
        }
        if self.policy.read_token.is_some() && self.is_reader(presented) {
            let detail = "the read token does not open this; it needs the admin token";
            return Err(Refusal::new("read_token_on_admin", Problem::forbidden(detail)));
        }
        Err(self.wrong(presented.is_some(), "admin", caller, now))
    }

    /// Whether the request may have what readers may.
    pub(super) fn may_read(&self, caller: Caller, headers: &HeaderMap) -> bool {
        let open = self.policy.read_token.is_none() && caller.via != Via::Mounted;
        open || self.is_reader(bearer(headers))
    }

    /// Whoever may act may read.
    fn is_reader(&self, presented: Option<&[u8]>) -> bool {
        let Some(presented) = presented else { return false };
        // both are compared, whichever matches, so that the time says nothing
        let read = self.policy.read_token.as_ref().is_some_and(|token| token.matches(presented));
        let admin = self.policy.admin_token.as_ref().is_some_and(|token| token.matches(presented));
        read | admin
    }

    /// A right token is let in however many wrong ones came before it: who guesses must not lock out who knows.
    fn wrong(&self, presented: bool, needed: &str, caller: Caller, now: Duration) -> Refusal {
        if !presented {
            let detail = format!("this needs the {needed} token: send `Authorization: Bearer TOKEN`");
            return Refusal::new("no_token", Problem::unauthorized(detail));
        }
        match self.failures.count(caller.address, now) {
            None => {
                let detail = format!("this is not the {needed} token");
                Refusal { delay: WRONG_TOKEN_DELAY, ..Refusal::new("wrong_token", Problem::unauthorized(detail)) }
            }
            Some(wait) => {
                let problem = Problem::too_many("too many wrong tokens came from this address", wait);
                Refusal { delay: GUESSING_DELAY, ..Refusal::new("guessing", problem) }
            }
        }
    }
}

fn disabled(detail: &str) -> Refusal {
    Refusal::new("disabled", Problem::forbidden(format!("disabled: {detail}")))
}

/// The token of the bearer scheme; `None` when there is none or it is of another scheme.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, presented) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    let presented = presented.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !presented.is_empty()).then_some(presented)
}

/// As much of what a caller sent as an answer repeats.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const READ: &str = "0123456789abcdef0123456789abcdef";
    const ADMIN: &str = "fedcba9876543210fedcba9876543210";
    const CALLER: Caller = Caller { via: Via::Loopback, address: None };

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn check(access: &Access, host: Option<&str>, origin: Option<&str>, via: Via) -> Option<&'static str> {
        let given = [(HOST, host), (ORIGIN, origin)];
        let pairs: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let checked = access.check_caller(via, &Uri::from_static("/metrics"), &headers(&pairs));
        checked.err().map(|refusal| refusal.reason)
    }

    #[test]
    fn loopback_answers_to_addresses_localhost_and_listed_names_only() {
        let access = Access::default();
        for host in
            ["127.0.0.1:9464", "localhost", "LOCALHOST:80", "localhost.:80", "[::1]:9464", "10.0.0.7", "a.localhost"]
        {
            assert_eq!(check(&access, Some(host), None, Via::Loopback), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9464", "127.0.0.1.evil.example", "evil.example:127", ""] {
            assert_eq!(check(&access, Some(host), None, Via::Loopback), Some("foreign_host"), "{host}");
        }
        assert_eq!(check(&access, Some("shop.internal:9464"), None, Via::Other), None);
        assert_eq!(check(&access, None, None, Via::Loopback), None, "HTTP/1.0 probes send none; browsers always do");
        let listed = Access::new(Policy { hosts: vec!["shop.internal".to_owned()], ..Policy::default() });
        assert_eq!(check(&listed, Some("Shop.Internal:9464"), None, Via::Loopback), None);
        assert_eq!(check(&listed, Some("evil.example"), None, Via::Other), Some("foreign_host"));
    }

    #[test]
    fn the_authority_of_an_absolute_target_counts_before_the_header() {
        let target = Uri::from_static("http://evil.example/metrics");
        let refused = Access::default().check_caller(Via::Loopback, &target, &headers(&[(HOST, "localhost")]));
        assert_eq!(refused.unwrap_err().reason, "foreign_host");
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_our_own_are_not() {
        let access = Access::new(Policy { origins: vec!["https://ops.example".to_owned()], ..Policy::default() });
        let host = Some("localhost:9464");
        for origin in ["http://localhost:9464", "https://ops.example"] {
            assert_eq!(check(&access, host, Some(origin), Via::Loopback), None, "{origin}");
        }
        for origin in ["http://evil.example", "http://localhost:3000", "null", "file://", "https://ops.example.evil"] {
            assert_eq!(check(&access, host, Some(origin), Via::Loopback), Some("foreign_origin"), "{origin}");
        }
        assert_eq!(check(&access, Some("shop:9464"), Some("http://evil.example"), Via::Other), Some("foreign_origin"));
    }

    #[test]
    fn a_token_is_taken_from_the_bearer_scheme_only() {
        let access = Access::new(Policy { read_token: Some(Token::new(READ)), ..Policy::default() });
        let admits = |value: &str| {
            access.admit(Credential::Read, CALLER, &headers(&[(AUTHORIZATION, value)]), Duration::ZERO).is_ok()
        };
        assert!(admits(&format!("Bearer {READ}")) && admits(&format!("bearer  {READ}")));
        for wrong in ["", "Bearer", "Bearer ", &format!("Basic {READ}"), &format!("Bearer {READ}0"), READ] {
            assert!(!admits(wrong), "{wrong}");
        }
    }

    #[test]
    fn where_the_services_own_router_serves_nobody_reads_without_a_token() {
        let mounted = Caller { via: Via::Mounted, address: None };
        let none = HeaderMap::new();
        let open = Access::default();
        let refused = |credential| open.admit(credential, mounted, &none, Duration::ZERO).err().map(|it| it.reason);
        assert_eq!(refused(Credential::Open), None);
        assert_eq!((refused(Credential::Read), refused(Credential::Admin)), (Some("disabled"), Some("disabled")));
        assert!(!open.may_read(mounted, &none) && open.may_read(CALLER, &none));
        let closed = Access::new(Policy { read_token: Some(Token::new(READ)), ..Policy::default() });
        let bearer = format!("Bearer {READ}");
        let known = headers(&[(AUTHORIZATION, &bearer)]);
        assert!(
            closed.admit(Credential::Read, mounted, &known, Duration::ZERO).is_ok() && closed.may_read(mounted, &known)
        );
    }

    /// Every credential, token, and configuration, with the outcome of each.
    #[test]
    fn each_token_opens_what_it_is_for() {
        use Credential::{Admin, Open, Read, ReadAlways};
        const OK: &str = "ok";
        let rows = [
            // configured,      presented,     open, read,          read always,   admin
            ((false, false), None, [OK, OK, "disabled", "disabled"]),
            ((false, false), Some(READ), [OK, OK, "disabled", "disabled"]),
            ((true, false), None, [OK, "no_token", "no_token", "disabled"]),
            ((true, false), Some("wrong"), [OK, "wrong_token", "wrong_token", "disabled"]),
            ((true, false), Some(READ), [OK, OK, OK, "disabled"]),
            ((false, true), None, [OK, OK, "disabled", "no_token"]),
            ((false, true), Some("wrong"), [OK, OK, "disabled", "wrong_token"]),
            ((false, true), Some(ADMIN), [OK, OK, "disabled", OK]),
            ((true, true), None, [OK, "no_token", "no_token", "no_token"]),
            ((true, true), Some("wrong"), [OK, "wrong_token", "wrong_token", "wrong_token"]),
            ((true, true), Some(READ), [OK, OK, OK, "read_token_on_admin"]),
            ((true, true), Some(ADMIN), [OK, OK, OK, OK]),
        ];
        for ((read, admin), presented, expected) in rows {
            let access = Access::new(Policy {
                read_token: read.then(|| Token::new(READ)),
                admin_token: admin.then(|| Token::new(ADMIN)),
                ..Policy::default()
            });
            let bearer = presented.map(|token| format!("Bearer {token}"));
            let headers = headers(&bearer.iter().map(|value| (AUTHORIZATION, value.as_str())).collect::<Vec<_>>());
            let admit = |credential| match access.admit(credential, CALLER, &headers, Duration::ZERO) {
                Ok(()) => OK,
                Err(refusal) => refusal.reason,
            };
            let found = [Open, Read, ReadAlways, Admin].map(admit);
            assert_eq!(found, expected, "read {read}, admin {admin}, presented {presented:?}");
        }
    }

    #[test]
    fn guessing_is_slowed_and_limited_and_never_locks_out_who_knows() {
        let access = Access::new(Policy { read_token: Some(Token::new(READ)), ..Policy::default() });
        let ask = |token: &str| {
            let headers = headers(&[(AUTHORIZATION, &format!("Bearer {token}"))]);
            access.admit(Credential::Read, CALLER, &headers, Duration::from_secs(1))
        };
        let first = ask("wrong").unwrap_err();
        assert_eq!((first.reason, first.delay), ("wrong_token", WRONG_TOKEN_DELAY));
        let refusals: Vec<Refusal> = (0..50).map(|_| ask("wrong").unwrap_err()).collect();
        assert_eq!((refusals[49].reason, refusals[49].delay), ("guessing", GUESSING_DELAY));
        assert_eq!(ask(READ), Ok(()));
    }

    #[test]
    fn a_page_gets_no_action_unless_its_origin_is_listed() {
        let access = Access::new(Policy {
            admin_token: Some(Token::new(ADMIN)),
            origins: vec!["https://ops.example".to_owned()],
            ..Policy::default()
        });
        let ask = |origin: &str| {
            let bearer = format!("Bearer {ADMIN}");
            let headers = headers(&[(AUTHORIZATION, &bearer), (ORIGIN, origin), (HOST, "localhost:9464")]);
            access.admit(Credential::Admin, CALLER, &headers, Duration::ZERO).is_ok()
        };
        assert!(ask("https://ops.example"));
        assert!(!ask("http://localhost:9464"), "not even a page of the endpoint's own address");
    }
}
