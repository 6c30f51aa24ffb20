//! Summaries with places for the value and labels: `{value} of requests fail on {instance}`.
//! Where the value comes from is not known here.

use std::fmt;
use std::ops::Range;

use super::quantity::Refusal;
use crate::label::Labels;

/// A line of text with places that are filled in per alert instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place { name: String, at: Range<usize> },
}

impl Template {
    /// Reads `{value}` and `{label.name}`; `{{` and `}}` stand for braces.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                plain.push(c);
                at += 2;
            } else if c == '{' {
                let Some(length) = rest.find('}') else {
                    let help = "close it with }, or write {{ for a brace".to_owned();
                    return Err(Refusal { place: at..text.len(), message: "this place has no end".to_owned(), help });
                };
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                let name = rest[1..length].trim().to_owned();
                parts.push(Part::Place { name, at: at..at + length + 1 });
                at += length + 1;
            } else {
                plain.push(c);
                at += c.len_utf8();
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The names that must be filled in, with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.0.iter().filter_map(|part| match part {
            Part::Place { name, at } => Some((name.as_str(), at.clone())),
            Part::Text(_) => None,
        })
    }

    /// The text with `value` and the labels filled in; a label the instance lacks stays empty.
    pub(super) fn render(&self, value: &str, labels: &Labels) -> String {
        let filled = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Place { name, .. } if name == "value" => value,
            Part::Place { name, .. } => labels.value(name).unwrap_or_default(),
        });
        filled.collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Place { name, .. } => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_value_and_labels() {
        let template = Template::parse("{value} of {{x}} on {instance}{missing}").unwrap();
        let labels = Labels::from_pairs([("instance", "a")]);
        assert_eq!(template.render("5 %", &labels), "5 % of {x} on a");
    }

    #[test]
    fn a_place_without_an_end_is_refused() {
        assert_eq!(Template::parse("ab {value").unwrap_err().place, 3..9);
    }
}
