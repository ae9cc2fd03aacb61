//! `sac`: the command line on the built-in tasks.

fn main() -> std::process::ExitCode {
    sac::cli::run(sac::Registry::builtin())
}
