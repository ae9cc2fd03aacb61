//! Set-up as a process, with small wheels in a folder and without a network.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// A workspace with its own cache and pins for two wheels in a folder.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// `payload_bytes` is the size of the library in the larger wheel.
    fn new(payload_bytes: usize) -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("temporary folder"),
        };
        for folder in ["workspace/xtask", "wheels", "home"] {
            fs::create_dir_all(bench.path(folder)).expect("writable");
        }
        // Incompressible, so that unpacking takes some time.
        let payload: Vec<u8> = (0..payload_bytes as u64)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8)
            .collect();
        let models = bench.wheel(
            "sacmodels",
            &[("sacmodels/assets/ant.xml", b"<mujoco/>"), ("sacmodels/code.py", b"")],
        );
        let engine = bench.wheel(
            "sacengine",
            &[("sacengine/libengine.so.1", &payload), ("sacengine/include/e.h", b"//")],
        );
        bench.pin(&[models, engine]);
        bench
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Writes a wheel and returns its section of the pins.
    fn wheel(&self, name: &str, members: &[(&str, &[u8])]) -> String {
        let file = format!("{name}-1.0-py3-none-any.whl");
        let path = self.path("wheels").join(&file);
        let mut zip = zip::ZipWriter::new(File::create(&path).expect("writable"));
        let info = format!("{name}-1.0.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
        let wheel = b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n".as_slice();
        let own = [
            (format!("{info}/METADATA"), metadata.as_bytes()),
            (format!("{info}/WHEEL"), wheel),
        ];
        let members = members.iter().map(|(path, data)| ((*path).to_owned(), *data));
        for (path, data) in members.chain(own).chain([(format!("{info}/RECORD"), b"".as_slice())]) {
            zip.start_file(path, SimpleFileOptions::default()).expect("valid name");
            zip.write_all(data).expect("writable");
        }
        zip.finish().expect("writable");
        let data = fs::read(&path).expect("just written");
        let hash: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "[wheel.{name}]\nversion = \"1.0\"\nfile = \"{file}\"\nsha256 = \"{hash}\"\nbytes = {}\n",
            data.len()
        )
    }

    fn pin(&self, wheels: &[String]) {
        let pins = format!(
            r#"
[target]
os = "linux"
arch = "x86_64"
python_version = "311"
implementation = "cp"
abi = "cp311"
platforms = ["manylinux_2_28_x86_64"]
min_glibc = "2.17"

[[part]]
name = "models"
unpacked_bytes = 9
take = [{{ wheel = "sacmodels", from = "sacmodels/assets/", to = "models/assets/" }}]

[[part]]
name = "mujoco"
replaced_by = "MUJOCO_DYNAMIC_LINK_DIR"
replaced_inside = "lib"
unpacked_bytes = 1000
take = [
    {{ wheel = "sacengine", from = "sacengine/libengine.so.1", to = "mujoco/lib/libmujoco.so.1" }},
    {{ wheel = "sacengine", from = "sacengine/include/", to = "mujoco/include/" }},
]
links = [{{ path = "mujoco/lib/libmujoco.so", target = "libmujoco.so.1" }}]

{}"#,
            wheels.join("\n")
        );
        fs::write(self.path("workspace/xtask/pins.toml"), pins).expect("writable");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).stdin(Stdio::null());
        // Settings of the developer must not affect the tests.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("PIP_") || text.starts_with("SAC_") || text.starts_with("LIBTORCH") {
                command.env_remove(&name);
            }
        }
        command
            .env_remove("MUJOCO_DYNAMIC_LINK_DIR")
            .env("CARGO_MANIFEST_DIR", self.path("workspace/xtask"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.path("wheels"));
        command
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        let all: Vec<&str> = ["setup"].iter().chain(arguments).copied().collect();
        self.command(&all).output().expect("xtask starts")
    }

    fn linked(&self, inside: &str) -> PathBuf {
        self.path("workspace/.native").join(inside)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache/sac-native")
    }

    /// The files in `downloads` and `work` of the cache.
    fn leftovers(&self) -> Vec<PathBuf> {
        let entries = |folder: &str| fs::read_dir(self.cache().join(folder)).into_iter().flatten().flatten();
        entries("downloads")
            .chain(entries("work"))
            .map(|entry| entry.path())
            .collect()
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", words(output));
    words(output)
}

#[test]
fn a_first_setup_completes_and_a_second_one_does_nothing() {
    let bench = Bench::new(100_000);
    let first = bench.setup(&[]);
    assert!(succeeds(&first).contains("fetching sacengine"));
    assert!(
        first.stdout.is_empty(),
        "standard output belongs to the program that is run afterwards"
    );
    assert_eq!(
        fs::read(bench.linked("models/assets/ant.xml")).expect("there"),
        b"<mujoco/>"
    );
    assert_eq!(
        fs::metadata(bench.linked("mujoco/lib/libmujoco.so"))
            .expect("there")
            .len(),
        100_000
    );
    assert!(
        !bench.linked("models/code.py").exists(),
        "only what the pins name is taken"
    );
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());

    // Without the wheels a second set-up could not fetch anything.
    fs::remove_dir_all(bench.path("wheels")).expect("removable");
    let words = succeeds(&bench.setup(&["--check"]));
    assert!(!words.contains("fetching") && words.contains("hashes right"), "{words}");
}

