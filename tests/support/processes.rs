//! Processes of a test, found by a variable in their environment.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Processes that were started with this variable, `NAME=value`, in their environment, other than `except`.
pub fn marked(mark: &str, except: u32) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").expect("there is /proc").flatten();
    let is_marked = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        path.file_name().is_some_and(|name| name != except.to_string().as_str())
            && environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
    };
    processes.map(|entry| entry.path()).filter(is_marked).collect()
}

/// All processes with this mark end within ten seconds.
pub fn assert_all_end(mark: &str) {
    let began = Instant::now();
    while !marked(mark, 0).is_empty() {
        let left = marked(mark, 0);
        assert!(began.elapsed() < Duration::from_secs(10), "left behind: {left:?}");
        sleep(Duration::from_millis(20));
    }
}

/// The process group of a process.
pub fn group(process: &Path) -> String {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(2).unwrap_or_default().to_string()
}
