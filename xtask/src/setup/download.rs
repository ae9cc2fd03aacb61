//! Downloads of wheels with pip, which has the user's configuration of index, proxy and certificates.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::cache::{Cache, remove_any};
use super::machine::Python;
use super::manifest::hash_of;
use crate::bytes::size;
use crate::pins::{Target, Wheel};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Downloads `wheel` to the cache, unless it is there with the pinned hash.
pub fn fetch(python: &Python, cache: &Cache, target: &Target, name: &str, wheel: &Wheel) -> Result<()> {
    let path = cache.downloads().join(&wheel.file);
    if cache.has_download(wheel) && hash_of(&path).is_ok_and(|hash| hash == wheel.sha256) {
        say!("  {name} {} is downloaded already", wheel.version);
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        say!("  {} is damaged; fetching it again", path.display());
        remove_any(&path)?;
    }
    for attempt in 1.. {
        say!("  fetching {name} {} ({})", wheel.version, size(wheel.bytes));
        // Each attempt has its own folder, so that a pip that outlives its set-up cannot write to the file of another.
        let folder = cache.work("pip")?;
        let (status, said) = run_pip(python, &folder, target, name, wheel)?;
        let fetched = folder.join(&wheel.file);
        if status.success() && fetched.is_file() {
            let hash = hash_of(&fetched).with_context(|| format!("cannot read {}", fetched.display()))?;
            if hash != wheel.sha256 {
                bail!(
                    "{} was refused: its sha256 is {hash}, and xtask/pins.toml pins {}\n\
                     the index or a proxy returned another file; see `{} -m pip config list`",
                    wheel.file,
                    wheel.sha256,
                    "python3"
                );
            }
            fs::File::open(&fetched)?.sync_all()?;
            fs::rename(&fetched, &path).with_context(|| format!("cannot write {}", path.display()))?;
            return remove_any(&folder);
        }
        remove_any(&folder)?;
        let failure = if status.success() {
            Failure::OtherFile
        } else {
            Failure::read(&said)
        };
        if attempt < failure.attempts(&said) {
            say!("  the download was interrupted; trying again");
            continue;
        }
        return Err(failure.explain(cache, name, wheel, status));
    }
    unreachable!("the loop above ends by returning");
}

/// Runs pip and returns its exit status and its output. Its progress is shown on our standard error, because the
/// standard output of `cargo sac` belongs to the program.
fn run_pip(python: &Python, folder: &Path, target: &Target, name: &str, wheel: &Wheel) -> Result<(ExitStatus, String)> {
    let requirements = folder.join("requirements.txt");
    let distribution = name.replace('_', "-");
    fs::write(
        &requirements,
        format!("{distribution}=={} --hash=sha256:{}\n", wheel.version, wheel.sha256),
    )?;
    let temporary = folder.join("tmp");
    fs::create_dir_all(&temporary)?;

    let mut pip = python.command();
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--no-input",
    ]);
    // Otherwise pip would keep a second copy of half a gigabyte in its own cache.
    pip.args(["--no-cache-dir", "--disable-pip-version-check"]);
    pip.args([
        "--python-version",
        &target.python_version,
        "--implementation",
        &target.implementation,
    ]);
    pip.args(["--abi", &target.abi]);
    for platform in &target.platforms {
        pip.args(["--platform", platform]);
    }
    pip.arg("--requirement").arg(&requirements).arg("--dest").arg(folder);
    // The system's temporary folder is often in memory and smaller than the wheel.
    pip.env("TMPDIR", &temporary);
    pip.env("PIP_REQUIRE_VIRTUALENV", "0");
    // With this, pip 25.1 and later resume an interrupted download.
    if env::var_os("PIP_RESUME_RETRIES").is_none() {
        pip.env("PIP_RESUME_RETRIES", "10");
    }
    let show = io::stderr();
    let is_terminal = show.is_terminal();
    if is_terminal {
        pip.stdout(Stdio::from(show.as_fd().try_clone_to_owned()?));
    } else {
        pip.stdout(Stdio::piped());
    }
    pip.stderr(Stdio::piped());
    let mut child = pip.spawn().context("cannot run pip")?;

    let readers: Vec<_> = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .map(|pipe| thread::spawn(move || pass_on(pipe)))
    .collect();
    // pip shows no progress without a terminal, so this thread reports it.
    let (stop, stopped) = mpsc::channel::<()>();
    let watched = temporary.clone();
    let expected = wheel.bytes;
    let reporter = thread::spawn(move || {
        while !is_terminal && stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            say!(
                "    {} of {}",
                size(bytes_below(&watched).min(expected)),
                size(expected)
            );
        }
    });
    let status = child.wait().context("cannot wait for pip")?;
    drop(stop);
    let said = readers.into_iter().filter_map(|reader| reader.join().ok()).collect();
    reporter.join().ok();
    Ok((status, said))
}

