//! Where the programs under test are. `./test` builds them once and says where in `HEARTLINE_BINARIES`; without it each
//! test process asks cargo, which builds what is not up to date.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// Names a folder of built programs; they are taken as they are.
const FOLDER_VARIABLE: &str = "HEARTLINE_BINARIES";

/// The root of the repository.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The built program `name`: `heartline`, `heartline-shop` or `heartline-demo`.
///
/// # Errors
/// When it cannot be built.
pub fn binary(name: &str) -> Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| folder().map_err(|error| format!("{error:#}")));
    let path = folder.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?.join(name);
    ensure!(path.is_file(), "there is no program at {}", path.display());
    Ok(path)
}

fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER_VARIABLE) {
        return Ok(folder.into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(
            "build --quiet --locked --bins --message-format json --package heartline-tui --package heartline-shop"
                .split(' '),
        )
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    ensure!(output.status.success(), "the programs under test could not be built: cargo build {}", output.status);
    let messages = String::from_utf8(output.stdout)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    let first = messages.lines().find_map(executable).context("cargo built no program")?;
    Ok(first.parent().context("a program lies in a folder")?.to_owned())
}
