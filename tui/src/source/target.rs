//! What the user calls a target, and the URL of its snapshot; nothing is connected here.

use reqwest::Url;

use crate::text::Text;

/// What is polled when the user names nothing: an agent with default settings on this machine.
pub const DEFAULT_TARGET: &str = "http://127.0.0.1:9464";
/// The port of an agent with default settings.
const DEFAULT_PORT: u16 = 9464;
const SNAPSHOT_PATH: &str = "/api/v1/snapshot";

/// An agent to poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    name: Text,
    url: Url,
}

/// Why something is no target, and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a target: {reason}; write a URL, host:port or host, such as {DEFAULT_TARGET}")]
pub struct TargetError {
    name: Text,
    reason: String,
}

impl Target {
    /// Reads a URL (`https://shop.example`), `host:port`, or a host, which means the default port.
    ///
    /// A URL may have a path before `/api/v1/snapshot`, for an agent that is mounted under a prefix.
    ///
    /// # Errors
    /// What cannot be reached over HTTP, and a URL with a user name, password, query or fragment.
    ///
    /// ```
    /// use heartline_tui::source::Target;
    ///
    /// let target = Target::parse("shop:9000").unwrap();
    /// assert_eq!(target.url().as_str(), "http://shop:9000/api/v1/snapshot");
    /// assert!(Target::parse("ftp://shop").is_err());
    /// ```
    pub fn parse(name: &str) -> Result<Self, TargetError> {
        let fail = |reason: &str| Err(TargetError { name: Text::new(name), reason: reason.to_owned() });
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return fail("it is empty or has spaces in it");
        }
        let with_scheme = if name.contains("://") { name.to_owned() } else { format!("http://{name}") };
        let Ok(mut url) = Url::parse(&with_scheme) else {
            return fail("it has no valid host and port");
        };
        match url.scheme() {
            "http" | "https" => {}
            other => return fail(&format!("this program reads agents over http and https, not {other}")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError {
                name: Text::new("a URL with a password"),
                reason: "a password in a command line can be seen by others: pass the token with --token-file"
                    .to_owned(),
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return fail("it has a query or a fragment");
        }
        if url.port().is_none()
            && !has_port(&with_scheme)
            && url.scheme() == "http"
            && url.set_port(Some(DEFAULT_PORT)).is_err()
        {
            return fail("it has no host");
        }
        let prefix = url.path().trim_end_matches('/').trim_end_matches(SNAPSHOT_PATH).to_owned();
        url.set_path(&format!("{prefix}{SNAPSHOT_PATH}"));
        Ok(Self { name: Text::new(name), url })
    }

    /// The target as the user named it.
    pub fn name(&self) -> &Text {
        &self.name
    }

    /// Where its snapshot is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Scheme, host and port: what a token is bound to.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether a token sent there cannot be read on the way.
    pub fn is_private(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        self.url.scheme() == "https" || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// Whether the authority names a port, which `Url` forgets when it is the scheme's own.
fn has_port(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_name_an_agent_is_understood() {
        let expected = [
            ("shop", "http://shop:9464/api/v1/snapshot"),
            ("shop:80", "http://shop/api/v1/snapshot"),
            ("localhost:9000", "http://localhost:9000/api/v1/snapshot"),
            ("[::1]:9464", "http://[::1]:9464/api/v1/snapshot"),
            ("::1", ""),
            ("10.0.0.7", "http://10.0.0.7:9464/api/v1/snapshot"),
            ("http://shop/", "http://shop:9464/api/v1/snapshot"),
            ("https://shop.example", "https://shop.example/api/v1/snapshot"),
            ("https://shop.example/metrics/agent/", "https://shop.example/metrics/agent/api/v1/snapshot"),
            ("http://shop:1/api/v1/snapshot", "http://shop:1/api/v1/snapshot"),
        ];
        for (name, url) in expected {
            let read = Target::parse(name).map(|target| target.url().to_string()).unwrap_or_default();
            assert_eq!(read, url, "{name}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_advice() {
        for name in ["", "a b", "ftp://shop", "shop:port", "http://", "http://shop/?a=b", "file:targets.json"] {
            let error = Target::parse(name).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:9464"), "{error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = Target::parse("http://user:hunter2@shop").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2") && error.to_string().contains("--token-file"));
    }

    #[test]
    fn only_tls_and_loopback_are_private() {
        for (name, private) in [("https://shop", true), ("shop", false), ("127.0.0.1", true), ("[::1]:9464", true)] {
            assert_eq!(Target::parse(name).unwrap().is_private(), private, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in "\\PC{0,40}") {
            if let Ok(target) = Target::parse(&name) {
                prop_assert!(target.url().path().ends_with(SNAPSHOT_PATH));
            }
        }
    }
}
