//! What the machine is, and whether libtorch sees a GPU.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use serde_json::json;
use tch::Cuda;

use crate::{part::Place, tell::tell};

/// Set by `run.sh`, which knows the Python that libtorch belongs to.
const TORCH_VERSION: &str = "SAC_REHEARSAL_TORCH";

pub fn run(place: Place) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    tell(
        "processor",
        json!(format!("{}, {cores} core(s)", sac::run::processor())),
    );
    tell(
        "torch",
        json!(std::env::var(TORCH_VERSION).unwrap_or("unknown".to_string())),
    );
    tell("cuda_graphs_are_built_in", json!(cfg!(feature = "cuda-graphs")));
    if place == Place::Cpu {
        return Ok(());
    }
    // Before libtorch is asked, which may wait for a driver that hangs.
    tell("gpu", json!(nvidia_smi()));
    tell("driver", json!(driver()));
    let devices = Cuda::device_count();
    tell("devices", json!(devices));
    ensure!(devices > 0, "no CUDA device: {}", why_no_device());
    tell("cudnn", json!(Cuda::cudnn_is_available()));
    Ok(())
}

/// Name, driver and memory of each GPU, as the driver's own program says.
fn nvidia_smi() -> Vec<String> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().map(|line| line.trim().to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// The version of the driver that the kernel has loaded.
fn driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.lines().next().map(str::to_string)
}

fn why_no_device() -> &'static str {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    match (maps.contains("libtorch_cuda"), driver()) {
        (false, _) => "this binary is linked to libtorch without CUDA; benches/gpu/pack.sh builds one with it",
        (true, None) => "no NVIDIA driver is loaded on this machine",
        (true, Some(_)) => "libtorch sees none, though a driver is loaded; `said` in the report may say why",
    }
}
