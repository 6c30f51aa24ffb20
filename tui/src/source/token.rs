//! Tokens, each bound to the one origin it is sent to. They come from a file, and appear in no error and no debug output.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::Target;

const FILE_BYTES_MAX: u64 = 64 << 10;

/// The `Authorization` header for each origin that has one.
#[derive(Debug, Clone, Default)]
pub struct Tokens(BTreeMap<String, HeaderValue>);

impl Tokens {
    /// Reads a token file: either one token, for the one origin that `targets` have, or lines of `ORIGIN TOKEN`.
    /// Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// A file that cannot be read, a line that is neither form, a single token for several origins, or one that would
    /// travel unencrypted to another machine (a line that names the `http://` origin says that this is meant).
    pub fn read(path: &Path, targets: &[Target]) -> anyhow::Result<Self> {
        let size = std::fs::metadata(path).with_context(|| format!("reading the token file {}", path.display()))?.len();
        ensure!(
            size <= FILE_BYTES_MAX,
            "the token file {} is larger than 64 KiB; is it the right file?",
            path.display()
        );
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading the token file {}", path.display()))?;
        Self::parse(&text, targets).with_context(|| format!("reading the token file {}", path.display()))
    }

    fn parse(text: &str, targets: &[Target]) -> anyhow::Result<Self> {
        let lines = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let lines: Vec<(Vec<&str>, usize)> = lines.map(|(line, at)| (line.split_whitespace().collect(), at)).collect();
        if let [(words, at)] = &lines[..]
            && let [token] = words[..]
        {
            return Self::single(token, *at, targets);
        }
        let mut tokens = BTreeMap::new();
        for (words, at) in lines {
            let [origin, token] = words[..] else {
                bail!("line {at} is not `ORIGIN TOKEN`, such as `https://shop.example TOKEN`");
            };
            let url = Url::parse(origin).ok().filter(|url| url.origin().is_tuple() && url.path() == "/");
            let url =
                url.with_context(|| format!("line {at}: the first word is not an origin such as https://host:port"))?;
            tokens.insert(url.origin().ascii_serialization(), header(token, at)?);
        }
        ensure!(!tokens.is_empty(), "it has no token in it");
        Ok(Self(tokens))
    }

    fn single(token: &str, line: usize, targets: &[Target]) -> anyhow::Result<Self> {
        let Some(first) = targets.first() else { bail!("there is no target to send the token to") };
        ensure!(
            targets.iter().all(|target| target.origin() == first.origin()),
            "it has one token for several targets, and a token belongs to one; write a line `ORIGIN TOKEN` for each"
        );
        let origin = first.origin();
        ensure!(
            first.is_private(),
            "the token would travel unencrypted to {origin}; use https, or write the line `{origin} TOKEN` if you mean it"
        );
        Ok(Self(BTreeMap::from([(origin, header(token, line)?)])))
    }

    /// The header for a target; `None` when no token is bound to its origin.
    pub fn of(&self, target: &Target) -> Option<&HeaderValue> {
        self.0.get(&target.origin())
    }
}

fn header(token: &str, line: usize) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok();
    let mut value = value.with_context(|| format!("line {line}: the token has characters that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "canary-0123456789-0123456789-0123";

    fn targets(names: &[&str]) -> Vec<Target> {
        names.iter().map(|name| Target::parse(name).unwrap()).collect()
    }

    #[test]
    fn one_token_goes_to_the_one_origin() {
        let targets = targets(&["https://shop", "https://shop/other"]);
        let tokens = Tokens::parse(&format!("# read\n{SECRET}\n"), &targets).unwrap();
        assert_eq!(tokens.of(&targets[0]).unwrap().to_str().unwrap(), format!("Bearer {SECRET}"));
    }

    #[test]
    fn a_token_is_sent_to_its_origin_only() {
        let targets = targets(&["http://a:1", "http://a:2", "https://a:1"]);
        let tokens = Tokens::parse(&format!("http://a:1 {SECRET}"), &targets).unwrap();
        assert_eq!(targets.iter().map(|target| tokens.of(target).is_some()).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn no_error_and_no_debug_output_shows_a_token() {
        let several = targets(&["https://a", "https://b"]);
        let plain = targets(&["10.0.0.1"]);
        let cases = [
            (format!("https://a {SECRET} {SECRET}"), &several),
            (format!("{SECRET} {SECRET}"), &several),
            (SECRET.to_owned(), &several),
            (SECRET.to_owned(), &plain),
            (format!("https://a {SECRET}\u{7f}"), &several),
            (String::new(), &several),
        ];
        for (text, targets) in cases {
            let error = Tokens::parse(&text, targets).unwrap_err();
            assert!(!format!("{error:#} {error:?}").contains("canary"), "{error:#}");
        }
        let tokens = Tokens::parse(&format!("https://a {SECRET}"), &several).unwrap();
        assert!(!format!("{tokens:?}").contains("canary"));
    }
}
