//! The agents' interface, as this program uses it: the only module that names it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use anyhow::{Context, Result, anyhow, bail};
pub use sac::agents::Batch;
use sac::{
    Catalog, Registry,
    agents::{
        Agent, AgentSpec, Compute, EnvSteps, GradSteps, Implementation, SoftActorCritic, UpdateReport,
        checkpoint::Checkpoint,
        cuda_graph::{RecordedUpdates, Recorder, Recording},
        log::Logger,
        noise::Stream,
        process,
    },
    assemble,
    envs::{Dtype, Space},
};
use tch::{Device, Kind, Tensor};

/// Numbers that are observed, and actions: those of HalfCheetah.
const OBSERVED: usize = 17;
const ACTIONS: usize = 6;
/// Grey pictures of 48 × 48, three at a time: what `sac-pixels` is made for.
const IMAGE: [usize; 3] = [3, 48, 48];
const SEED: u64 = 1;

/// An algorithm that is checked and measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algo {
    /// Soft Actor-Critic.
    Sac,
    /// Its distributional critic with three refinements.
    DsacT,
    /// From pictures.
    SacPixels,
}

impl Algo {
    /// The name of its preset.
    pub fn preset(self) -> &'static str {
        match self {
            Algo::Sac => "sac",
            Algo::DsacT => "dsac-t-hybrid",
            Algo::SacPixels => "sac-pixels",
        }
    }

    fn observation(self) -> Space {
        match self {
            Algo::Sac | Algo::DsacT => Space::unbounded(OBSERVED),
            Algo::SacPixels => {
                let len = IMAGE.iter().product();
                Space::Box {
                    shape: IMAGE.to_vec(),
                    low: vec![0.0; len],
                    high: vec![255.0; len],
                    dtype: Dtype::U8,
                }
            }
        }
    }

    /// The agent of its preset, with `settings` over it (`key=value`).
    fn spec(self, settings: &[&str]) -> Result<AgentSpec> {
        let mut layers = sac::config::preset_layers(self.preset())?;
        settings.iter().try_for_each(|setting| layers.set_text(setting))?;
        let (raw, issues) = layers.read(&Catalog::default());
        match issues.first() {
            None => Ok(raw.agent),
            Some(issue) => bail!("{}: {}", issue.key, issue.problem),
        }
    }
}

/// Gives libtorch so many threads on the CPU.
pub fn prepare_process(threads: u64) {
    process::prepare(threads);
}

/// How an agent makes its updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As users get them on its device.
    Plain,
    /// By the reference, through autograd. On a GPU that is what users get.
    Reference,
    /// The reference recorded once and repeated: as CUDA graphs on a GPU. On the CPU the work is done again.
    Recorded,
}

/// What became of each attempt to record an update, in their order.
#[derive(Clone, Default)]
pub struct Captures(Arc<Mutex<Vec<Result<(), String>>>>);

impl Captures {
    /// All so far.
    pub fn so_far(&self) -> Vec<Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An agent with its random numbers. All with one algorithm begin alike and draw alike, on every device.
pub struct Learner {
    agent: SoftActorCritic,
    stream: Stream,
    /// Of [`How::Recorded`].
    pub captures: Captures,
}

impl Learner {
    /// The agent of a preset, with `settings` over it.
    ///
    /// # Errors
    /// When it cannot be built, or cannot learn like that there.
    pub fn new(algo: Algo, settings: &[&str], device: Device, how: How) -> Result<Self> {
        let spec = algo.spec(settings)?;
        let spaces = (&algo.observation(), &Space::boxed(ACTIONS, -1.0, 1.0));
        let captures = Captures::default();
        let compute = Compute {
            implementation: match how {
                How::Plain => Implementation::default(),
                How::Reference | How::Recorded => Implementation::Reference,
            },
            ..Compute::on(device)
        };
        // A recorder comes first: it chooses the stream that the work of everything after it goes to.
        let recorder = match how {
            How::Plain | How::Reference => None,
            How::Recorded => Some(Watched {
                inner: recorder_on(device)?,
                captures: captures.clone(),
            }),
        };
        let agent = SoftActorCritic::new(&spec, "rehearsal", spaces, SEED, compute)?;
        let agent = match recorder {
            None => agent,
            Some(recorder) => agent.with_rule(|rule| Box::new(RecordedUpdates::new(rule, Box::new(recorder)))),
        };
        Ok(Learner {
            agent,
            stream: Stream::derive(SEED, "update", 0),
            captures,
        })
    }

    /// One update. Work on a GPU may still be under way afterwards.
    pub fn update(&mut self, batch: &Batch) {
        drop(self.reported(batch));
    }

    /// One update, and the numbers that it reports.
    pub fn update_and_read(&mut self, batch: &Batch) -> Vec<(&'static str, f64)> {
        self.reported(batch).read()
    }

    fn reported(&mut self, batch: &Batch) -> UpdateReport {
        self.agent.update(batch, &mut self.stream)
    }

