//! Reads TOML tables key by key, so that every unknown key, wrong type and missing key of a file is reported with its
//! place. What the keys mean is not known here.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Problems, did_you_mean, one_of};
use super::quantity;

type Key<'t> = Spanned<DeString<'t>>;
type Node<'t> = Spanned<DeValue<'t>>;

/// A string of the file that can tell where each of its bytes stands.
#[derive(Debug, Clone)]
pub(super) struct Text<'t> {
    pub(super) value: &'t str,
    /// The whole string with its quotes.
    pub(super) span: Range<usize>,
    /// Where the content starts; absent when escapes make positions inside the string inexact.
    content: Option<usize>,
}

impl Text<'_> {
    /// The place in the file of a range of the content.
    pub(super) fn place(&self, inside: &Range<usize>) -> Range<usize> {
        match self.content {
            Some(start) => start + inside.start..start + inside.end,
            None => self.span.clone(),
        }
    }
}

/// One table of the file while it is read.
pub(super) struct Fields<'t> {
    /// How messages call it: `[[alert]] HttpErrorRatio`.
    pub(super) what: String,
    pub(super) span: Range<usize>,
    pub(super) problems: &'t Problems<'t>,
    table: &'t DeTable<'t>,
    known: BTreeSet<&'static str>,
}

impl<'t> Fields<'t> {
    pub(super) fn new(
        what: impl Into<String>,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        problems: &'t Problems<'t>,
    ) -> Self {
        Self { what: what.into(), span, problems, table, known: BTreeSet::new() }
    }

    /// The place of the key, for messages about its value as a whole.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or(self.span.clone(), |(key, _)| key.span())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Text<'t>> {
        let node = self.node(key)?;
        self.expect_text(key, node)
    }

    /// A string that must be there; its absence is reported.
    pub(super) fn required_text(&mut self, key: &'static str) -> Option<Text<'t>> {
        if !self.has(key) {
            self.known.insert(key);
            let what = &self.what;
            self.problems.missing(self.span.clone(), format!("{what} has no `{key}`"), None);
            return None;
        }
        self.text(key)
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<String> {
        self.text(key).map(|text| text.value.to_owned())
    }

    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        match quantity::parse_duration(text.value) {
            Ok(duration) => Some(duration),
            Err(reason) => {
                let help = "write it like `30s`, `5m` or `1h30m`".to_owned();
                self.problems.report(text.span, format!("`{key}` is no duration: {reason}"), Some(help));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        node.get_ref().as_bool().or_else(|| self.wrong_type(key, node, "`true` or `false`"))
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<u64> {
        let node = self.node(key)?;
        let integer = node.get_ref().as_integer();
        let number = integer.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
        number.or_else(|| self.wrong_type(key, node, "a whole number that is not negative"))
    }

    pub(super) fn number(&mut self, key: &'static str) -> Option<f64> {
        let node = self.node(key)?;
        number_of(node.get_ref()).or_else(|| self.wrong_type(key, node, "a finite number"))
    }

    pub(super) fn numbers(&mut self, key: &'static str) -> Option<Vec<f64>> {
        let node = self.node(key)?;
        let array = node.get_ref().as_array();
        let numbers = array.and_then(|it| it.iter().map(|item| number_of(item.get_ref())).collect());
        numbers.or_else(|| self.wrong_type(key, node, "an array of finite numbers"))
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Text<'t>>> {
        let node = self.node(key)?;
        let Some(array) = node.get_ref().as_array() else { return self.wrong_type(key, node, "an array of strings") };
        Some(array.iter().filter_map(|item| self.expect_text(key, item)).collect())
    }

    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.texts(key).map(|texts| texts.into_iter().map(|text| text.value.to_owned()).collect())
    }

    /// One of a closed set of words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names = || choices.iter().map(|(name, _)| *name);
            let message = format!("`{key}` cannot be `{}`; it is {}", text.value, one_of(names()));
            self.problems.report(text.span, message, did_you_mean(text.value, names()));
        }
        found.map(|(_, value)| *value)
    }

    /// A table below this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Self> {
        let node = self.node(key)?;
        let what = format!("`{key}` of {}", self.what);
        match node.get_ref().as_table() {
            Some(table) => Some(Self::new(what, table, node.span(), self.problems)),
            None => self.wrong_type(key, node, "a table"),
        }
    }

    /// An array of tables below this one; empty when the key is absent.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Some(array) = node.get_ref().as_array() else {
            self.wrong_type::<()>(key, node, "an array of tables");
            return Vec::new();
        };
        let tables = array.iter().filter_map(|item| match item.get_ref().as_table() {
            Some(table) => Some(Self::new(format!("`{key}` of {}", self.what), table, item.span(), self.problems)),
            None => self.wrong_type(key, item, "a table"),
        });
        tables.collect()
    }

    /// Names of the user's choice with strings as values.
    pub(super) fn named_texts(&mut self, key: &'static str) -> Vec<(Text<'t>, Text<'t>)> {
        let Some(fields) = self.table(key) else { return Vec::new() };
        let pairs = fields.entries().into_iter();
        let text = |(name, node): (Text<'t>, &'t Node<'t>)| {
            let text = fields.expect_text(name.value, node)?;
            Some((name, text))
        };
        pairs.filter_map(text).collect()
    }

    /// Names of the user's choice with tables as values.
    pub(super) fn named_tables(&mut self, key: &'static str) -> Vec<(Text<'t>, Self)> {
        let Some(fields) = self.table(key) else { return Vec::new() };
        let pairs = fields.entries().into_iter();
        let table = |(name, node): (Text<'t>, &'t Node<'t>)| {
            let Some(table) = node.get_ref().as_table() else { return fields.wrong_type(key, node, "a table") };
            let what = format!("[{key}] {}", name.value);
            Some((name, Self::new(what, table, node.span(), fields.problems)))
        };
        pairs.filter_map(table).collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !self.known.contains(name) {
                let help = did_you_mean(name, self.known.iter().copied());
                let allowed = || format!("it may have {}", one_of(self.known.iter().copied()));
                let message = format!("{} has no key `{name}`", self.what);
                self.problems.report(key.span(), message, Some(help.unwrap_or_else(allowed)));
            }
        }
    }

    fn entries(&self) -> Vec<(Text<'t>, &'t Node<'t>)> {
        let name = |key: &'t Key<'t>| text_at(self.problems.source.text, key.get_ref(), key.span());
        self.table.iter().map(|(key, node)| (name(key), node)).collect()
    }

    fn node(&mut self, key: &'static str) -> Option<&'t Node<'t>> {
        self.known.insert(key);
        self.table.get(key)
    }

    fn expect_text(&self, key: &str, node: &'t Node<'t>) -> Option<Text<'t>> {
        match node.get_ref().as_str() {
            Some(value) => Some(text_at(self.problems.source.text, value, node.span())),
            None => self.wrong_type(key, node, "a string"),
        }
    }

    fn wrong_type<T>(&self, key: &str, node: &Node<'_>, wanted: &str) -> Option<T> {
        let message = format!("`{key}` must be {wanted}, not {}", described(node.get_ref()));
        self.problems.report(node.span(), message, None);
        None
    }
}

fn text_at<'t>(file: &str, value: &'t str, span: Range<usize>) -> Text<'t> {
    let raw = file.get(span.clone()).unwrap_or_default();
    let content = raw.find(value).map(|at| span.start + at);
    Text { value, span, content }
}

fn number_of(value: &DeValue<'_>) -> Option<f64> {
    let number = match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok()? as f64,
        DeValue::Float(float) => float.as_str().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(integer) if integer.as_str().starts_with('-') => "a negative number",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
