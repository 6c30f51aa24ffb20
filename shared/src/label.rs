//! The attributes of one series: names with values, sorted, unique; where they came from is not known here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An attribute name in OpenTelemetry form, such as `http.route`.
pub type LabelName = Cow<'static, str>;

/// Attributes of one series, sorted by name. A name occurs once; setting it again replaces its value. Clones share them:
/// cloning allocates nothing.
///
/// On the wire a JSON object of strings. Empty means a series without attributes.
///
/// ```
/// use heartline_shared::Labels;
///
/// let labels = Labels::from_pairs([("http.route", "/cart"), ("http.request.method", "GET")]);
/// assert_eq!(labels.value("http.route"), Some("/cart"));
/// assert_eq!(labels.value("url.scheme"), None);
/// assert_eq!(labels.to_string(), r#"{http.request.method="GET", http.route="/cart"}"#);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Option<Arc<[(LabelName, String)]>>);

impl Labels {
    /// A series without attributes.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Labels from pairs in any order.
    pub fn from_pairs<N: Into<LabelName>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut sorted = Vec::new();
        for (name, value) in pairs {
            let _ = put(&mut sorted, name.into(), value.into()); // the last one counts
        }
        Self::of(sorted)
    }

    fn of(sorted: Vec<(LabelName, String)>) -> Self {
        Self((!sorted.is_empty()).then(|| sorted.into()))
    }

    fn pairs(&self) -> &[(LabelName, String)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The value of `name`, if the series has it.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.pairs().binary_search_by(|(have, _)| have.as_ref().cmp(name)).ok()?;
        self.pairs().get(at).map(|(_, value)| value.as_str())
    }

    /// Sets `name` to `value`, replacing what was there.
    pub fn set(&mut self, name: impl Into<LabelName>, value: impl Into<String>) {
        let mut pairs = self.pairs().to_vec();
        let _ = put(&mut pairs, name.into(), value.into()); // the last one counts
        *self = Self::of(pairs);
    }

    /// The same labels with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: impl Into<LabelName>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs().iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// How many attributes there are.
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Bytes of memory that names and values take, beside the labels themselves.
    pub fn heap_bytes(&self) -> usize {
        let owned = |name: &LabelName| if let LabelName::Owned(name) = name { name.len() } else { 0 };
        self.pairs().iter().map(|pair| size_of_val(pair) + owned(&pair.0) + pair.1.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Puts a pair where its name belongs.
///
/// # Errors
/// The name, when it was there; its value is replaced.
fn put(sorted: &mut Vec<(LabelName, String)>, name: LabelName, value: String) -> Result<(), LabelName> {
    match sorted.binary_search_by(|(have, _)| have.cmp(&name)) {
        Ok(at) => {
            sorted[at].1 = value;
            Err(name)
        }
        Err(at) => {
            sorted.insert(at, (name, value));
            Ok(())
        }
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attribute names and string values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut pairs: Vec<(LabelName, String)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if let Err(replaced) = put(&mut pairs, name.into(), value) {
                return Err(serde::de::Error::custom(format!("attribute {replaced:?} occurs twice")));
            }
        }
        Ok(Labels::of(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire_in_name_order() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1")]);
        let wire = serde_json::to_string(&labels).unwrap();
        assert_eq!(wire, r#"{"a":"1","b":"2"}"#);
        assert_eq!(serde_json::from_str::<Labels>(&wire).unwrap(), labels);
    }

    #[test]
    fn its_bytes_are_its_pairs_and_what_they_own() {
        let labels = Labels::from_pairs([("a", "12345")]).with("owned".to_owned(), "6");
        assert_eq!(labels.heap_bytes(), 2 * size_of::<(LabelName, String)>() + 5 + 5 + 1);
    }

    #[test]
    fn refuses_an_attribute_that_occurs_twice() {
        let error = serde_json::from_str::<Labels>(r#"{"a":"1","a":"2"}"#).unwrap_err();
        assert!(error.to_string().contains("occurs twice"), "{error}");
    }
}