    /// Goes on from what `other` has learned, wherever that lives.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn go_on_from(&mut self, other: &Learner) -> Result<()> {
        let checkpoint = Checkpoint::in_memory(EnvSteps(0), GradSteps(0), &other.agent.sections()?)?;
        self.agent.load(&checkpoint)?;
        Ok(self.stream.seek(&other.stream.position())?)
    }

    /// Every number that updates change, by section and name, in double precision on the CPU.
    ///
    /// # Errors
    /// When the agent cannot say.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        for section in self.agent.sections()? {
            for name in section.tensor_names() {
                let tensor = section.any_tensor(name)?.to_device(Device::Cpu).to_kind(Kind::Double);
                tensors.insert(format!("{}/{name}", section.name()), tensor);
            }
        }
        Ok(tensors)
    }
}

/// Whether a tensor of [`Learner::tensors`] belongs to the optimiser and not to what it moves.
pub fn is_of_optimizer(name: &str) -> bool {
    name.contains("/adam.")
}

/// Random batches, the same ones each time.
pub struct Batches {
    algo: Algo,
    rows: i64,
    data: Stream,
}

impl Batches {
    /// Of so many rows.
    pub fn new(algo: Algo, rows: i64) -> Self {
        Batches {
            algo,
            rows,
            data: Stream::derive(SEED, "data", 0),
        }
    }

    /// The next one, on the CPU.
    pub fn draw(&mut self) -> Batch {
        let spaces = (&self.algo.observation(), &Space::boxed(ACTIONS, -1.0, 1.0));
        assemble::random_batch(spaces, self.rows, &mut self.data)
    }
}

/// A batch with each tensor changed.
pub fn map(batch: &Batch, change: impl Fn(&Tensor) -> Tensor) -> Batch {
    Batch::new(
        change(&batch.obs),
        change(&batch.action),
        change(&batch.reward),
        change(&batch.discount),
        change(&batch.next_obs),
    )
}

/// A batch on a device.
pub fn on(batch: &Batch, device: Device) -> Batch {
    map(batch, |tensor| tensor.to_device(device))
}

/// What records on a device, for the calling thread.
fn recorder_on(device: Device) -> Result<Box<dyn Recorder>> {
    match device {
        #[cfg(feature = "cuda-graphs")]
        Device::Cuda(index) => {
            let recorder =
                sac::agents::cuda_graph::cuda::CudaRecorder::new(index).map_err(|problem| anyhow!(problem))?;
            Ok(Box::new(recorder))
        }
        Device::Cpu => Ok(Box::new(Again)),
        _ => Err(anyhow!(
            "this binary was built without the feature cuda-graphs: benches/gpu/pack.sh builds one with it"
        )),
    }
}

/// Records `work` and returns what repeats it.
///
/// # Errors
/// When it cannot be recorded.
pub fn record(device: Device, work: &mut dyn FnMut()) -> Result<impl Fn(&mut dyn FnMut()) + use<>> {
    let recording = recorder_on(device)?.record(work).map_err(|problem| anyhow!(problem))?;
    Ok(move |work: &mut dyn FnMut()| recording.repeat(work))
}

/// Puts the calling thread's work on the stream on which it can be recorded.
///
/// # Errors
/// When the device has none.
pub fn use_recordable_stream(device: Device) -> Result<()> {
    recorder_on(device).map(drop)
}

struct Watched {
    inner: Box<dyn Recorder>,
    captures: Captures,
}

impl Recorder for Watched {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        let recorded = self.inner.record(work);
        let outcome = recorded.as_ref().map(|_| ()).map_err(String::clone);
        self.captures
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(outcome);
        recorded
    }
}

/// Takes the place of CUDA's recorder on the CPU: does the work again.
struct Again;

impl Recorder for Again {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        work();
        Ok(Box::new(Again))
    }
}

impl Recording for Again {
    fn repeat(&self, work: &mut dyn FnMut()) {
        work();
    }
}

/// What a short run reached.
pub struct Run {
    /// Mean return of the evaluation at its end.
    pub mean_return: f64,
    /// Updates that it made.
    pub updates: u64,
    /// Wall time in training, evaluation included.
    pub seconds: f64,
}

/// Trains `sac` on Pendulum-v1 for so many env steps, as the command line would, and scores it at the end.
///
/// # Errors
/// When it cannot be set up, or diverges.
pub fn train_on_pendulum(device: Device, threads: u64, cuda_graphs: bool, env_steps: u64) -> Result<Run> {
    let device = match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_string(),
    };
    let settings = [
        format!("train.device=\"{device}\""),
        format!("train.cuda_graphs={cuda_graphs}"),
        format!("train.total_env_steps={env_steps}"),
        format!("eval.every={{env_steps={env_steps}}}"),
        format!("train.seed={SEED}"),
        format!("train.threads={threads}"),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let registry = Registry::builtin();
    let config = sac::configure(&registry, "Pendulum-v1", "sac", &settings)?;
    let mut trainer = assemble::trainer(&config, &registry, Logger::default(), None)?;
    trainer.run(&AtomicBool::new(false))?;
    let (_, mean_return) = trainer.last_evaluation().context("the run was not scored")?;
    Ok(Run {
        mean_return,
        updates: trainer.grad_steps().0,
        seconds: trainer.seconds(),
    })
}
