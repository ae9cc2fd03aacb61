//! How many cores nobody else uses: [`Cores`].

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// Load of others is measured over this time at least. Shorter, a compiler that starts and ends is missed.
const WINDOW: Duration = Duration::from_secs(10);

/// Share of a core that is too little to count.
const NEGLIGIBLE: f64 = 0.3;

/// Watches how much of the machine other processes use.
pub(super) struct Cores {
    count: usize,
    sampled: Instant,
    /// CPU time by process, s.
    times: HashMap<u32, f64>,
    /// Cores that others used in the last window; nothing is known in the first.
    used_by_others: Option<f64>,
}

impl Cores {
    pub(super) fn new() -> Self {
        Cores {
            count: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            sampled: Instant::now(),
            times: cpu_times(),
            used_by_others: None,
        }
    }

    /// Whether a core is idle beside `running` processes of our own, with these ids.
    pub(super) fn has_idle(&mut self, running: usize, own: &[u32]) -> bool {
        let elapsed = self.sampled.elapsed();
        if elapsed >= WINDOW {
            let times = cpu_times();
            self.used_by_others = Some(used_by_others(&self.times, &times, own) / elapsed.as_secs_f64());
            self.times = times;
            self.sampled = Instant::now();
        }
        let used = self.used_by_others;
        used.is_some_and(|used| running as f64 + 1.0 <= self.count as f64 - used + NEGLIGIBLE)
    }
}

/// CPU time that processes other than these used between two samples, s. One that is new is counted from its beginning.
fn used_by_others(before: &HashMap<u32, f64>, after: &HashMap<u32, f64>, own: &[u32]) -> f64 {
    let others = after.iter().filter(|(id, _)| !own.contains(id));
    others
        .map(|(id, time)| (time - before.get(id).copied().unwrap_or(0.0)).max(0.0))
        .sum()
}

/// CPU time of every process that this one sees, user and system, s.
fn cpu_times() -> HashMap<u32, f64> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let time = |entry: fs::DirEntry| {
        let id: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((id, cpu_time(&stat)?))
    };
    processes.filter_map(time).collect()
}

/// From `/proc/<id>/stat`: fields 14 and 15, after a name that may hold spaces and brackets.
fn cpu_time(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!(
            "7 (a) b ) S 1 7 7 0 -1 4194304 100 0 0 0 {} {} 0 0 20 0 1 0 5 0 0",
            3 * ticks,
            ticks
        );
        assert_eq!(cpu_time(&stat), Some(4.0));
        assert_eq!(cpu_time("7 (a)"), None);
        let own = cpu_times();
        assert!(own.contains_key(&std::process::id()), "this process is among {own:?}");
    }

    #[test]
    fn a_core_is_idle_when_neither_we_nor_others_use_it() {
        let times = |pairs: &[(u32, f64)]| pairs.iter().copied().collect::<HashMap<_, _>>();
        let before = times(&[(1, 5.0), (2, 100.0)]);
        let after = times(&[(1, 15.0), (2, 110.0), (3, 2.0)]);
        assert_eq!(used_by_others(&before, &after, &[2]), 12.0);
        let mut cores = Cores {
            count: 4,
            used_by_others: None,
            ..Cores::new()
        };
        assert!(!cores.has_idle(0, &[]), "nothing is known yet");
        cores.used_by_others = Some(1.9);
        assert!(cores.has_idle(1, &[]) && !cores.has_idle(2, &[]));
        cores.used_by_others = Some(0.2);
        assert!(cores.has_idle(3, &[]) && !cores.has_idle(4, &[]));
    }
}
