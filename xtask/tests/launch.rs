//! `cargo xtask sac` and `cargo xtask test` on a workspace of one small package, for which nothing is fetched.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = r#"//! A replacement of the real program.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = std::env::current_dir().expect("a folder");
    println!("{} in {}", arguments.join(" "), folder.display());
    match arguments.first().map(String::as_str) {
        Some("abort") => std::process::abort(),
        Some(code) => std::process::exit(code.parse().unwrap_or(0)),
        None => {}
    }
}
"#;

const PINS: &str = r#"part = []
[wheel]
[target]
os = "linux"
arch = "x86_64"
python_version = "311"
implementation = "cp"
abi = "cp311"
platforms = []
min_glibc = "2.17"
"#;

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().expect("temporary folder"),
        };
        let manifest = "[workspace]\n[package]\nname = \"sac-rl\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [[bin]]\nname = \"sac\"\npath = \"src/main.rs\"\n";
        for (path, text) in [
            ("Cargo.toml", manifest),
            ("src/main.rs", PROGRAM),
            ("xtask/pins.toml", PINS),
        ] {
            let path = bench.path(path);
            fs::create_dir_all(path.parent().expect("has a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        // xtask expects the program in the folder of its own binary.
        fs::create_dir_all(bench.path("target/debug")).expect("writable");
        // Written by another process. If the file were open for writing in this one, a process that another test starts
        // at that moment would inherit the handle, and a file that is open for writing cannot be run.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_xtask"))
            .arg(bench.path("target/debug/xtask"))
            .status();
        assert!(copied.is_ok_and(|status| status.success()));
        bench
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.path("target/debug/xtask"));
        command
            .args(arguments)
            .current_dir(self.path("src"))
            .stdin(Stdio::null());
        command
            .env("CARGO_MANIFEST_DIR", self.path("xtask"))
            .env("XDG_CACHE_HOME", self.path("cache"));
        command
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env_remove("SAC_NATIVE_CACHE");
        command.output().expect("xtask starts")
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_program_gets_arguments_folder_and_a_clean_standard_output_and_its_end_is_ours() {
    let bench = Bench::new();
    let first = bench.run(&["sac", "0", "--json", "two words"]);
    assert!(
        words(&first).contains("Compiling sac"),
        "what takes long is shown: {}",
        words(&first)
    );
    assert_eq!(first.status.code(), Some(0));
    let folder = bench.path("src").canonicalize().expect("there");
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        format!("0 --json two words in {}\n", folder.display())
    );

    let second = bench.run(&["sac", "130"]);
    assert_eq!(words(&second), "", "nothing to build, nothing to say");
    assert_eq!(second.status.code(), Some(130));
    assert_eq!(
        bench.run(&["sac", "abort"]).status.signal(),
        Some(6),
        "signals pass through"
    );

    fs::write(bench.path("src/main.rs"), "fn main() { nonsense }\n").expect("writable");
    let broken = bench.run(&["sac", "0"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(
        words(&broken).contains("cannot find value `nonsense`"),
        "{}",
        words(&broken)
    );
    assert!(broken.stdout.is_empty());
}

#[test]
fn a_test_run_stops_at_the_first_failure_and_says_which() {
    let bench = Bench::new();
    fs::write(bench.path("src/main.rs"), "fn  main() {}\n").expect("writable");
    let output = bench.run(&["test", "--fast"]);
    let words = words(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains("formatting failed") && !words.contains("==> clippy"),
        "{words}"
    );
}
