//! Writes the dashboards and the linter's exceptions into `grafana/dashboards`, or says which of them are not up to date.
//!
//! ```text
//! cargo run -p heartline-boards             writes them
//! cargo run -p heartline-boards -- --check  changes nothing; fails when one is not what it would write
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use heartline_boards::boards;
use heartline_boards::files::{files, outdated};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => write(&folder),
        [option] if option == "--check" => check(&folder),
        other => bail!("unknown arguments {other:?}: there is only --check"),
    }
}

fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files(&boards::all())? {
        let path = folder.join(&name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for stray in outdated(folder)? {
        fs::remove_file(folder.join(&stray)).with_context(|| format!("cannot remove {stray}"))?;
    }
    Ok(())
}

fn check(folder: &Path) -> Result<()> {
    let outdated = outdated(folder)?;
    if outdated.is_empty() {
        return Ok(());
    }
    bail!("not up to date: {}. Run: cargo run -p heartline-boards", outdated.join(", "))
}

#[expect(clippy::print_stderr, reason = "the only output of a program")]
fn report(text: &str) {
    eprintln!("{text}");
}
