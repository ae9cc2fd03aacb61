//! The parts of a rehearsal, in their order: [`all`].

mod capture;
mod correctness;
mod environment;
mod graphs;
mod pendulum;
mod speed;

use anyhow::Result;
use tch::Device;

use crate::learner::{self, Algo};

/// Where a rehearsal takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the first CUDA device.
    Gpu,
    /// On the CPU in its place, with smaller numbers.
    Cpu,
}

impl Place {
    /// The device that is checked and measured.
    pub fn device(self) -> Device {
        match self {
            Place::Gpu => Device::Cuda(0),
            Place::Cpu => Device::Cpu,
        }
    }

    /// Of libtorch on the CPU. Beside a GPU the reference is to be quick; a rehearsal shares its machine, where threads
    /// that wait for each other take many times as long as one.
    pub fn threads(self) -> u64 {
        match self {
            Place::Gpu => std::thread::available_parallelism().map_or(1, |count| count.get().min(8)) as u64,
            Place::Cpu => 1,
        }
    }
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the machine is.
    Environment,
    /// Updates against the reference on the CPU.
    Correctness(Algo),
    /// Small pieces of work, recorded one by one.
    Capture,
    /// Recorded updates against the same ones not recorded.
    Graphs(Algo),
    /// A short run that has to learn.
    Pendulum {
        /// With recorded updates.
        graphs: bool,
    },
    /// Updates per second.
    Speed(Algo),
}

/// All, in the order in which they run: what the others depend on comes first.
pub fn all() -> Vec<Part> {
    let algos = [Algo::Sac, Algo::DsacT, Algo::SacPixels];
    let mut parts = vec![Part::Environment];
    parts.extend(algos.map(Part::Correctness));
    parts.push(Part::Capture);
    parts.extend(algos.map(Part::Graphs));
    parts.push(Part::Pendulum { graphs: false });
    parts.extend(algos.map(Part::Speed));
    parts.push(Part::Pendulum { graphs: true });
    parts
}

impl Part {
    /// Its name in the report.
    pub fn name(self) -> String {
        match self {
            Part::Environment => "environment".to_string(),
            Part::Correctness(algo) => format!("correctness/{}", algo.preset()),
            Part::Capture => "capture".to_string(),
            Part::Graphs(algo) => format!("graphs/{}", algo.preset()),
            Part::Pendulum { graphs: false } => "pendulum/plain".to_string(),
            Part::Pendulum { graphs: true } => "pendulum/graphs".to_string(),
            Part::Speed(algo) => format!("speed/{}", algo.preset()),
        }
    }

    /// Seconds that it may take, several times what it needs.
    pub fn budget_s(self, place: Place) -> u64 {
        let on_gpu = match self {
            Part::Environment => 60, // the first one reads libtorch from the disk
            Part::Correctness(_) | Part::Capture | Part::Graphs(_) => 60,
            Part::Pendulum { .. } | Part::Speed(_) => 90,
        };
        match place {
            Place::Gpu => on_gpu,
            Place::Cpu => 4 * on_gpu, // other programs may have the cores
        }
    }

    /// Whether it tells what the machine is.
    pub fn is_environment(self) -> bool {
        self == Part::Environment
    }

    /// Whether it compares numbers: then products are made in whole float32, without TF32.
    pub fn is_exact(self) -> bool {
        matches!(self, Part::Correctness(_) | Part::Capture | Part::Graphs(_))
    }

    /// Why it cannot be rehearsed on a CPU, if it cannot.
    pub fn needs_gpu(self) -> Option<&'static str> {
        match self {
            Part::Pendulum { graphs: true } => Some("there are no CUDA graphs on a CPU"),
            _ => None,
        }
    }

    /// Does what it is for.
    ///
    /// # Errors
    /// When a check does not hold, or something cannot be done.
    pub fn run(self, place: Place) -> Result<()> {
        learner::prepare_process(place.threads());
        match self {
            Part::Environment => environment::run(place),
            Part::Correctness(algo) => correctness::run(algo, place),
            Part::Capture => capture::run(place),
            Part::Graphs(algo) => graphs::run(algo, place),
            Part::Pendulum { graphs } => pendulum::run(place, graphs),
            Part::Speed(algo) => speed::run(algo, place),
        }
    }
}
