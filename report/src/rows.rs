//! The end of `metrics.jsonl`: [`last_rows`].

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use serde_json::Value;

const METRICS: &str = "metrics.jsonl";

/// Most memory that the process of a run had by then, MiB.
pub const PEAK_MEMORY: &str = "time/peak_memory_mib";

/// The last rows of a run, oldest first; none where nothing was logged.
pub fn last_rows(run: &Path) -> Vec<Value> {
    /// Many times the length of a row of metrics.
    const TAIL_BYTES: u64 = 1 << 15;
    let tail = || {
        let mut file = File::open(run.join(METRICS))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail).map(|_| tail)
    };
    let tail = tail().unwrap_or_default();
    let tail = String::from_utf8_lossy(&tail);
    // The first line may lack its beginning, and what follows the last line break is being written.
    let whole = tail.rfind('\n').map_or("", |end| &tail[..end]);
    whole
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The newest value of a key.
pub fn newest<'a>(rows: &'a [Value], key: &str) -> Option<&'a Value> {
    rows.iter().rev().find_map(|row| row.get(key))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rows_that_are_not_whole_are_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(METRICS);
        assert!(last_rows(folder.path()).is_empty());
        fs::write(&path, "{\"env_steps\":1}\n{\"env_steps\":2}\n{\"env_st").expect("written");
        let expected = [1, 2].map(|steps| serde_json::json!({ "env_steps": steps }));
        assert_eq!(last_rows(folder.path()), expected);
    }
}
