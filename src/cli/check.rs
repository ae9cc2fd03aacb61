//! `sac check`.

use std::{cell::RefCell, panic::panic_any};

use sac_cli::{
    args::CheckArgs,
    exit_code::{DONE, FAILED},
};
use sac_envs::{Env, check_env};

use super::{input::env_options, output::print};
use crate::{error::Result, registry::Registry};

/// Runs the conformance suite on an environment. The exit code is 1 if a check fails.
pub fn run(args: &CheckArgs, registry: &Registry) -> Result<u8> {
    let options = env_options(&args.sets)?;
    let make = || registry.make(&args.env, &options);
    // What cannot be made is reported like everywhere else. The suite makes more of them.
    let first = RefCell::new(Some(make()?));
    let again = || -> Box<dyn Env> {
        let first = first.take();
        first.unwrap_or_else(|| make().unwrap_or_else(|error| panic_any(error.to_string())))
    };
    match check_env(again) {
        Ok(report) => {
            let end = match report.saw_an_end {
                true => "",
                false => "no episode ended under random actions, so nothing after an end was checked\n",
            };
            let checks: String = report.checks.iter().map(|check| format!("  {check}\n")).collect();
            print(&format!(
                "{} passes {} checks:\n{checks}{end}",
                report.env,
                report.checks.len()
            ))?;
            Ok(DONE)
        }
        Err(failure) => {
            print(&format!("{failure}\n"))?;
            Ok(FAILED)
        }
    }
}
