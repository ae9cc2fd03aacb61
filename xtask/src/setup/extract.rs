//! Unpacking of wheels into the folder of a part.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::cache::Cache;
use super::manifest::{Entry, HashWriter, Manifest, copy};
use crate::bytes::size;
use crate::pins::{Part, Pins, Take};

/// Unpacks the files of `part` from the downloaded wheels and installs the folder at `home`.
pub fn unpack(pins: &Pins, cache: &Cache, part: &Part, home: &Path) -> Result<()> {
    let made = cache.work("unpack")?;
    let mut manifest = Manifest::default();
    let mut progress = Progress::new(part.unpacked_bytes);
    for name in pins.wheels_of(part) {
        let wheel = pins.wheel(name);
        say!("  unpacking {name} {} ({})", wheel.version, size(wheel.bytes));
        let takes: Vec<&Take> = part.take.iter().filter(|take| take.wheel == name).collect();
        let path = cache.downloads().join(&wheel.file);
        members(&path, &takes, &made, &mut manifest, &mut progress).with_context(|| format!("in {}", wheel.file))?;
    }
    for link in &part.links {
        let path = made.join(&link.path);
        symlink(&link.target, &path).with_context(|| format!("cannot create the link {}", path.display()))?;
        let bytes = link.target.as_os_str().len() as u64;
        manifest.files.push(Entry {
            sha256: "link".into(),
            bytes,
            path: link.path.clone(),
        });
    }
    manifest.write(&made)?;
    cache.install(&made, home)
}

/// Copies the members of a wheel that a rule takes. A rule that matches nothing is an error in `pins.toml`.
fn members(wheel: &Path, takes: &[&Take], made: &Path, manifest: &mut Manifest, progress: &mut Progress) -> Result<()> {
    let file = File::open(wheel).with_context(|| format!("cannot open {}", wheel.display()))?;
    let mut archive = zip::ZipArchive::new(BufReader::with_capacity(1 << 17, file))?;
    let mut matched = BTreeSet::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        if member.is_dir() {
            continue;
        }
        let name = member.name()?.into_owned();
        let Some((rule, to)) = takes
            .iter()
            .enumerate()
            .find_map(|(rule, take)| take.destination(&name).map(|to| (rule, to)))
        else {
            continue;
        };
        ensure!(
            member.enclosed_name().is_some(),
            "the path of the member `{name}` leaves its folder"
        );
        matched.insert(rule);
        let path = made.join(&to);
        fs::create_dir_all(path.parent().unwrap_or(made))?;
        let out = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut writer = HashWriter::new(BufWriter::with_capacity(1 << 17, progress.follow(out)));
        copy(&mut member, &mut writer)
            .and_then(|()| writer.flush())
            .with_context(|| format!("at `{name}`"))?;
        let mode = member.unix_mode().map_or(0o644, |mode| mode & 0o755 | 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let (sha256, bytes) = writer.finish();
        manifest.files.push(Entry {
            sha256,
            bytes,
            path: to,
        });
    }
    for (rule, take) in takes.iter().enumerate() {
        ensure!(
            matched.contains(&rule),
            "nothing in the wheel matches `{}` of xtask/pins.toml",
            take.from
        );
    }
    Ok(())
}

/// Progress report with a line every two seconds.
struct Progress {
    written: u64,
    expected: u64,
    said: Instant,
}

impl Progress {
    fn new(expected: u64) -> Self {
        Self {
            written: 0,
            expected,
            said: Instant::now(),
        }
    }

    fn follow<W>(&mut self, inner: W) -> Followed<'_, W> {
        Followed { inner, progress: self }
    }
}

struct Followed<'a, W> {
    inner: W,
    progress: &'a mut Progress,
}

impl<W: Write> Write for Followed<'_, W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(data)?;
        let progress = &mut *self.progress;
        progress.written += count as u64;
        if progress.said.elapsed() > Duration::from_secs(2) {
            say!(
                "    {} of {}",
                size(progress.written),
                size(progress.expected.max(progress.written))
            );
            progress.said = Instant::now();
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
