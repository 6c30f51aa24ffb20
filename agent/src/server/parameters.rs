//! The query parameters of a route: declared once, from which both their parsing and their description in the contract
//! follow. A value that cannot be meant is an error that names the parameter.

use serde_json::{Value, json};

use super::problem::Problem;

/// Bytes that a query string may have; a longer one cannot be meant.
const QUERY_BYTES_MAX: usize = 4 << 10;

/// One declared query parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// One sentence: what it does and what holds without it.
    pub(super) about: &'static str,
}

/// What a parameter's value looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// Present or not; `true`, `1` or nothing is yes, `false` or `0` is no.
    Flag,
    /// A whole number within these bounds.
    Integer { min: u64, max: u64 },
    /// Text that the handler reads by itself; this is its schema. Given twice, it is refused here.
    Own(fn() -> Value),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any number of texts.
    Texts,
}

/// The parameters of one request, each checked against its declaration.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Query(Vec<(&'static str, Given)>);

#[derive(Debug, Clone, PartialEq)]
enum Given {
    Flag(bool),
    Integer(u64),
    Choice(&'static str),
    Text(String),
}

impl Query {
    /// Parses `query` as `declared` says. With `strict`, a parameter that is not declared is an error: a slip in a name
    /// must not quietly give another answer.
    pub(super) fn parse(query: &str, declared: &[Parameter], strict: bool) -> Result<Self, Problem> {
        if query.len() > QUERY_BYTES_MAX {
            let detail = format!("the query string has {} bytes; {QUERY_BYTES_MAX} are enough for anyone", query.len());
            return Err(Problem::bad_request(detail));
        }
        let mut given = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = declared.iter().find(|parameter| parameter.name == name) else {
                if strict {
                    return Err(unknown(&name, declared));
                }
                continue;
            };
            let repeated = !matches!(parameter.form, Form::Texts) && given.find(parameter.name).is_some();
            if repeated {
                return Err(Problem::bad_request(format!(
                    "parameter `{}` is given twice; once is enough",
                    parameter.name
                )));
            }
            let parsed = parameter.form.parse(&value).ok_or_else(|| {
                let (name, expected) = (parameter.name, parameter.form.expected());
                Problem::bad_request(format!("parameter `{name}` is {:?}; {expected}", shortened(&value)))
            })?;
            given.0.push((parameter.name, parsed));
        }
        Ok(given)
    }

    fn find(&self, wanted: &str) -> Option<&Given> {
        self.0.iter().find(|(name, _)| *name == wanted).map(|(_, given)| given)
    }

    /// Whether the flag is set.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.find(name), Some(Given::Flag(true)))
    }

    /// The whole number, if given.
    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        if let Some(Given::Integer(value)) = self.find(name) { Some(*value) } else { None }
    }

    /// The text, if given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        if let Some(Given::Text(value)) = self.find(name) { Some(value) } else { None }
    }

    /// The chosen word, if one was.
    pub(crate) fn choice(&self, name: &str) -> Option<&'static str> {
        if let Some(Given::Choice(value)) = self.find(name) { Some(value) } else { None }
    }

    /// Each text given under this name, in order.
    pub(crate) fn texts<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |(name, given)| match given {
            Given::Text(value) if *name == wanted => Some(value.as_str()),
            _ => None,
        })
    }
}

impl Form {
    fn parse(self, value: &str) -> Option<Given> {
        Some(match self {
            Self::Flag => Given::Flag(match value {
                "" | "1" | "true" => true,
                "0" | "false" => false,
                _ => return None,
            }),
            Self::Integer { min, max } => Given::Integer(integer(value).filter(|value| (min..=max).contains(value))?),
            Self::Choice(words) => Given::Choice(words.iter().find(|word| **word == value)?),
            Self::Own(_) | Self::Texts => Given::Text(value.to_owned()),
        })
    }

    /// What would have been understood.
    fn expected(self) -> String {
        match self {
            Self::Flag => "write true or false, or only the name".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Choice(words) => format!("one of: {}", words.join(", ")),
            Self::Own(_) | Self::Texts => "any text".to_owned(),
        }
    }

    /// Its JSON schema in the contract.
    pub(super) fn schema(self) -> Value {
        match self {
            Self::Flag => json!({"type": "string", "enum": ["", "true", "false", "1", "0"]}),
            Self::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
            Self::Own(schema) => schema(),
            Self::Choice(words) => json!({"type": "string", "enum": words}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
        }
    }
}

fn integer(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}

fn unknown(name: &str, declared: &[Parameter]) -> Problem {
    let names: Vec<&str> = declared.iter().map(|parameter| parameter.name).collect();
    let known =
        if names.is_empty() { "there are none here".to_owned() } else { format!("known: {}", names.join(", ")) };
    Problem::bad_request(format!("there is no parameter {:?}; {known}", shortened(name)))
}

/// As much of a value as an error repeats.
fn shortened(value: &str) -> String {
    let mut short: String = value.chars().take(60).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Parameter] = &[
        Parameter { name: "window", form: Form::Own(|| json!({"type": "string"})), about: "" },
        Parameter { name: "limit", form: Form::Integer { min: 1, max: 100 }, about: "" },
        Parameter { name: "sort", form: Form::Choice(&["total", "p95"]), about: "" },
        Parameter { name: "verbose", form: Form::Flag, about: "" },
        Parameter { name: "name[]", form: Form::Texts, about: "" },
    ];

    fn refused(query: &str) -> String {
        let problem = Query::parse(query, DECLARED, true).unwrap_err();
        problem.document()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_form_is_understood() {
        let text = "window=5m&limit=7&sort=p95&verbose&name[]=a&name%5B%5D=b";
        let query = Query::parse(text, DECLARED, true).unwrap();
        assert_eq!(query.text("window"), Some("5m"));
        assert_eq!((query.integer("limit"), query.choice("sort")), (Some(7), Some("p95")));
        assert!(query.flag("verbose"));
        assert_eq!(query.texts("name[]").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!Query::parse("verbose=false", DECLARED, true).unwrap().flag("verbose"));
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_refused_by_name() {
        for (query, part) in [
            ("window=1m&window=2m", "parameter `window`"),
            ("limit=-1", "from 1 to 100"),
            ("limit=", "parameter `limit`"),
            ("sort=name", "one of: total, p95"),
            ("verbose=maybe", "parameter `verbose`"),
            ("limit=1&limit=2", "given twice"),
            ("windw=5m", "known: window, limit"),
        ] {
            assert!(refused(query).contains(part), "{query}: {}", refused(query));
        }
        let long = refused(&format!("sort={}", "x".repeat(2_000)));
        assert!(long.len() < 300, "{long}");
        assert!(refused(&"x".repeat(QUERY_BYTES_MAX + 1)).contains("query string"));
    }

    #[test]
    fn what_is_not_declared_is_ignored_where_tools_add_their_own() {
        assert_eq!(Query::parse("timeout=32s", DECLARED, false), Ok(Query::default()));
    }
}
