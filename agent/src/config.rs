//! The settings of an agent with their defaults and limits; nothing here acts on them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::error::Error;

/// Where the endpoint listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9464";
/// Series of one metric that names from outside may create; the rest goes to its overflow series.
pub const DEFAULT_SERIES_LIMIT: usize = 2_000;
/// Bytes the agent may keep for series, history and everything else.
pub const DEFAULT_MEMORY_BUDGET: usize = 32 << 20;
/// Bytes the flight recorder may keep of the memory budget, unless that is small.
pub const DEFAULT_HISTORY_BYTES: usize = 8 << 20;
/// How often a summary is logged.
pub const DEFAULT_SUMMARY_INTERVAL: Duration = Duration::from_mins(15);
/// Bytes of a label value; a longer one is cut and ends in `…`.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// A query that takes longer is counted as slow.
pub const DEFAULT_SLOW_QUERY: Duration = Duration::from_millis(100);
/// How long growth must last before a leak is suspected.
pub const DEFAULT_LEAK_PATIENCE: Duration = Duration::from_hours(2);
/// How often collectors run.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// How long `start` waits for the listener before it returns without an address.
pub(crate) const LISTEN_WAIT: Duration = Duration::from_secs(2);
/// The shortest token that is accepted.
pub const TOKEN_BYTES_MIN: usize = 32;

/// A secret; its text appears in no `Debug` output.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for comparing only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What an agent was told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) version: Option<String>,
    pub(crate) instance_id: String,
    pub(crate) listen: Option<String>,
    pub(crate) insecure_remote: bool,
    pub(crate) read_token: Option<Secret>,
    pub(crate) admin_token: Option<Secret>,
    pub(crate) series_limit: usize,
    pub(crate) memory_budget: usize,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) history_bytes: Option<usize>,
    pub(crate) summary_interval: Duration,
    pub(crate) slow_query: Duration,
    pub(crate) returned_rows: bool,
    pub(crate) leak_patience: Duration,
}

impl Config {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            version: None,
            instance_id: default_instance_id(),
            listen: Some(DEFAULT_LISTEN.to_owned()),
            insecure_remote: false,
            read_token: None,
            admin_token: None,
            series_limit: DEFAULT_SERIES_LIMIT,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            memory_limit: None,
            history_bytes: None,
            summary_interval: DEFAULT_SUMMARY_INTERVAL,
            slow_query: DEFAULT_SLOW_QUERY,
            returned_rows: false,
            leak_patience: DEFAULT_LEAK_PATIENCE,
        }
    }

    /// Refuses settings that cannot work before anything is started.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |setting, value: &str, reason: &str| {
            Err(Error::Setting { setting, value: value.to_owned(), reason: reason.to_owned() })
        };
        if self.service.trim().is_empty() {
            return refuse("builder", &self.service, "the service needs a name, such as \"shop\"");
        }
        if self.instance_id.trim().is_empty() {
            return refuse("instance_id", &self.instance_id, "an instance needs a name, such as the host's");
        }
        if self.series_limit == 0 {
            return refuse("series_limit", "0", "at least 1; the default is 2000");
        }
        if self.memory_budget < 1 << 20 {
            return refuse("memory_budget", &self.memory_budget.to_string(), "at least 1 MiB; the default is 32 MiB");
        }
        if self.history_bytes() > self.memory_budget / 2 {
            let reason = format!("at most half of memory_budget, which is {} bytes", self.memory_budget);
            return refuse("history_bytes", &self.history_bytes().to_string(), &reason);
        }
        for (setting, token) in [("read_token", &self.read_token), ("admin_token", &self.admin_token)] {
            if token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_BYTES_MIN) {
                let reason = "shorter than 32 bytes; make one with `openssl rand -hex 32`";
                return refuse(setting, "…", reason);
            }
        }
        Ok(())
    }

    /// Bytes of the memory budget that the flight recorder may keep: what was asked for, else the default or a quarter of
    /// the budget, whichever is less.
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes.unwrap_or_else(|| DEFAULT_HISTORY_BYTES.min(self.memory_budget / 4))
    }

    /// Where to listen; `None` when the service wants no listener.
    pub(crate) fn listen_address(&self) -> Result<Option<SocketAddr>, Error> {
        let Some(listen) = &self.listen else { return Ok(None) };
        let refuse = |reason: String| Error::Setting { setting: "listen", value: listen.clone(), reason };
        let mut addresses = listen
            .to_socket_addrs()
            .map_err(|error| refuse(format!("{error}; write an address and a port, such as {DEFAULT_LISTEN}")))?;
        addresses.next().map(Some).ok_or_else(|| refuse("the name has no address".to_owned()))
    }

    pub(crate) fn secret(text: String) -> Secret {
        Secret(text)
    }
}

/// The host's name, as Prometheus' `instance` label usually starts; `localhost` when it is unknown.
fn default_instance_id() -> String {
    sysinfo::System::host_name().ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_token_is_refused_without_being_shown() {
        let mut config = Config::new("shop".to_owned());
        config.read_token = Some(Config::secret("hunter2".to_owned()));
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("read_token") && error.contains("32 bytes"), "{error}");
        assert!(!error.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_service_without_a_name_is_refused_with_an_example() {
        assert!(Config::new(" ".to_owned()).validate().unwrap_err().to_string().contains("such as"));
    }

    #[test]
    fn the_flight_recorder_takes_a_quarter_of_a_small_budget_and_never_more_than_half() {
        let mut config = Config::new("shop".to_owned());
        assert_eq!(config.history_bytes(), DEFAULT_HISTORY_BYTES);
        config.memory_budget = 4 << 20;
        assert_eq!(config.history_bytes(), 1 << 20);
        config.history_bytes = Some(3 << 20);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("history_bytes") && error.contains("half of memory_budget"), "{error}");
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::new("shop".to_owned()).validate().is_ok());
    }
}