#[test]
fn a_second_checkout_costs_nothing() {
    let bench = Bench::new(1000);
    succeeds(&bench.setup(&[]));
    fs::remove_dir_all(bench.path("wheels")).expect("removable");
    fs::remove_dir_all(bench.path("workspace/.native")).expect("removable");
    let words = succeeds(&bench.setup(&[]));
    assert!(!words.contains("fetching"), "{words}");
    assert!(bench.linked("mujoco/lib/libmujoco.so").exists());
}

#[test]
fn a_plain_folder_is_replaced_by_a_link() {
    let bench = Bench::new(1000);
    fs::create_dir_all(bench.linked("mujoco/lib")).expect("writable");
    fs::write(bench.linked("mujoco/lib/libmujoco.so"), "half").expect("writable");
    succeeds(&bench.setup(&[]));
    assert_eq!(
        fs::metadata(bench.linked("mujoco/lib/libmujoco.so"))
            .expect("there")
            .len(),
        1000
    );
}

#[test]
fn a_download_that_was_cut_short_is_fetched_again() {
    let bench = Bench::new(1000);
    let whole = fs::read(bench.path("wheels/sacengine-1.0-py3-none-any.whl")).expect("there");
    fs::create_dir_all(bench.cache().join("downloads")).expect("writable");
    let cut = bench.cache().join("downloads/sacengine-1.0-py3-none-any.whl");
    fs::write(&cut, &whole[..whole.len() / 2]).expect("writable");
    let words = succeeds(&bench.setup(&[]));
    assert!(words.contains("damaged; fetching it again"), "{words}");

    // A file of the right length with the wrong content is fetched again as well.
    fs::remove_dir_all(bench.cache().join(part_folder(&bench, "mujoco"))).expect("removable");
    fs::write(&cut, vec![0; whole.len()]).expect("writable");
    let words = succeeds(&bench.setup(&["--check"]));
    assert!(words.contains("damaged; fetching it again"), "{words}");
}

#[test]
fn a_complete_download_is_not_fetched_again() {
    let bench = Bench::new(1000);
    let name = "sacengine-1.0-py3-none-any.whl";
    fs::create_dir_all(bench.cache().join("downloads")).expect("writable");
    fs::rename(
        bench.path("wheels").join(name),
        bench.cache().join("downloads").join(name),
    )
    .expect("renamed");
    let words = succeeds(&bench.setup(&[]));
    assert!(words.contains("sacengine 1.0 is downloaded already"), "{words}");
}

#[test]
fn a_wheel_with_another_hash_is_refused() {
    let bench = Bench::new(1000);
    let pins = bench.path("workspace/xtask/pins.toml");
    fs::copy(&pins, bench.path("pins")).expect("copied");
    bench.wheel(
        "sacengine",
        &[("sacengine/libengine.so.1", b"evil"), ("sacengine/include/e.h", b"//")],
    );
    let output = bench.setup(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("was refused"), "{}", words(&output));
    assert!(!bench.linked("mujoco").exists(), "nothing of it is linked");
    assert!(
        bench
            .leftovers()
            .iter()
            .all(|path| !path.to_string_lossy().contains("sacengine")),
        "nothing of it is kept"
    );
}

#[test]
fn damaged_files_are_found_and_repaired() {
    let bench = Bench::new(1000);
    succeeds(&bench.setup(&[]));
    let library = bench.linked("mujoco/lib/libmujoco.so.1");

    fs::write(&library, b"short").expect("writable");
    let words = succeeds(&bench.setup(&[]));
    assert!(words.contains("5 bytes, expected 1000"), "{words}");
    assert!(
        !words.contains("fetching sacmodels"),
        "only the damaged part is made anew: {words}"
    );

    fs::remove_file(bench.linked("mujoco/include/e.h")).expect("removable");
    assert!(succeeds(&bench.setup(&[])).contains("missing"));

    // Of the same size: its modification time has moved, so it is hashed.
    fs::write(&library, vec![7; 1000]).expect("writable");
    assert!(succeeds(&bench.setup(&[])).contains("the content has changed"));

    // With the old time only --check finds it.
    let before = fs::metadata(&library)
        .and_then(|facts| facts.modified())
        .expect("there");
    fs::write(&library, vec![8; 1000]).expect("writable");
    let file = fs::File::options().write(true).open(&library).expect("there");
    file.set_modified(before).expect("settable");
    assert!(!succeeds(&bench.setup(&[])).contains("fetching"));
    assert!(succeeds(&bench.setup(&["--check"])).contains("the content has changed"));
    assert!(!succeeds(&bench.setup(&["--check"])).contains("fetching"));

    // A checkout that uses the cache for the first time hashes it.
    fs::write(&library, vec![9; 1000]).expect("writable");
    fs::remove_file(bench.path("workspace/.native/verified.txt")).expect("noted");
    assert!(succeeds(&bench.setup(&[])).contains("the content has changed"));
}

