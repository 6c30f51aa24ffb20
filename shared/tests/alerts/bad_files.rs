//! Bad alert files: each `bad/NAME.toml` must be refused with exactly the text of `bad/NAME.txt`.
//!
//! `UPDATE_EXPECTED=1 cargo test -p heartline-shared --features alerts --test alerts` writes the texts anew; read the
//! difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use heartline_shared::alerts::AlertFile;

fn bad_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts/bad");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    files
}

#[test]
fn each_is_refused_with_the_message_beside_it() {
    let files = bad_files();
    assert!(files.len() >= 12, "only {} bad files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let faults = AlertFile::parse(&text, &name).err().unwrap_or_default();
        let rendered: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let rendered = rendered.join("\n\n") + "\n";
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &rendered).unwrap();
        }
        if faults.is_empty() || fs::read_to_string(&expected).ok().as_ref() != Some(&rendered) {
            wrong.push(format!("{name} gives\n{rendered}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_prefix_and_no_single_broken_byte_of_the_shipped_file_makes_the_reader_panic() {
    let shipped = include_str!("../../../alerts.toml");
    for (end, _) in shipped.char_indices().step_by(41) {
        let _ = AlertFile::parse(&shipped[..end], "cut.toml");
        let mut broken = shipped.to_owned();
        broken.insert(end, ['"', '{', ']', '\u{0}', '=', '(', '\''][end % 7]);
        let faults = AlertFile::parse(&broken, "broken.toml").err().unwrap_or_default();
        assert!(faults.iter().all(|fault| fault.line >= 1 && !fault.to_string().contains('\u{0}')));
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let faults = AlertFile::parse(&"#".repeat((1 << 20) + 1), "big.toml").unwrap_err();
    assert!(faults[0].message.contains("larger"), "{}", faults[0]);
}
