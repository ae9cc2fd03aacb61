//! What a person sees on a terminal: the binary in a pseudo-terminal, its output drawn by a terminal emulator.

use std::{
    fs::File,
    io::Read,
    num::NonZero,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    ptr::{null, null_mut},
};

use crate::support::{command, folder, train_arguments};

const ROWS: u16 = 24;

/// A command in a terminal.
struct Session {
    /// Lines on the screen at the end and those that have scrolled off it.
    lines: Vec<String>,
    /// The last line of the screen after every read, without repetitions: the bar, where there is one.
    last_lines: Vec<String>,
}

/// Our end of a new terminal, and the program's.
fn open_terminal(columns: u16) -> (OwnedFd, OwnedFd) {
    let size = libc::winsize {
        ws_row: ROWS,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (mut ours, mut programs) = (-1, -1);
    // SAFETY: the pointers are those of live variables, or null where the system is to choose.
    let outcome = unsafe { libc::openpty(&mut ours, &mut programs, null_mut(), null(), &size) };
    assert_eq!(outcome, 0, "a pseudo-terminal: {}", std::io::Error::last_os_error());
    // SAFETY: the call succeeded, so both are open and nobody else's.
    let [ours, programs] = [ours, programs].map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    for end in [&ours, &programs] {
        // SAFETY: the descriptor is open. Without this flag, programs of other tests would hold the terminal open.
        unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    (ours, programs)
}

/// Runs `sac` to its end in a terminal of so many columns.
fn in_terminal(folder: &Path, arguments: &[&str], columns: u16) -> Session {
    let (ours, programs) = open_terminal(columns);
    let mut command = command(folder, arguments);
    command
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdout(programs.try_clone().expect("duplicated"))
        .stderr(programs);
    let mut child = command.spawn().expect("the binary starts");
    // Our copies of the program's end are closed, so that reading ends with the program.
    drop(command);
    let mut output = File::from(ours);
    let mut parser = vt100::Parser::new(nonzero(ROWS), nonzero(columns), 10_000);
    let mut last_lines: Vec<String> = Vec::new();
    let mut bytes = [0; 4096];
    // Linux reports the end of a pseudo-terminal as an error.
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        parser.process(&bytes[..count]);
        let last = screen(&parser, columns).pop().unwrap_or_default();
        if last_lines.last() != Some(&last) {
            last_lines.push(last);
        }
    }
    assert!(child.wait().expect("a child").success());
    Session {
        lines: everything(&mut parser, columns),
        last_lines,
    }
}

fn nonzero(extent: u16) -> NonZero<u16> {
    NonZero::new(extent).expect("a terminal has rows and columns")
}

/// Lines of the visible screen down to the last that is not empty.
fn screen(parser: &vt100::Parser, columns: u16) -> Vec<String> {
    let mut lines: Vec<String> = parser.screen().rows(0, columns).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

/// All lines since the start.
fn everything(parser: &mut vt100::Parser, columns: u16) -> Vec<String> {
    parser.screen_mut().set_scrollback(usize::MAX);
    let scrolled = parser.screen().scrollback();
    let mut lines = Vec::new();
    for above in (1..=scrolled).rev() {
        parser.screen_mut().set_scrollback(above);
        lines.extend(parser.screen().rows(0, columns).next());
    }
    parser.screen_mut().set_scrollback(0);
    lines.extend(screen(parser, columns));
    lines
}

const COLUMNS_OF_THE_TABLE: usize = 7;

fn is_a_row(line: &str) -> bool {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let is_number = |cell: &&str| *cell == "-" || cell.parse::<f64>().is_ok();
    line.len() == 10 + 11 * (COLUMNS_OF_THE_TABLE - 1)
        && cells.len() == COLUMNS_OF_THE_TABLE
        && cells.iter().all(is_number)
}

/// The table is whole: its header, then only rows, at these env steps, and no remains of the bar anywhere.
fn assert_table_is_whole(session: &Session, steps: &[u64], claim: &str) {
    let shown = session.lines.join("\n");
    let header = session
        .lines
        .iter()
        .position(|line| line.trim_start().starts_with("env steps"))
        .unwrap_or_else(|| panic!("{claim}: no header:\n{shown}"));
    let table = &session.lines[header + 1..];
    let rows: Vec<&String> = table.iter().take_while(|line| is_a_row(line)).collect();
    let first = |row: &&String| row.split_whitespace().next().and_then(|cell| cell.parse().ok());
    let found: Vec<u64> = rows.iter().filter_map(first).collect();
    assert_eq!(found, steps, "{claim}:\n{shown}");
    let next = &table[rows.len()];
    let is_result = next.starts_with("finished ") || next.starts_with("seed ");
    assert!(is_result, "{claim}: the result follows the table:\n{shown}");
    let remains = session
        .lines
        .iter()
        .find(|line| line.contains('█') || line.contains('░'));
    assert_eq!(remains, None, "{claim}: the bar is gone:\n{shown}");
}

const MORE: &[&str] = &[
    "--set",
    "log.every={env_steps=20}",
    "--set",
    "eval.every=\"never\"",
    "--set",
    "train.warmup_env_steps=200",
];

#[test]
fn rows_of_the_table_are_whole_on_a_terminal_whatever_its_width() {
    for columns in [80, 120, 200] {
        let here = folder();
        let session = in_terminal(here.path(), &train_arguments("run", "1000", MORE), columns);
        let steps: Vec<u64> = (1..=50).map(|row| 20 * row).collect();
        assert_table_is_whole(&session, &steps, &format!("{columns} columns"));
    }
}

#[test]
fn rows_of_several_seeds_are_whole_on_a_terminal_whatever_its_width() {
    for columns in [80, 120, 200] {
        let here = folder();
        let more = [MORE, &["--seeds", "1,2"]].concat();
        let mut arguments = train_arguments("runs", "500", &more);
        let threads = arguments.iter().position(|argument| *argument == "--threads");
        arguments[threads.expect("given") + 1] = "2";
        let session = in_terminal(here.path(), &arguments, columns);
        let steps: Vec<u64> = (1..=25).map(|row| 20 * row).collect();
        assert_table_is_whole(&session, &steps, &format!("{columns} columns"));
    }
}

#[test]
fn the_bar_is_one_line_that_tells_warm_up_from_learning() {
    let here = folder();
    let more = [
        MORE,
        &[
            "--set",
            "log.every={env_steps=500}",
            "--set",
            "agent.body.hidden=[128,128]",
        ],
    ]
    .concat();
    let session = in_terminal(here.path(), &train_arguments("run", "3000", &more), 80);
    let of_bar: Vec<&String> = session
        .last_lines
        .iter()
        .filter(|line| line.contains("/3,000 env steps  "))
        .collect();
    assert!(!of_bar.is_empty(), "there is a bar: {:?}", session.last_lines);
    for line in of_bar {
        let (_, pace) = line.split_once(" env steps  ").expect("filtered");
        let is_speed = pace.contains(" steps/s  ") && pace.ends_with(" left");
        assert!(is_speed || pace == "warm-up" || pace == "learning", "{line}");
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_sweep_has_a_line_for_each_run_that_trains_and_a_bar_below_them() {
    let here = folder();
    let text = "seeds = 2\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 6000\n\
                set = ['agent.body.hidden=[64,64]', 'log.every={env_steps=100}', 'train.warmup_env_steps=100']\n";
    std::fs::write(here.path().join("x.toml"), text).expect("written");
    let session = in_terminal(here.path(), &["sweep", "x.toml", "--jobs", "2"], 100);
    let bar = |ended: u32| {
        session
            .last_lines
            .iter()
            .any(|line| line.contains(&format!("{ended}/2 runs  00:0")))
    };
    assert!(bar(0), "there is a bar: {:?}", session.last_lines);
    let ended = |seed: u32| {
        let is_its = |line: &&String| line.contains(&format!("Pendulum-v1, sac, seed {seed}: finished"));
        session.lines.iter().filter(is_its).count()
    };
    assert_eq!(
        [1, 2].map(ended),
        [1, 1],
        "a line for each end stays: {:#?}",
        session.lines
    );
    let is_live = |line: &String| line.contains(" %  ") || line.contains("started ");
    assert!(
        !session.lines.iter().any(is_live),
        "the table is gone at the end: {:#?}",
        session.lines
    );
}
