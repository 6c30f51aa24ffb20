//! The binary `heartline`: the library's program with this process's arguments.

fn main() -> std::process::ExitCode {
    heartline_tui::run(std::env::args_os())
}
