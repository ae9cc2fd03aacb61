//! `sac-torch`: every command of `sac`, on the built-in tasks.

fn main() -> std::process::ExitCode {
    sac::cli::run(sac::Registry::builtin())
}
