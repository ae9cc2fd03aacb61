//! `sac doctor`.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use sac_agents::{compute::bfloat16_instructions, memory::available_memory_bytes};
use sac_cli::args::DoctorArgs;
use serde::Serialize;

use super::output::{print, print_json};
use crate::{error::Result, libtorch_version, run::processor};

#[derive(Serialize)]
struct Finding {
    what: &'static str,
    found: Option<String>,
    /// What to do when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// Whether training needs it.
    needed: bool,
}

pub fn run(args: &DoctorArgs) -> Result<()> {
    let [models, robots] = model_files();
    let findings = [
        libtorch(),
        mujoco(),
        models,
        robots,
        cuda(),
        threads(),
        simd(),
        bfloat16(),
        update_rules(),
        memory(),
    ];
    if args.json {
        let commit = env!("SAC_COMMIT");
        return print_json(&serde_json::json!({
            "sac": env!("CARGO_PKG_VERSION"), "commit": commit, "processor": processor(), "findings": findings,
        }));
    }
    let mut text = format!(
        "sac {} ({}, {} build)\n",
        env!("CARGO_PKG_VERSION"),
        env!("SAC_COMMIT"),
        env!("SAC_PROFILE")
    );
    for finding in &findings {
        text += &format!(
            "{:<10} {}\n",
            finding.what,
            finding.found.as_deref().unwrap_or("not found")
        );
        if let Some(fix) = &finding.fix {
            text += &format!(
                "{:<10}   {}{fix}\n",
                "",
                if finding.needed { "fix: " } else { "to have it: " }
            );
        }
    }
    print(&text)
}

/// The implementations of an update. Which one an agent has, `sac config` and the header of a run say.
fn update_rules() -> Finding {
    Finding {
        what: "updates",
        found: Some("fused for networks that read vectors on a CPU; autograd for the rest and on a GPU".to_string()),
        fix: None,
        needed: false,
    }
}

/// The file that a library was loaded from, by the system's list of what is in memory.
fn loaded(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read("/proc/self/maps").ok()?;
    path_in(&maps, name)
}

/// Lines are `address mode offset device inode path`, with blanks in the path as they are.
fn path_in(maps: &[u8], name: &str) -> Option<PathBuf> {
    let path = |line: &[u8]| {
        let start = line.iter().position(|byte| *byte == b'/')?;
        Some(PathBuf::from(OsStr::from_bytes(&line[start..])))
    };
    let mut paths = maps.split(|byte| *byte == b'\n').filter_map(path);
    paths.find(|path| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(name))
    })
}

fn libtorch() -> Finding {
    let path = loaded("libtorch_cpu.so");
    let version = path
        .as_deref()
        .and_then(Path::parent)
        .and_then(libtorch_version::beside);
    // Without headers beside the library nothing tells its version but the build.
    let version = version.unwrap_or_else(|| env!("SAC_LIBTORCH_VERSION").to_string());
    let path = path.map_or("unknown place".to_string(), |path| path.display().to_string());
    let fits = version == "2.11.0" || version == "unknown";
    Finding {
        what: "libtorch",
        found: Some(format!("{version} at {path}")),
        fix: (!fits)
            .then(|| "tch 0.24 pairs with libtorch 2.11.0: unset LIBTORCH and run `cargo xtask setup`".to_string()),
        needed: true,
    }
}

#[cfg(feature = "mujoco")]
fn mujoco() -> Finding {
    // The program is linked with the library: it runs, so the library was found.
    let found = loaded("libmujoco").map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let version = file
            .split_once(".so.")
            .map_or("unknown version", |(_, version)| version);
        format!("{version} at {}", path.display())
    });
    Finding {
        what: "MuJoCo",
        fix: found
            .is_none()
            .then(|| "run `cargo xtask setup` in the source folder, and build again".to_string()),
        found,
        needed: false,
    }
}

