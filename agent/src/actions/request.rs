//! What an action is asked to do and what came of it. The arguments of well-known actions are checked here, so that a
//! handler gets only what can be meant; it is not known here what the handler does.

use serde_json::{Map, Value};

/// Jobs that one call of `jobs.retry` or `jobs.clear` takes unless it says otherwise.
const LIMIT_DEFAULT: u64 = 1_000;
const LIMIT_MAX: u64 = 1_000_000;
/// Keys or ids in one call.
const LIST_MAX: usize = 1_000;
/// Bytes of one text among the arguments.
const TEXT_BYTES_MAX: usize = 512;
const CACHE_MEMBERS: &[&str] = &["cache", "tier", "keys", "prefix", "all"];
const JOB_MEMBERS: &[&str] = &["queue", "ids", "state", "older_than", "limit"];
/// States of jobs that are not running.
const STATES: &[&str] = &["waiting", "delayed", "retrying", "failed", "paused"];

/// What an action is asked to do.
///
/// `cache.warm` and `cache.invalidate` come with `cache`, perhaps `tier`, and exactly one of `keys`, `prefix` and
/// `all` (true). `jobs.retry` and `jobs.clear` come with `queue`, `limit` (1,000 unless said), perhaps `older_than` in
/// seconds, and one of `ids` and `state`; `state` is never `active`. Other actions come with what the caller sent.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRequest {
    name: String,
    arguments: Map<String, Value>,
    dry_run: bool,
}

/// What an action did, or with a dry run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionOutcome {
    /// How many things it applies to.
    pub matched: u64,
    /// How many of them it changed; 0 for a dry run.
    pub affected: u64,
    /// Anything else a person should know.
    pub message: Option<String>,
}

/// Why an action did nothing, or not everything. The text is shown to the caller: no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// What was asked makes no sense to the service, such as a cache that does not exist.
    #[error("{0}")]
    Refused(String),
    /// It makes sense, and later it may work: something is in its way.
    #[error("{0}")]
    Busy(String),
    /// It makes sense and did not work.
    #[error("{0}")]
    Failed(String),
}

impl ActionRequest {
    /// Reads the body of a call. The error says which member is wrong.
    pub(crate) fn parse(name: &str, body: &[u8], dry_run: bool) -> Result<Self, String> {
        let mut arguments = match body {
            [] => Map::new(),
            body => match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => members,
                Ok(_) => return Err("the body must be a JSON object, such as {}".to_owned()),
                Err(error) => return Err(format!("the body is not JSON: {error}")),
            },
        };
        let dry_run = match arguments.remove("dry_run") {
            None => dry_run,
            Some(Value::Bool(asked)) => asked || dry_run,
            Some(_) => return Err("`dry_run` must be true or false".to_owned()),
        };
        let mut request = Self { name: name.to_owned(), arguments, dry_run };
        match name {
            "cache.warm" | "cache.invalidate" => request.check_cache()?,
            "jobs.retry" | "jobs.clear" => request.check_jobs()?,
            _ => {}
        }
        Ok(request)
    }

    /// The name of the action.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether only to say what would be done, and to change nothing.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The text of this member; `None` when it is missing or no text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.arguments.get(member)?.as_str()
    }

    /// The whole number of this member; `None` when it is missing or none.
    pub fn integer(&self, member: &str) -> Option<u64> {
        self.arguments.get(member)?.as_u64()
    }

    /// Whether this member was sent, with whatever value.
    pub fn has(&self, member: &str) -> bool {
        self.arguments.contains_key(member)
    }

    /// Whether this member is true.
    pub fn flag(&self, member: &str) -> bool {
        self.arguments.get(member).and_then(Value::as_bool).unwrap_or(false)
    }

    /// The texts of this member; `None` when it is missing or no list.
    pub fn texts(&self, member: &str) -> Option<Vec<&str>> {
        Some(self.arguments.get(member)?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    fn check_cache(&mut self) -> Result<(), String> {
        self.only(CACHE_MEMBERS)?;
        self.required_text("cache")?;
        self.optional_text("tier")?;
        self.optional_text("prefix")?;
        self.optional_texts("keys")?;
        if self.arguments.get("all").is_some_and(|all| *all != Value::Bool(true)) {
            return Err("`all` must be true, or be left out".to_owned());
        }
        let ways = ["keys", "prefix", "all"].iter().filter(|way| self.arguments.contains_key(**way)).count();
        if ways == 1 { Ok(()) } else { Err("say exactly one of `keys`, `prefix` and `all`: true".to_owned()) }
    }

    fn check_jobs(&mut self) -> Result<(), String> {
        self.only(JOB_MEMBERS)?;
        self.required_text("queue")?;
        self.optional_texts("ids")?;
        if let Some(state) = self.optional_text("state")?
            && !STATES.contains(&state)
        {
            return Err(format!("`state` is {state:?}; one of: {} (active jobs are left alone)", STATES.join(", ")));
        }
        match (self.arguments.contains_key("ids"), self.arguments.contains_key("state")) {
            (true, true) => return Err("say `ids` or `state`, not both".to_owned()),
            (_, false) if self.name == "jobs.clear" => {
                return Err("`state` is missing: say which jobs to clear, such as \"failed\"".to_owned());
            }
            (false, false) => {
                self.arguments.insert("state".to_owned(), "failed".into());
            }
            _ => {}
        }
        if let Some(age) = self.arguments.remove("older_than") {
            let seconds = seconds(&age).ok_or("`older_than` must be seconds or a span, such as 3600 or \"1h\"")?;
            self.arguments.insert("older_than".to_owned(), seconds.into());
        }
        let limit = self.arguments.remove("limit").unwrap_or_else(|| LIMIT_DEFAULT.into());
        let limit = limit.as_u64().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let limit = limit.ok_or_else(|| format!("`limit` must be a whole number from 1 to {LIMIT_MAX}"))?;
        self.arguments.insert("limit".to_owned(), limit.into());
        Ok(())
    }

    /// A slip in a name must not quietly do something else.
    fn only(&self, members: &[&str]) -> Result<(), String> {
        match self.arguments.keys().find(|member| !members.contains(&member.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let shown: String = unknown.chars().take(40).collect();
                Err(format!("there is no member {shown:?} here; there are: {}, dry_run", members.join(", ")))
            }
        }
    }

    fn required_text(&self, member: &str) -> Result<(), String> {
        self.optional_text(member)?.map(|_| ()).ok_or_else(|| format!("`{member}` is missing: a text"))
    }

    fn optional_text(&self, member: &str) -> Result<Option<&str>, String> {
        match self.arguments.get(member) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= TEXT_BYTES_MAX => Ok(Some(text)),
            Some(_) => Err(format!("`{member}` must be a text of 1 to {TEXT_BYTES_MAX} bytes")),
        }
    }

    fn optional_texts(&self, member: &str) -> Result<(), String> {
        let good = |item: &Value| item.as_str().is_some_and(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX);
        match self.arguments.get(member) {
            None => Ok(()),
            Some(Value::Array(items)) if (1..=LIST_MAX).contains(&items.len()) && items.iter().all(good) => Ok(()),
            Some(_) => Err(format!("`{member}` must be a list of 1 to {LIST_MAX} texts")),
        }
    }
}

