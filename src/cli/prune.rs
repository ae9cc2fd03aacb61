//! `sac runs --prune`: removes from finished runs what only resuming needs.

use std::io::{self, BufRead, IsTerminal, Write};

use sac_cli::{
    args::RunsArgs,
    exit_code::{DONE, INTERRUPTED},
    messages::say,
    runs,
    table::bytes,
};
use sac_report::state::State;

use crate::{
    cli::output::print,
    error::{Error, Result},
    run::{RunFolder, Surplus},
};

pub fn run(args: &RunsArgs) -> Result<u8> {
    let runs = runs::chosen(args)?;
    let finished = runs.iter().filter(|run| run.state == State::Finished);
    let mut found = Vec::new();
    for listed in finished {
        let folder = RunFolder::open(&listed.path)?;
        if let Some(surplus) = Surplus::of(&folder) {
            found.push((folder, surplus));
        }
    }
    let size: u64 = found.iter().map(|(_, surplus)| surplus.bytes).sum();
    let checkpoints: usize = found.iter().map(|(_, surplus)| surplus.checkpoints).sum();
    if found.is_empty() {
        return print("no finished run has anything to remove\n").map(|()| DONE);
    }
    let what = format!(
        "{checkpoints} older checkpoints and the replays of {} finished runs, {}",
        found.len(),
        bytes(size)
    );
    if !args.yes && !agrees(&what)? {
        say("nothing was removed");
        return Ok(INTERRUPTED);
    }
    for (folder, surplus) in &found {
        surplus.remove(folder)?;
    }
    print(&format!("removed {what}\n")).map(|()| DONE)
}

/// Asks on the terminal.
fn agrees(what: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "--prune would remove {what}; there is no terminal to ask on, so --yes is needed"
        )));
    }
    let _ = write!(
        io::stderr(),
        "remove {what}? Policies stay, but these runs can no longer be extended exactly [y/N] "
    );
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Error::io("stdin"))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
