//! Reports every mistake of an alert file with its place.

use std::io::Write;
use std::process::ExitCode;

use super::state::plural;
use crate::alerting::RuleSource;

/// Reads the rules; says on `out` what is in them, or on `problems` what is wrong, and gives exit code 0 or 1.
///
/// # Errors
/// When the output cannot be written.
pub fn check_rules(source: &RuleSource, out: &mut dyn Write, problems: &mut dyn Write) -> std::io::Result<ExitCode> {
    let name = source.name();
    match source.read() {
        Ok(file) => {
            let count = file.rules().len();
            writeln!(out, "{name}: {count} {}, no mistakes", plural(count, "alert"))?;
            for unused in file.not_evaluated() {
                writeln!(out, "note: {} ({}): {}", unused.section, unused.entries, unused.consequence)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(mistakes) => {
            for mistake in mistakes {
                writeln!(problems, "{mistake}")?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (ExitCode, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.toml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut problems) = (Vec::new(), Vec::new());
        let code = check_rules(&RuleSource::File(path), &mut out, &mut problems).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(problems).unwrap())
    }

    #[test]
    fn sound_rules_are_counted() {
        let rule = "version = 1\n[[alert]]\nname = 'Slow'\nsignal = 'http.p95'\nwarning = '> 1s'\n";
        let (code, out, problems) = checked(rule);
        assert_eq!((code, problems.as_str()), (ExitCode::SUCCESS, ""));
        assert!(out.contains("1 alert, no mistakes"), "{out}");
    }

    #[test]
    fn every_mistake_is_reported_with_a_caret() {
        let (code, out, problems) =
            checked("version = 1\n[[alert]]\nname = 'Slow'\nsignal = 'p95(nonsense)'\nwarning = '> 1 apple'\n");
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(problems.contains(":4:") && problems.contains(":5:") && problems.contains('^'), "{problems}");
    }
}
