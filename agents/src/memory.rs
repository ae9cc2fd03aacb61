//! Memory that this process may still take, and has taken: [`available_memory_bytes`], [`peak_memory_bytes`].

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Memory that is available to this process, bytes: free memory of the machine, or what a limit of its control groups
/// leaves if that is less. `u64::MAX` if the operating system does not report it.
pub fn available_memory_bytes() -> u64 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    free_bytes().min(left_by_groups(
        &read("/proc/self/cgroup"),
        &read("/proc/self/mountinfo"),
    ))
}

/// Most resident memory that this process has had so far, bytes. `None` where the operating system does not report it.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn free_bytes() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else {
        return u64::MAX;
    };
    system.refresh_memory();
    system.available_memory()
}

/// The names of the files of a control group that concern memory.
struct Files {
    limit: &'static str,
    used: &'static str,
    /// Key in `memory.stat` for what the system takes back without harm.
    reclaimable: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    reclaimable: "inactive_file",
};

/// What the limits of the process's control groups leave: the least over its own group and all groups around it.
/// `groups` and `mounts` are `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn left_by_groups(groups: &str, mounts: &str) -> u64 {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::read).collect();
    let left = |line: &str| {
        // `4:memory:/path` in version 1, `0::/path` in version 2.
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (files, is_hierarchy): (_, fn(&Mount) -> bool) = match (number, controllers) {
            ("0", "") => (VERSION_2, |mount| mount.kind == "cgroup2"),
            (_, controllers) if controllers.split(',').any(|one| one == "memory") => {
                (VERSION_1, |mount| mount.kind == "cgroup" && mount.has_memory)
            }
            _ => return None,
        };
        let mount = mounts.iter().find(|mount| is_hierarchy(mount))?;
        // A container may see its own group as the root of the mount, under a path of the host.
        let within = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
        let group = mount.point.join(within);
        group
            .ancestors()
            .take_while(|group| group.starts_with(&mount.point))
            .filter_map(|group| files.left(group))
            .min()
    };
    groups.lines().filter_map(left).min().unwrap_or(u64::MAX)
}

impl Files {
    /// What the limit of one group leaves; `None` without a limit.
    fn left(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number(self.limit)?; // "max" is no number
        let used = number(self.used).unwrap_or(0);
        let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable = statistics.lines().find_map(|line| {
            let value = line.strip_prefix(self.reclaimable)?.strip_prefix(' ')?;
            value.trim().parse::<u64>().ok()
        });
        Some(limit.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0))))
    }
}

/// A mounted file system of control groups.
struct Mount {
    kind: String,
    /// The group that is seen at the mount point.
    root: PathBuf,
    point: PathBuf,
    /// Whether it is the hierarchy of the memory controller, in version 1.
    has_memory: bool,
}

impl Mount {
    /// A line such as `36 35 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`.
    fn read(line: &str) -> Option<Mount> {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut fields = system.split(' ');
        let kind = fields.next().filter(|kind| kind.starts_with("cgroup"))?;
        let options = fields.nth(1).unwrap_or_default();
        Some(Mount {
            kind: kind.to_string(),
            root: unescaped(root),
            point: unescaped(point),
            has_memory: options.split(',').any(|option| option == "memory"),
        })
    }
}

/// The system writes blanks and backslashes of paths as octal numbers.
fn unescaped(path: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let path = escapes
        .iter()
        .fold(path.to_string(), |path, (code, plain)| path.replace(code, plain));
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A group with these files.
    fn group(path: &Path, files: &[(&str, String)]) {
        fs::create_dir_all(path).expect("writable");
        for (name, text) in files {
            fs::write(path.join(name), format!("{text}\n")).expect("writable");
        }
    }

    fn mount(root: &str, point: &Path, system: &str) -> String {
        let point = point.display().to_string().replace(' ', "\\040");
        format!("24 1 0:22 / /proc rw - proc proc rw\n36 35 0:31 {root} {point} rw,relatime - {system}\n")
    }

    #[test]
    fn the_smallest_rest_from_the_own_group_up_to_the_root_counts() {
        let here = tempfile::tempdir().expect("a folder");
        let point = here.path().join("c group");
        let limits = |max: u64, used: u64| {
            [
                ("memory.max", (max * MIB).to_string()),
                ("memory.current", (used * MIB).to_string()),
            ]
        };
        group(&point, &[]);
        group(&point.join("user"), &limits(1024, 300));
        group(&point.join("user/job"), &limits(2048, 100));
        let own = [
            ("memory.max", "max".to_string()),
            ("memory.current", (50 * MIB).to_string()),
        ];
        group(&point.join("user/job/step"), &own);
        let mounts = mount("/", &point, "cgroup2 cgroup2 rw,nsdelegate");
        let left = |path: &str| left_by_groups(&format!("0::{path}\n"), &mounts);
        assert_eq!(left("/user/job/step"), 724 * MIB, "the limit of an outer group");
        group(&point.join("user/job/step"), &limits(512, 50));
        assert_eq!(left("/user/job/step"), 462 * MIB, "the limit of the own group");
        assert_eq!(left("/"), u64::MAX, "no limit");
        assert_eq!(left_by_groups("0::/user\n", ""), u64::MAX, "not mounted");
    }

    #[test]
    fn the_memory_hierarchy_of_version_1_counts_beside_an_empty_version_2() {
        let here = tempfile::tempdir().expect("a folder");
        let (memory, cpu, unified) = (
            here.path().join("memory"),
            here.path().join("cpu"),
            here.path().join("unified"),
        );
        let files = |limit: u64, used: u64| {
            [
                ("memory.limit_in_bytes", limit.to_string()),
                ("memory.usage_in_bytes", used.to_string()),
                (
                    "memory.stat",
                    format!("cache 9\ninactive_file 1\ntotal_inactive_file {}", 64 * MIB),
                ),
            ]
        };
        group(&memory, &files(9_223_372_036_854_771_712, 0));
        group(&memory.join("job"), &files(1024 * MIB, 264 * MIB));
        group(&cpu.join("job"), &files(MIB, 0));
        group(&unified, &[]);
        let mounts = mount("/", &cpu, "cgroup cgroup rw,cpu")
            + &mount("/", &memory, "cgroup cgroup rw,memory")
            + &mount("/", &unified, "cgroup2 cgroup2 rw");
        let groups = "5:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n";
        assert_eq!(
            left_by_groups(groups, &mounts),
            824 * MIB,
            "the system takes back pages of files that are not in use"
        );
    }

    #[test]
    fn a_container_that_is_the_root_of_its_mount_is_found_under_a_path_of_the_host() {
        let here = tempfile::tempdir().expect("a folder");
        let files = [
            ("memory.max", (256 * MIB).to_string()),
            ("memory.current", "0".to_string()),
        ];
        group(here.path(), &files);
        for root in ["/docker/abc", "/docker/other"] {
            let mounts = mount(root, here.path(), "cgroup2 cgroup2 rw");
            assert_eq!(left_by_groups("0::/docker/abc\n", &mounts), 256 * MIB, "{root}");
        }
    }

    #[test]
    fn use_beyond_the_limit_leaves_nothing() {
        let here = tempfile::tempdir().expect("a folder");
        let files = [("memory.max", "100".to_string()), ("memory.current", "400".to_string())];
        group(here.path(), &files);
        let mounts = mount("/", here.path(), "cgroup2 cgroup2 rw");
        assert_eq!(left_by_groups("0::/\n", &mounts), 0);
    }
}
