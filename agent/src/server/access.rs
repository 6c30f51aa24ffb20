//! Who may ask: the names a loopback listener answers to, pages of other sites, and the bearer token. Pure.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::token::Token;

/// Why a request is refused before its path is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The `Host` is a name that may be an attacker's, resolved to loopback (DNS rebinding).
    ForeignHost(String),
    /// A page of another site asked.
    ForeignOrigin(String),
}

/// Checks host and origin. On a loopback listener the host must be an address or `localhost`: names can be made to
/// resolve to loopback by anyone, addresses cannot.
pub(super) fn check_caller(uri: &Uri, headers: &HeaderMap, on_loopback: bool) -> Result<(), Refusal> {
    let header = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let host = uri.authority().map(|authority| authority.as_str().to_owned()).or(header);
    if let Some(host) = host.as_ref().filter(|host| on_loopback && !is_address_or_localhost(host)) {
        return Err(Refusal::ForeignHost(host.clone()));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let same = |host: &str| {
        let theirs = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(host))
    };
    if host.as_deref().is_some_and(same) { Ok(()) } else { Err(Refusal::ForeignOrigin(origin.into_owned())) }
}

fn is_address_or_localhost(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.rsplit_once(':').map_or(authority, |(host, _port)| host),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    host.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

/// Whether the request carries `token` as its bearer token.
pub(super) fn bears(headers: &HeaderMap, token: &Token) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else { return false };
    let Some((scheme, presented)) = value.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.matches(presented.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: Option<&str>, origin: Option<&str>, on_loopback: bool) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        check_caller(&Uri::from_static("/metrics"), &headers, on_loopback)
    }

    #[test]
    fn loopback_answers_to_addresses_and_localhost_only() {
        for host in
            ["127.0.0.1:9464", "localhost", "LOCALHOST:80", "localhost.:80", "[::1]:9464", "10.0.0.7", "a.localhost"]
        {
            assert_eq!(check(Some(host), None, true), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:9464", "127.0.0.1.evil.example", "evil.example:127", ""] {
            assert_eq!(check(Some(host), None, true), Err(Refusal::ForeignHost(host.to_owned())));
        }
        assert_eq!(check(Some("shop.internal:9464"), None, false), Ok(()));
        assert_eq!(check(None, None, true), Ok(()), "HTTP/1.0 probes send none; browsers always do");
    }

    #[test]
    fn the_authority_of_an_absolute_target_counts_before_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost".parse().unwrap());
        let refused = check_caller(&Uri::from_static("http://evil.example/metrics"), &headers, true);
        assert_eq!(refused, Err(Refusal::ForeignHost("evil.example".to_owned())));
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_our_own_are_not() {
        let host = Some("localhost:9464");
        assert_eq!(check(host, Some("http://localhost:9464"), true), Ok(()));
        for origin in ["http://evil.example", "http://localhost:3000", "null", "file://"] {
            assert_eq!(check(host, Some(origin), true), Err(Refusal::ForeignOrigin(origin.to_owned())));
        }
        assert_eq!(
            check(Some("shop:9464"), Some("http://evil.example"), false),
            Err(Refusal::ForeignOrigin("http://evil.example".to_owned()))
        );
    }

    #[test]
    fn a_token_is_taken_from_the_bearer_scheme_only() {
        let token = Token::new("0123456789abcdef0123456789abcdef");
        let accepts = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bears(&headers, &token)
        };
        assert!(accepts("Bearer 0123456789abcdef0123456789abcdef"));
        assert!(accepts("bearer  0123456789abcdef0123456789abcdef"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef0123456789abcdef",
            "Bearer 0123456789abcdef0123456789abcdeF",
        ] {
            assert!(!accepts(wrong), "{wrong}");
        }
    }
}