/// Names of the two sets of model files, and their packages.
const MODELS: [(&str, &str); 2] = [("models", "Gymnasium"), ("robots", "Gymnasium-Robotics")];

#[cfg(feature = "mujoco")]
fn model_files() -> [Finding; 2] {
    let [mujoco, fetch] = crate::assemble::model_files();
    let finding = |(what, package), folder: std::result::Result<std::path::PathBuf, String>| Finding {
        what,
        fix: folder.as_ref().err().cloned(),
        found: folder
            .ok()
            .map(|folder| format!("MuJoCo models of {package} at {}", folder.display())),
        needed: false,
    };
    [finding(MODELS[0], mujoco), finding(MODELS[1], fetch)]
}

#[cfg(not(feature = "mujoco"))]
fn mujoco() -> Finding {
    not_in_this_build("MuJoCo")
}

#[cfg(not(feature = "mujoco"))]
fn model_files() -> [Finding; 2] {
    MODELS.map(|(what, _)| not_in_this_build(what))
}

#[cfg(not(feature = "mujoco"))]
fn not_in_this_build(what: &'static str) -> Finding {
    Finding {
        what,
        found: None,
        fix: Some("this build has no MuJoCo tasks; build with the Cargo feature `mujoco`".to_string()),
        needed: false,
    }
}

fn cuda() -> Finding {
    let devices = tch::Cuda::device_count();
    let fix = if devices > 0 {
        None
    } else if loaded("libtorch_cuda").is_some() {
        Some("libtorch has CUDA but sees no device: check the driver with nvidia-smi".to_string())
    } else {
        Some("on a machine with an NVIDIA GPU, run `cargo xtask setup --cuda` and build again".to_string())
    };
    let found = (devices > 0).then(|| format!("{devices} device(s)"));
    Finding {
        what: "CUDA",
        found,
        fix,
        needed: false,
    }
}

fn threads() -> Finding {
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    let found = format!("{cores} available, libtorch would use {}", tch::get_num_threads());
    Finding {
        what: "threads",
        found: Some(found),
        fix: None,
        needed: true,
    }
}

fn simd() -> Finding {
    #[cfg(target_arch = "x86_64")]
    let found = {
        let features = [
            ("SSE4.2", is_x86_feature_detected!("sse4.2")),
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("AVX-512F", is_x86_feature_detected!("avx512f")),
            ("AVX-512 BF16", is_x86_feature_detected!("avx512bf16")),
        ];
        let names: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        format!("{} on {}", names.join(", "), processor())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found = processor();
    Finding {
        what: "SIMD",
        found: Some(found),
        fix: None,
        needed: true,
    }
}

/// What `--matmul-precision medium` needs.
fn bfloat16() -> Finding {
    let by = bfloat16_instructions();
    Finding {
        what: "bfloat16",
        found: by.map(|by| format!("{by}: --matmul-precision medium is available")),
        fix: by.is_none().then(|| {
            "--matmul-precision medium needs a processor with AVX512-BF16, such as AMD's from Zen 4 or Intel's from \
             Sapphire Rapids"
                .to_string()
        }),
        needed: false,
    }
}

fn memory() -> Finding {
    let available = available_memory_bytes();
    Finding {
        what: "memory",
        found: Some(format!("{} MiB available", available >> 20)),
        fix: None,
        needed: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_memory_wherever_its_folder_is() {
        let maps = b"7f00-7f10 r-xp 00000000 fe:00 12   [stack]\n\
            7f10-7f20 r--p 00000000 fe:00 13   /a folder/l\xff/libmujoco.so.3.17.0\n\
            7f20-7f30 r--p 00000000 fe:00 14   /lib/libm.so.6\n";
        let found = path_in(maps, "libmujoco").expect("there");
        assert_eq!(found.as_os_str().as_bytes(), b"/a folder/l\xff/libmujoco.so.3.17.0");
        assert_eq!(path_in(maps, "libtorch"), None);
    }
}