/// Copies the output of pip to our standard error, indented, and returns it.
fn pass_on(mut pipe: impl Read) -> String {
    let mut said = String::new();
    let mut buffer = [0; 4096];
    let mut line = String::new();
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let text = String::from_utf8_lossy(&buffer[..count]);
        said.push_str(&text);
        line.push_str(&text);
        while let Some(end) = line.find('\n') {
            let whole: String = line.drain(..=end).collect();
            show(&whole);
        }
    }
    show(&line);
    said
}

/// Shows a line of pip's output, unless it is only about our temporary folders.
fn show(line: &str) {
    let text = line.trim();
    let is_noise = [
        "Collecting ",
        "Saved ",
        "Successfully downloaded",
        "Looking in links",
        "━",
    ];
    if text.is_empty() || is_noise.iter().any(|start| text.starts_with(start)) {
        return;
    }
    let _ = writeln!(io::stderr(), "    {text}");
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(what) if what.is_dir() => bytes_below(&entry.path()),
            Ok(what) => what.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The reason of a failure of pip, as far as its output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Hash,
    Disk,
    Network,
    NotFound,
    OtherFile,
    Other,
}

impl Failure {
    fn read(said: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if has(&["DO NOT MATCH THE HASHES", "HashMismatch"]) {
            Self::Hash
        } else if has(&["No space left on device", "Disk quota exceeded"]) {
            Self::Disk
        } else if has(&[
            "Retrying (",
            "ConnectionError",
            "Connection broken",
            "Connection reset",
            "Connection aborted",
            "IncompleteRead",
            "ProtocolError",
            "ReadTimeout",
            "Read timed out",
            "ProxyError",
            "SSLError",
            "name resolution",
            "NetworkConnectionError",
            "IncompleteDownloadError",
            "incomplete-download",
        ]) {
            Self::Network
        } else if has(&["No matching distribution found", "Could not find a version"]) {
            Self::NotFound
        } else {
            Self::Other
        }
    }

    /// Total number of attempts after which this failure is final.
    fn attempts(self, said: &str) -> u32 {
        match self {
            // pip could not reach the index, and has already retried.
            Self::Network if said.contains("from versions: none") => 1,
            Self::Network => 3,
            // Older versions of pip do not notice that a connection ended early and see only a different hash. A file
            // from a local folder will not change.
            Self::Hash if !said.contains("Processing ") => 2,
            _ => 1,
        }
    }

    fn explain(self, cache: &Cache, name: &str, wheel: &Wheel, status: ExitStatus) -> anyhow::Error {
        let file = &wheel.file;
        let kept = kept(cache);
        match self {
            Self::Hash => anyhow!(
                "{file} was refused: its sha256 is not the one in xtask/pins.toml\n\
                 a mirror or a proxy changed it, or the download was incomplete; see `python3 -m pip config list`, then run \
                 the same command again"
            ),
            Self::Disk => anyhow!(
                "the disk is full: make room, or set SAC_NATIVE_CACHE to a folder on another disk, then run the same \
                 command again{kept}"
            ),
            Self::Network => anyhow!(
                "there is no network, or it was interrupted while fetching {name} {}\n\
                 run the same command again when it is back; set-up continues with this file{kept}\n\
                 offline: put {file} into a folder and set PIP_NO_INDEX=1 PIP_FIND_LINKS=/that/folder",
                wheel.version
            ),
            Self::NotFound => anyhow!(
                "pip does not find {file}\n\
                 its index or folder (`python3 -m pip config list`, PIP_INDEX_URL, PIP_NO_INDEX, PIP_FIND_LINKS) must have \
                 this file; the public package index has it{kept}"
            ),
            Self::OtherFile => {
                anyhow!("pip succeeded, but did not write {file}\nupgrade it: `python3 -m pip install --upgrade pip`")
            }
            Self::Other => anyhow!("pip failed ({status}); see its messages above{kept}"),
        }
    }
}

/// A note on the downloads that a repeated set-up need not fetch.
fn kept(cache: &Cache) -> String {
    let entries = fs::read_dir(cache.downloads()).into_iter().flatten().flatten();
    let bytes: u64 = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum();
    if bytes == 0 {
        String::new()
    } else {
        format!("; {} of earlier downloads are kept", size(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_pip_shows_the_reason_of_a_failure() {
        let cases = [
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
                Failure::Hash,
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                Failure::Disk,
            ),
            (
                "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError'\n\
                 ERROR: Could not find a version that satisfies the requirement torch==2.11.0 (from versions: none)",
                Failure::Network,
            ),
            (
                "ERROR: No matching distribution found for torch==2.11.0",
                Failure::NotFound,
            ),
            ("Segmentation fault", Failure::Other),
        ];
        for (said, expected) in cases {
            assert_eq!(Failure::read(said), expected, "{said}");
        }
    }
}
