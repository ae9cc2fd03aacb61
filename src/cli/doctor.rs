//! `sac doctor`.

use std::path::{Path, PathBuf};

use sac_agents::compute::bfloat16_instructions;
use serde::Serialize;

use super::{
    args::DoctorArgs,
    output::{print, print_json},
};
use crate::{error::Result, run::processor};

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
    let findings = [
        libtorch(),
        mujoco(),
        model_files(),
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
        found: Some("fused for perceptrons on a CPU; autograd for the rest and on a GPU".to_string()),
        fix: None,
        needed: false,
    }
}

/// The file that a library was loaded from.
fn loaded(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| {
            Path::new(path)
                .file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(name))
        });
    path.map(PathBuf::from)
}

fn libtorch() -> Finding {
    let path = loaded("libtorch_cpu.so").map_or("unknown place".to_string(), |path| path.display().to_string());
    let version = env!("SAC_LIBTORCH_VERSION");
    let fits = version == "2.11.0" || version == "unknown";
    Finding {
        what: "libtorch",
        found: Some(format!("{version} at {path}")),
        fix: (!fits)
            .then(|| "tch 0.24 pairs with libtorch 2.11.0: unset LIBTORCH and run `cargo xtask setup`".to_string()),
        needed: true,
    }
}

/// The folder that set-up fills: beside libtorch, wherever that was loaded from.
fn native() -> Option<PathBuf> {
    let libtorch = loaded("libtorch_cpu.so")?;
    Some(libtorch.parent()?.parent()?.parent()?.to_path_buf())
}

fn beside_libtorch(what: &'static str, relative: &str, name: &str) -> Finding {
    let candidates = [native(), Some(PathBuf::from(".native"))];
    let path = candidates
        .into_iter()
        .flatten()
        .map(|folder| folder.join(relative))
        .find(|path| path.exists());
    let fix = path
        .is_none()
        .then(|| "run `cargo xtask setup` in the source folder".to_string());
    Finding {
        what,
        found: path.map(|path| format!("{name} at {}", path.display())),
        fix,
        needed: false,
    }
}

fn mujoco() -> Finding {
    match std::env::var_os("MUJOCO_DYNAMIC_LINK_DIR").map(PathBuf::from) {
        Some(folder) if folder.join("libmujoco.so").exists() => Finding {
            what: "MuJoCo",
            found: Some(format!("at {} (MUJOCO_DYNAMIC_LINK_DIR)", folder.display())),
            fix: None,
            needed: false,
        },
        _ => beside_libtorch("MuJoCo", "mujoco/lib/libmujoco.so.3.17.0", "3.17.0"),
    }
}

fn model_files() -> Finding {
    beside_libtorch(
        "models",
        "gymnasium/envs/mujoco/assets",
        "MuJoCo models of Gymnasium 1.4.0",
    )
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
    let available = sac_agents::replay::available_memory_bytes();
    Finding {
        what: "memory",
        found: Some(format!("{} MiB available", available >> 20)),
        fix: None,
        needed: true,
    }
}
