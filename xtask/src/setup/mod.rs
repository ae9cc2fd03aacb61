//! Set-up: makes `.native/` complete.
//!
//! Each part (libtorch, MuJoCo, the model files) has a folder in the cache whose name identifies its content;
//! `.native/<part>` links there. The folder is created by a rename after all its files were written, hashed and synced,
//! so it is either complete or absent. Later damage is detected with its manifest, whose own hash is pinned.

mod cache;
mod download;
mod extract;
mod link;
mod machine;
mod manifest;
mod own;
mod verified;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bytes::size;
use crate::pins::{Flavour, Part, Pins};
use crate::workspace::Workspace;

pub use cache::{Cache, remove_any};
pub use link::point;
pub use machine::{Python, compiler};
pub use manifest::Depth;
use verified::Verified;

/// Options of set-up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The build of libtorch. `None` keeps the linked one, or chooses CPU on a fresh machine.
    pub flavour: Option<Flavour>,
    /// How thoroughly existing files are checked.
    pub depth: Depth,
    /// Whether to report also when nothing had to be done.
    pub verbose: bool,
}

impl Options {
    /// The options for each `cargo sac`: no hashing, and no output unless something is missing.
    pub const QUICK: Self = Self {
        flavour: None,
        depth: Depth::Libraries,
        verbose: false,
    };
}

/// A part that this machine needs.
struct Wanted<'a> {
    part: &'a Part,
    key: String,
    /// The part's folder in the cache.
    home: PathBuf,
}

impl Wanted<'_> {
    fn place(&self) -> (&str, &Path) {
        (&self.key, &self.home)
    }
}

/// Makes `.native/` complete and valid.
pub fn ensure(workspace: &Workspace, options: Options) -> Result<()> {
    let started = Instant::now();
    let pins = Pins::read(&workspace.pins())?;
    let cache = Cache::locate(workspace)?;
    let flavour = options
        .flavour
        .unwrap_or_else(|| linked_flavour(workspace, &pins, &cache));

    let mut wanted = Vec::new();
    for part in pins.parts(flavour) {
        if let Some(own) = own::find(workspace, part) {
            if options.verbose {
                own.announce(part);
            }
            own.check(part)?;
            continue;
        }
        let key = pins.key(part);
        let home = cache.root().join(&key);
        wanted.push(Wanted { part, key, home });
    }

    // A part that this checkout has not used yet, or whose files were written since, is hashed whatever was asked for.
    let verified = Verified::read(workspace);
    let whole = |wanted: &Wanted| {
        let depth = match verified.holds(&wanted.key, &wanted.home) {
            true => options.depth,
            false => Depth::Hashes,
        };
        manifest::inspect(&wanted.home, depth, wanted.part.manifest_sha256.as_deref())
    };
    if wanted
        .iter()
        .all(|one| link::is_right(workspace, one.part, &one.home) && whole(one).is_complete())
    {
        verified.note(workspace, wanted.iter().map(Wanted::place))?;
        if options.verbose {
            report(&wanted, options.depth, started)?;
        }
        return Ok(());
    }

    let _lock = cache.lock()?;
    cache.sweep()?;
    // Another set-up may have done the work while this one waited for the lock.
    let mut missing = Vec::new();
    for one in &wanted {
        match whole(one) {
            manifest::State::Complete => {}
            manifest::State::Missing => missing.push(one),
            manifest::State::Broken(problems) => {
                say!("{} is damaged and will be created again:", one.home.display());
                for problem in problems.iter().take(5) {
                    say!("  {problem}");
                }
                if problems.len() > 5 {
                    say!("  and {} more", problems.len() - 5);
                }
                missing.push(one);
            }
        }
    }
    if !missing.is_empty() {
        make(&pins, &cache, &missing)?;
    }
    for one in missing {
        // Otherwise every set-up would create it again.
        if let manifest::State::Broken(problems) = whole(one) {
            bail!(
                "{} was created just now and is not what xtask/pins.toml says: {}",
                one.key,
                problems.join(", ")
            );
        }
    }
    for one in &wanted {
        if link::is_right(workspace, one.part, &one.home) {
            continue;
        }
        let before = links_cuda(workspace);
        link::point(&workspace.native().join(&one.part.name), &one.home.join(&one.part.name))?;
        if one.part.name == "libtorch" && before != links_cuda(workspace) {
            forget_libtorch(workspace)?;
        }
    }
    verified.note(workspace, wanted.iter().map(Wanted::place))?;
    report(&wanted, options.depth, started)
}

