//! Whether every package's licence expression can be satisfied by the licences that `deny.toml` allows.
//! The same rule as `cargo deny check licenses`, without its build.

use super::source::Violation;
use super::tree::Package;

/// The allowed SPDX names.
pub(crate) fn allowed(deny_toml: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(deny_toml).unwrap_or_else(|error| panic!("deny.toml: {error}"));
    let list = table["licenses"]["allow"].as_array().expect("deny.toml lists allowed licences");
    list.iter().map(|name| name.as_str().expect("a licence is a string").to_owned()).collect()
}

/// Every package whose licence is missing or not allowed.
pub(crate) fn violations(allowed: &[String], packages: &[Package]) -> Vec<Violation> {
    let fine = |package: &&Package| package.licence.as_deref().is_some_and(|licence| satisfied(licence, allowed));
    let report = |package: &Package| {
        let licence = package.licence.as_deref().unwrap_or("none given");
        let what =
            format!("{} {} has the licence `{licence}`, which deny.toml does not allow", package.name, package.version);
        Violation::new("Cargo.lock", 0, what)
    };
    packages.iter().filter(|package| !fine(package)).map(report).collect()
}

/// An SPDX expression: `OR` and the old `/` are choices, `AND` demands both, brackets group; `AND` binds tighter.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "+WITH+");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (value, rest) = any_of(&words, allowed);
    value && rest.is_empty()
}

fn any_of<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut value, mut rest) = all_of(words, allowed);
    while let ["OR", behind @ ..] = rest {
        let (other, behind) = all_of(behind, allowed);
        (value, rest) = (value || other, behind);
    }
    (value, rest)
}

fn all_of<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut value, mut rest) = one(words, allowed);
    while let ["AND", behind @ ..] = rest {
        let (other, behind) = one(behind, allowed);
        (value, rest) = (value && other, behind);
    }
    (value, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", behind @ ..] => {
            let (value, rest) = any_of(behind, allowed);
            (value, rest.strip_prefix(&[")"]).unwrap_or(rest))
        }
        [name, behind @ ..] => (allowed.contains(&name.replace("+WITH+", " WITH ")), behind),
        [] => (false, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_defines_them() {
        let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        for good in
            ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(GPL-3.0 OR ISC) AND MIT", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "", "MIT AND (GPL-3.0 OR BSL-1.0)"] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn a_package_without_an_allowed_licence_is_caught() {
        let package = |licence: Option<&str>| Package {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
        };
        let allowed = ["MIT".to_owned()];
        assert_eq!(violations(&allowed, &[package(Some("AGPL-3.0"))]).len(), 1);
        assert_eq!(violations(&allowed, &[package(None)]).len(), 1);
        assert_eq!(violations(&allowed, &[package(Some("MIT"))]), []);
    }
}
