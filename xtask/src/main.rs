//! `cargo xtask`: set-up and test driver of the workspace. It needs neither libtorch nor MuJoCo, so it builds on a
//! machine with nothing but Rust.

#![allow(
    clippy::print_stdout,
    reason = "a program for the command line; its output is its purpose"
)]

/// Prints a line to standard error. Standard output belongs to the program that `cargo sac` runs.
macro_rules! say {
    ($($part:tt)*) => {{
        // A closed standard error is no reason to stop.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($part)*)));
    }};
}

mod bench;
mod bytes;
mod curves;
mod deny;
mod launch;
mod parity;
mod pins;
mod python;
mod python_package;
mod setup;
mod test;
mod workspace;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use pins::Flavour;
use setup::Depth;
use workspace::Workspace;

const HELP: &str = include_str!("help.txt");

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let text = format!("{error:#}");
            say!("error: {text}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// An error in the command line.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\nrun `cargo xtask help` for the commands", self.0)
    }
}

impl std::error::Error for Usage {}

fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let mut arguments = arguments.into_iter();
    let command = arguments.next().map(|word| word.to_string_lossy().into_owned());
    match command.as_deref() {
        Some("setup") => {
            let options = setup_options(arguments)?;
            setup::ensure(&Workspace::locate()?, options)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("sac") => launch::sac(&Workspace::locate()?, arguments.collect()),
        Some("test") => test::run(&Workspace::locate()?, test_mode(arguments)?),
        Some("python") => {
            println!("{}", python::environment(&Workspace::locate()?)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Some("wheel") => {
            python_package::check(&Workspace::locate()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some("curves") => curves::run(&Workspace::locate()?, &curves_options(arguments)?),
        Some("campaign") => curves::campaign::run(&Workspace::locate()?, &campaign_options(arguments)?),
        Some("results") => curves::results(&Workspace::locate()?, results_arguments(arguments)?),
        Some("bench") => bench::run(&Workspace::locate()?, &bench_options(arguments)?),
        Some("kills") => {
            let (count, module) = kills(arguments)?;
            test::kills(&Workspace::locate()?, count, module)
        }
        Some("slurm") => test::slurm(&Workspace::locate()?),
        Some("fuzz") => {
            let (what, cases) = fuzz_options(arguments)?;
            test::fuzz(&Workspace::locate()?, &what, cases)
        }
        Some("parity") => parity::run(&Workspace::locate()?, &arguments.collect::<Vec<_>>()),
        Some("deny") => {
            deny::check(Workspace::locate()?.root())?;
            Ok(ExitCode::SUCCESS)
        }
        None | Some("help" | "--help" | "-h") => {
            println!("{}", HELP.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => bail!(Usage(format!("unknown command `{other}`"))),
    }
}

fn setup_options(arguments: impl Iterator<Item = OsString>) -> Result<setup::Options> {
    let mut options = setup::Options {
        flavour: None,
        depth: Depth::Sizes,
        verbose: true,
    };
    for argument in arguments {
        match argument.to_string_lossy().as_ref() {
            "--cuda" => options.flavour = Some(Flavour::Cuda),
            "--cpu" => options.flavour = Some(Flavour::Cpu),
            "--check" => options.depth = Depth::Hashes,
            other => bail!(Usage(format!(
                "`setup` does not know `{other}`; it takes --cuda, --cpu and --check"
            ))),
        }
    }
    Ok(options)
}

fn curves_options(arguments: impl Iterator<Item = OsString>) -> Result<curves::Options> {
    let mut options = curves::Options::default();
    for argument in arguments {
        match argument.to_string_lossy().as_ref() {
            "--recorded" => options.recorded = true,
            "--all" => options.all = true,
            flag if flag.starts_with('-') => bail!(Usage(format!(
                "`curves` does not know `{flag}`; it takes the name of an experiment, --all and --recorded"
            ))),
            name => options.only = Some(name.to_string()),
        }
    }
    Ok(options)
}

fn campaign_options(mut arguments: impl Iterator<Item = OsString>) -> Result<curves::campaign::Options> {
    let mut options = curves::campaign::Options::default();
    while let Some(argument) = arguments.next() {
        let word = argument.to_string_lossy();
        let mut value = || match arguments.next() {
            Some(value) => Ok(PathBuf::from(value)),
            None => bail!(Usage(format!("`{word}` takes a value"))),
        };
        match word.as_ref() {
            "--status" => options.status = true,
            "--adopt" => options.adopt.push(value()?),
            "--folder" => options.folder = Some(value()?),
            "--binary" => options.binary = Some(value()?),
            "--experiments" => options.experiments = Some(value()?),
            "--data" => options.data = Some(value()?),
            "--nice" => {
                let by = value()?;
                match by.to_string_lossy().parse() {
                    Ok(by @ 0..=19) => options.nice = Some(by),
                    _ => bail!(Usage(format!(
                        "`--nice` takes a number from 0 to 19, not `{}`",
                        by.display()
                    ))),
                }
            }
            "--jobs" => {
                let count = value()?;
                match count.to_string_lossy().parse() {
                    Ok(count) if count > 0 => options.jobs = Some(count),
                    _ => bail!(Usage(format!(
                        "`--jobs` takes a number above 0, not `{}`",
                        count.display()
                    ))),
                }
            }
            flag if flag.starts_with('-') => bail!(Usage(format!(
                "`campaign` does not know `{flag}`; it takes names of experiments, --status, --adopt RUN, --jobs N, \
                 --nice N, --folder DIR, --binary FILE, --experiments DIR and --data DIR"
            ))),
            name => options.names.push(name.to_string()),
        }
    }
    Ok(options)
}

fn results_arguments(arguments: impl Iterator<Item = OsString>) -> Result<&'static [&'static str]> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(&[]),
        ["--check"] => Ok(&["--check"]),
        _ => bail!(Usage(format!(
            "`results` does not know `{}`; it takes --check",
            words.join(" ")
        ))),
    }
}

fn bench_options(mut arguments: impl Iterator<Item = OsString>) -> Result<bench::Options> {
    let mut options = bench::Options::default();
    while let Some(argument) = arguments.next() {
        match argument.to_string_lossy().as_ref() {
            "--print" => options.print = true,
            "--rounds" => {
                let count = arguments.next().unwrap_or_default();
                match count.to_string_lossy().parse() {
                    Ok(count) if count > 0 => options.rounds = count,
                    _ => bail!(Usage(format!(
                        "`--rounds` takes a number above 0, not `{}`",
                        count.to_string_lossy()
                    ))),
                }
            }
            other => bail!(Usage(format!(
                "`bench` does not know `{other}`; it takes --rounds N and --print"
            ))),
        }
    }
    Ok(options)
}

/// The number of kills, and the module of tests that does them.
fn kills(arguments: impl Iterator<Item = OsString>) -> Result<(u32, &'static str)> {
    let (mut count, mut module) = (20, "kill_resume");
    for argument in arguments {
        let word = argument.to_string_lossy();
        match word.parse() {
            Ok(given) if given > 0 => count = given,
            _ if word == "--python" => module = "python_kills",
            _ if word == "--sweep" => module = "sweep_kills",
            _ => bail!(Usage(format!(
                "`kills` takes a number above 0, --python and --sweep, not `{word}`"
            ))),
        }
    }
    Ok((count, module))
}

/// What is generated.
const FUZZED: [&str; 2] = ["config", "checkpoint"];

fn fuzz_options(arguments: impl Iterator<Item = OsString>) -> Result<(String, u64)> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (what, cases) = match words.as_slice() {
        [what] => (*what, "10000"),
        [what, "--cases", cases] => (*what, *cases),
        _ => bail!(Usage(format!(
            "`fuzz` takes one of {}, and --cases N",
            FUZZED.join(", ")
        ))),
    };
    if !FUZZED.contains(&what) {
        bail!(Usage(format!(
            "`fuzz` does not know `{what}`; it takes {}",
            FUZZED.join(", ")
        )));
    }
    match cases.parse() {
        Ok(cases) if cases > 0 => Ok((what.to_string(), cases)),
        _ => bail!(Usage(format!("`--cases` takes a number above 0, not `{cases}`"))),
    }
}

fn test_mode(arguments: impl Iterator<Item = OsString>) -> Result<test::Mode> {
    let mut mode = test::Mode::Full;
    for argument in arguments {
        match argument.to_string_lossy().as_ref() {
            "--fast" => mode = test::Mode::Fast,
            other => bail!(Usage(format!("`test` does not know `{other}`; it takes --fast"))),
        }
    }
    Ok(mode)
}