/// Fetches and unpacks the missing parts.
fn make(pins: &Pins, cache: &Cache, missing: &[&Wanted]) -> Result<()> {
    for one in missing {
        machine::check_platform(
            &pins.target,
            pins.wheels_of(one.part).iter().map(|name| pins.wheel(name)),
            one.part,
        )?;
    }
    let mut fetch_bytes = 0;
    let mut largest = 0;
    let mut unpacked_bytes = 0;
    for one in missing {
        unpacked_bytes += one.part.unpacked_bytes;
        for wheel in pins.wheels_of(one.part).into_iter().map(|name| pins.wheel(name)) {
            if !cache.has_download(wheel) {
                fetch_bytes += wheel.bytes;
                largest = largest.max(wheel.bytes);
            }
        }
    }
    let names: Vec<_> = missing
        .iter()
        .map(|one| one.key.rsplit_once('-').map_or(one.key.as_str(), |(k, _)| k))
        .collect();
    say!("setting up {}", names.join(", "));
    say!(
        "  {} to fetch, {} on disk, in {}",
        size(fetch_bytes),
        size(unpacked_bytes),
        cache.root().display()
    );
    // For a moment pip has two copies of a wheel: in its temporary folder and at the destination.
    machine::check_space(cache.root(), fetch_bytes + largest + unpacked_bytes)?;

    let python = Python::find()?;
    for one in missing {
        let names = pins.wheels_of(one.part);
        for name in &names {
            download::fetch(&python, cache, &pins.target, name, pins.wheel(name))
                .with_context(|| format!("set-up stopped at {name} {}", pins.wheel(name).version))?;
        }
        extract::unpack(pins, cache, one.part, &one.home)
            .map_err(machine::explain_full_disk)
            .with_context(|| format!("cannot unpack {}", one.key))?;
        // No other part of the same flavour needs these wheels.
        for name in names {
            cache.forget_download(pins.wheel(name))?;
        }
    }
    Ok(())
}

/// The flavour that `.native/libtorch` links to.
fn linked_flavour(workspace: &Workspace, pins: &Pins, cache: &Cache) -> Flavour {
    let is_cuda = pins
        .parts(Flavour::Cuda)
        .filter(|part| part.flavour == Some(Flavour::Cuda))
        .any(|part| link::is_right(workspace, part, &cache.root().join(pins.key(part))));
    if is_cuda { Flavour::Cuda } else { Flavour::Cpu }
}

/// Whether `.native/libtorch` has CUDA; `None` if it does not exist.
fn links_cuda(workspace: &Workspace) -> Option<bool> {
    let libraries = workspace.native().join("libtorch/lib");
    libraries.is_dir().then(|| libraries.join("libtorch_cuda.so").exists())
}

/// Makes cargo build torch-sys again. Its build script decides by the files of libtorch whether to link CUDA, but cargo
/// would not run it again, because the path of libtorch is the same.
fn forget_libtorch(workspace: &Workspace) -> Result<()> {
    let target = workspace.target()?;
    for (profile, name) in [("dev", "debug"), ("release", "release")] {
        let built = std::fs::read_dir(target.join(name).join("build"))
            .into_iter()
            .flatten()
            .flatten();
        if built
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("torch-sys-"))
        {
            let mut cargo = workspace.cargo();
            cargo.args([
                "clean",
                "--quiet",
                "--offline",
                "--package",
                "torch-sys",
                "--profile",
                profile,
            ]);
            // If this fails, at worst the build uses the previous libtorch.
            if !cargo.status().is_ok_and(|status| status.success()) {
                say!("could not clear torch-sys; if linking fails, run `cargo clean -p torch-sys --profile {profile}`");
            }
        }
    }
    Ok(())
}

fn report(wanted: &[Wanted], depth: Depth, started: Instant) -> Result<()> {
    let mut files = 0;
    let mut bytes = 0;
    for one in wanted {
        let manifest = manifest::Manifest::read(&one.home)?;
        files += manifest.files.len();
        bytes += manifest.files.iter().map(|file| file.bytes).sum::<u64>();
    }
    let looked = match depth {
        Depth::Libraries => "all present",
        Depth::Sizes => "sizes right",
        Depth::Hashes => "hashes right",
    };
    let seconds = started.elapsed().as_secs_f64();
    say!(
        ".native is complete: {files} files, {}, {looked} ({seconds:.1} s)",
        size(bytes)
    );
    for one in wanted {
        say!("  {} -> {}", one.part.name, one.home.join(&one.part.name).display());
    }
    Ok(())
}