#[test]
fn a_setup_killed_at_any_moment_is_completed_by_the_next() {
    let bench = Bench::new(40_000_000);
    for milliseconds in [50, 300, 700, 1000, 1300, 1600, 1900, 2200] {
        let mut child = bench
            .command(&["setup"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        sleep(Duration::from_millis(milliseconds));
        child.kill().expect("SIGKILL is sent");
        child.wait().expect("it ends");
        let library = bench.linked("mujoco/lib/libmujoco.so");
        if library.exists() {
            assert_eq!(
                fs::metadata(&library).expect("there").len(),
                40_000_000,
                "half a part is never linked"
            );
        }
    }
    succeeds(&bench.setup(&[]));
    // The state that a process leaves if it is killed between unpacking and the rename.
    fs::remove_dir_all(bench.cache().join(part_folder(&bench, "mujoco"))).expect("removable");
    let half = bench.cache().join("work/unpack-1-0/mujoco/lib");
    fs::create_dir_all(&half).expect("writable");
    fs::write(half.join("libmujoco.so.1"), b"half").expect("writable");
    succeeds(&bench.setup(&[]));
    succeeds(&bench.setup(&["--check"]));
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn two_setups_at_once_do_the_work_once() {
    let bench = Bench::new(20_000_000);
    let start = || {
        bench
            .command(&["setup"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    };
    let (first, second) = (start(), start());
    let all = [first, second].map(|child| child.wait_with_output().expect("it ends"));
    let fetched = all
        .iter()
        .map(succeeds)
        .filter(|words| words.contains("fetching sacengine"))
        .count();
    assert_eq!(fetched, 1);
}

#[test]
fn a_python_without_pip_and_a_missing_python_are_explained() {
    let bench = Bench::new(1000);
    let script = bench.path("script");
    fs::write(&script, "#!/bin/sh\necho \"$0: No module named pip\" >&2\nexit 1\n").expect("writable");
    // By a process of its own: see tests/launch.rs.
    let made = Command::new("install")
        .args(["-m", "755"])
        .arg(&script)
        .arg(bench.path("home/python3"))
        .status();
    assert!(made.is_ok_and(|status| status.success()));
    let run = |path: &Path| {
        bench
            .command(&["setup"])
            .env("PATH", path)
            .output()
            .expect("xtask starts")
    };
    let without_pip = words(&run(&bench.path("home")));
    assert!(
        without_pip.contains("ensurepip") && without_pip.contains("apt install python3-pip"),
        "{without_pip}"
    );
    let without_python = words(&run(&bench.path("wheels")));
    assert!(without_python.contains("python3 was not found"), "{without_python}");
}

#[test]
fn an_index_without_the_wheel_is_explained() {
    let bench = Bench::new(1000);
    fs::remove_file(bench.path("wheels/sacmodels-1.0-py3-none-any.whl")).expect("there");
    let output = bench.setup(&[]);
    assert!(
        words(&output).contains("pip does not find sacmodels-1.0-py3-none-any.whl"),
        "{}",
        words(&output)
    );
}

#[test]
fn a_part_that_the_user_provides_is_not_fetched() {
    let bench = Bench::new(1000);
    fs::remove_file(bench.path("wheels/sacengine-1.0-py3-none-any.whl")).expect("there");
    let own = bench.path("home");
    fs::write(own.join("libmujoco.so"), "own").expect("writable");
    let output = bench
        .command(&["setup"])
        .env("MUJOCO_DYNAMIC_LINK_DIR", &own)
        .output()
        .expect("xtask starts");
    assert!(succeeds(&output).contains("your own"));
    assert!(!bench.linked("mujoco").exists());

    // The value from .cargo/config.toml does not count as the user's.
    let ours = bench.linked("mujoco/lib");
    let output = bench
        .command(&["setup"])
        .env("MUJOCO_DYNAMIC_LINK_DIR", &ours)
        .output()
        .expect("xtask starts");
    assert!(
        words(&output).contains("pip does not find sacengine"),
        "{}",
        words(&output)
    );

    let output = bench
        .command(&["setup"])
        .env("MUJOCO_DYNAMIC_LINK_DIR", "/nowhere")
        .output()
        .expect("xtask starts");
    assert!(
        words(&output).contains("/nowhere has no libmujoco.so"),
        "{}",
        words(&output)
    );
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let bench = Bench::new(10);
    for arguments in [&["stup"][..], &["setup", "--cudda"], &["test", "--slow"]] {
        let output = bench.command(arguments).output().expect("xtask starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert!(
        bench
            .command(&["help"])
            .output()
            .expect("xtask starts")
            .status
            .success()
    );
}

/// Name of the folder of a part in the cache.
fn part_folder(bench: &Bench, part: &str) -> String {
    let entries = fs::read_dir(bench.cache()).expect("there").flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .find(|name| name.starts_with(&format!("{part}-")))
        .expect("the part was made")
}
