//! Writes the tables and pictures of results in the pages of this repository anew from the data files of `docs/curves`.
//!
//! ```text
//! cargo run -p sac-report --example results             # writes what is not up to date
//! cargo run -p sac-report --example results -- --check  # names it, and fails
//! cargo run -p sac-report --example results -- --seal FILE.json  # gives a new data file its digest
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::{error::Error, fs, path::Path, process::ExitCode};

use sac_report::{data, pages};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        ["--seal", file] => {
            // An edited file is refused here.
            data::write(Path::new(file), &data::read(Path::new(file))?)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Err("expected --check, --seal FILE.json, or nothing".into()),
    };
    let stale = pages::stale(&root)?;
    for pages::Stale { path, text } in &stale {
        println!("{}", path.strip_prefix(&root).unwrap_or(path).display());
        if !is_check {
            fs::write(path, text)?;
        }
    }
    if is_check && !stale.is_empty() {
        println!("are not what docs/curves gives; `cargo xtask results` writes them anew");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