impl ActionOutcome {
    /// It applied to `matched` things and changed `affected` of them.
    pub fn new(matched: u64, affected: u64) -> Self {
        Self { matched, affected, message: None }
    }

    /// The same with a remark.
    #[must_use]
    pub fn remark(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
}

fn seconds(age: &Value) -> Option<u64> {
    let text = match age {
        Value::Number(seconds) => return seconds.as_u64(),
        Value::String(text) => text.as_str(),
        _ => return None,
    };
    let (digits, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, body: &str) -> Result<ActionRequest, String> {
        ActionRequest::parse(name, body.as_bytes(), false)
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_the_member_is_named() {
        for (name, body, said) in [
            ("cache.warm", "{}", "`cache`"),
            ("cache.warm", r#"{"cache":"products"}"#, "exactly one"),
            ("cache.invalidate", r#"{"cache":"products","all":true,"prefix":"p"}"#, "exactly one"),
            ("cache.invalidate", r#"{"cache":"products","all":false}"#, "`all`"),
            ("cache.invalidate", r#"{"cache":"products","keys":[]}"#, "`keys`"),
            ("cache.invalidate", r#"{"cache":"products","everything":true}"#, "everything"),
            ("jobs.clear", r#"{"queue":"email"}"#, "`state`"),
            ("jobs.clear", r#"{"queue":"email","state":"active"}"#, "active"),
            ("jobs.retry", r#"{"queue":"email","ids":["1"],"state":"failed"}"#, "not both"),
            ("jobs.retry", r#"{"queue":"email","limit":0}"#, "`limit`"),
            ("jobs.retry", r#"{"queue":"email","older_than":"soon"}"#, "`older_than`"),
            ("anything", r#"{"dry_run":"yes"}"#, "`dry_run`"),
            ("anything", "[]", "object"),
            ("anything", "{", "not JSON"),
        ] {
            let error = parse(name, body).unwrap_err();
            assert!(error.contains(said), "{name} {body}: {error}");
        }
    }

    #[test]
    fn a_retry_takes_failed_jobs_and_a_thousand_of_them_unless_told_otherwise() {
        let request = parse("jobs.retry", r#"{"queue":"email","older_than":"2h","dry_run":true}"#).unwrap();
        assert_eq!((request.text("state"), request.integer("limit")), (Some("failed"), Some(1_000)));
        assert_eq!((request.integer("older_than"), request.is_dry_run()), (Some(7_200), true));
    }

    #[test]
    fn other_actions_get_what_was_sent() {
        let request = ActionRequest::parse("flags.set", br#"{"name":"beta","on":true,"ids":["a"]}"#, true).unwrap();
        assert_eq!(
            (request.text("name"), request.flag("on"), request.texts("ids")),
            (Some("beta"), true, Some(vec!["a"]))
        );
        assert!(request.is_dry_run());
    }
}
