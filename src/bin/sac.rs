//! `sac`: the program that users start. It does not name the library `sac`, and so is not linked to libtorch, which takes a
//! quarter of a second to load; `sac-torch` beside it has the commands that need that.

fn main() -> std::process::ExitCode {
    sac_cli::launch::run(std::env::args_os().collect())
}
