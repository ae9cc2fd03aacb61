//! Updates recorded once and repeated: [`RecordedUpdates`].
//!
//! On a GPU an update of a usual network is some hundred kernels of a few microseconds each, and asking for them takes
//! longer than they do. A CUDA graph is asked for as a whole. It repeats what it recorded to the letter: the same
//! kernels on the same memory. So whatever differs between two updates is put into that memory before:
//!
//! | Differs | Is put where |
//! |---|---|
//! | batch | one set of tensors, copied over on the device |
//! | random numbers | one tensor; drawn here in the order of a [`Plan`], so that a run is the same with and without graphs |
//! | steps of Adam | counted on the device ([`crate::nn::Trainable::count_on_device`]) |
//! | whether policy and targets are due | one recording for each case that occurs |
//!
//! What is annealed changes numbers that are written into kernels, so it cannot be recorded: [`AgentSpec::annealed`].
//! Observations are normalised and shifted before, not within.
//!
//! A [`Recorder`] does the recording: CUDA's with the feature `cuda-graphs` (`graph/cuda.rs`); tests have one that does the work
//! again, on the CPU.

#[cfg(feature = "cuda-graphs")]
pub mod cuda;

use tch::{Device, Kind, Tensor};

use crate::{
    agent::{ActMode, Agent, Cost, UpdateReport},
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    error::{Error, Result},
    inspect::Inspection,
    noise::{Plan, Stream, on},
    soft_actor_critic::{Due, SoftActorCritic},
};

#[cfg(doc)]
use crate::AgentSpec;

/// Records what is asked of a device.
pub trait Recorder: Send {
    /// Records what `work` asks for, and sees to it that it is done once.
    ///
    /// # Errors
    /// When it cannot be recorded; then nothing of it was done.
    fn record(&mut self, work: &mut dyn FnMut()) -> std::result::Result<Box<dyn Recording>, String>;
}

/// What was recorded.
pub trait Recording: Send {
    /// Does it once more, on the same memory. `work` is what was recorded, for recorders that have nothing better.
    fn repeat(&self, work: &mut dyn FnMut());
}

/// The agent with updates recorded as CUDA graphs, for the thread that calls this.
///
/// # Errors
/// [`Error::Spec`] where that cannot be: on a CPU, in a build without the feature, or when the device refuses.
pub fn on_cuda(agent: SoftActorCritic, device: Device) -> Result<RecordedUpdates> {
    let refused = |problem: String| Error::Spec {
        key: "train.cuda_graphs".to_string(),
        value: "true".to_string(),
        problem,
    };
    let Device::Cuda(_index) = device else {
        return Err(refused(
            "this is for a GPU: set train.device to \"cuda\", or leave it out".to_string(),
        ));
    };
    #[cfg(feature = "cuda-graphs")]
    return match cuda::CudaRecorder::new(_index) {
        Ok(recorder) => Ok(RecordedUpdates::new(agent, Box::new(recorder))),
        Err(problem) => Err(refused(problem)),
    };
    #[cfg(not(feature = "cuda-graphs"))]
    {
        drop(agent);
        Err(refused(
            "this binary was built without it: build with `--features cuda-graphs` on libtorch's CUDA build"
                .to_string(),
        ))
    }
}

/// So many updates of a kind are made as usual before one is recorded: libraries choose their algorithms meanwhile, and
/// statistics begin.
const WARM_UPS: u32 = 3;

/// One kind of update.
struct Kept {
    due: Due,
    seen: u32,
    /// What the last one drew.
    plan: Option<Plan>,
    recorded: Option<Recorded>,
}

/// A recorded update, and the memory that it reads and writes.
struct Recorded {
    recording: Box<dyn Recording>,
    batch: Batch,
    plan: Plan,
    /// Drawn here, `[plan.len()]`.
    drawn: Vec<f32>,
    /// Where they are read, the same.
    numbers: Tensor,
    report: UpdateReport,
}

/// An agent whose updates are recorded and repeated. It learns what the agent would.
pub struct RecordedUpdates {
    agent: SoftActorCritic,
    recorder: Box<dyn Recorder>,
    kept: Vec<Kept>,
    /// Nothing is recorded any more: it did not work once.
    gave_up: bool,
}

impl RecordedUpdates {
    /// Of `agent`, whose optimisers count on the device from now on.
    pub fn new(mut agent: SoftActorCritic, recorder: Box<dyn Recorder>) -> Self {
        agent.count_on_device();
        RecordedUpdates {
            agent,
            recorder,
            kept: Vec::new(),
            gave_up: false,
        }
    }

    /// Kinds of updates that are repeated by now.
    pub fn recordings(&self) -> usize {
        self.kept.iter().filter(|kept| kept.recorded.is_some()).count()
    }

    fn kind(&mut self, due: Due) -> usize {
        if let Some(index) = self.kept.iter().position(|kept| kept.due == due) {
            return index;
        }
        self.kept.push(Kept {
            due,
            seen: 0,
            plan: None,
            recorded: None,
        });
        self.kept.len() - 1
    }

    /// An update as usual, of which it is noted what it draws.
    fn as_usual(&mut self, batch: &Batch, noise: &mut Stream, due: Due) -> UpdateReport {
        noise.note();
        let report = self.agent.learn(batch, noise, due);
        let plan = noise.noted();
        let kind = self.kind(due);
        self.kept[kind].plan = plan;
        self.kept[kind].seen += 1;
        report
    }

    /// An update that is recorded. `None` when that fails; then it is as if nothing had been asked for.
    fn record(&mut self, batch: &Batch, noise: &mut Stream, due: Due, plan: &Plan) -> Option<UpdateReport> {
        let before = noise.position();
        let mut recorded_batch = Batch::like(batch);
        let mut drawn = vec![0.0; plan.len()];
        plan.draw(noise, &mut drawn);
        let device = batch.reward.device();
        let mut numbers = Tensor::zeros([plan.len() as i64], (Kind::Float, device));
        fill(&mut recorded_batch, batch, &mut numbers, &drawn);
        let mut report = None;
        let agent = &mut self.agent;
        let outcome = self.recorder.record(&mut || {
            report = Some(agent.learn(&recorded_batch, &mut Stream::planned(plan, &numbers), due));
        });
        match (outcome, report) {
            (Ok(recording), Some(report)) => {
                let copy = report.shallow_clone();
                let kind = self.kind(due);
                self.kept[kind].recorded = Some(Recorded {
                    recording,
                    batch: recorded_batch,
                    plan: plan.clone(),
                    drawn,
                    numbers,
                    report,
                });
                Some(copy)
            }
            (outcome, _) => {
                let problem = outcome.err().unwrap_or_else(|| "nothing was asked for".to_string());
                tracing::warn!("updates are not recorded from now on, and go on as usual: {problem}");
                self.gave_up = true;
                if let Err(error) = noise.seek(&before) {
                    tracing::warn!("random numbers were skipped: {error}");
                }
                None
            }
        }
    }
}

/// Puts a batch and random numbers where they are read.
fn fill(recorded: &mut Batch, batch: &Batch, numbers: &mut Tensor, drawn: &[f32]) {
    let _guard = tch::no_grad_guard();
    recorded.copy_from(batch);
    numbers.copy_(&on(numbers.device(), Tensor::from_slice(drawn)));
}

impl Agent for RecordedUpdates {
    fn update(&mut self, batch: &Batch, noise: &mut Stream) -> UpdateReport {
        let batch = self.agent.prepare(batch, noise);
        let due = self.agent.count();
        let kind = self.kind(due);
        let kept = &mut self.kept[kind];
        let report = if let Some(recorded) = &mut kept.recorded {
            recorded.plan.draw(noise, &mut recorded.drawn);
            fill(&mut recorded.batch, &batch, &mut recorded.numbers, &recorded.drawn);
            let Recorded {
                recording,
                batch,
                plan,
                numbers,
                report,
                ..
            } = recorded;
            let (mut again, agent) = (None, &mut self.agent);
            recording.repeat(&mut || again = Some(agent.learn(batch, &mut Stream::planned(plan, numbers), due)));
            again.unwrap_or_else(|| report.shallow_clone())
        } else {
            let plan = kept.plan.clone().filter(|_| kept.seen >= WARM_UPS && !self.gave_up);
            let recorded = plan.and_then(|plan| self.record(&batch, noise, due, &plan));
            recorded.unwrap_or_else(|| self.as_usual(&batch, noise, due))
        };
        self.agent.anneal();
        report
    }

    fn act(&mut self, obs: &[f32], mode: ActMode, noise: &mut Stream, actions: &mut [f32]) {
        self.agent.act(obs, mode, noise, actions);
    }

    fn observe(&mut self, obs: &[f32]) {
        self.agent.observe(obs);
    }

    fn inspect(&mut self, obs: &[f32]) -> Inspection {
        self.agent.inspect(obs)
    }

    fn goes_by_hand(&self) -> bool {
        self.agent.goes_by_hand()
    }

    fn multiply_adds_by_hand(&self) -> i64 {
        self.agent.multiply_adds_by_hand()
    }

    fn sections(&self) -> Result<Vec<Section<'static>>> {
        self.agent.sections()
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        // What was recorded may not fit what is loaded, such as statistics that have not begun.
        self.kept.clear();
        self.agent.load(checkpoint)
    }

    fn policy_section(&self) -> Result<Section<'static>> {
        self.agent.policy_section()
    }

    fn load_policy(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.agent.load_policy(checkpoint)
    }

    fn is_finite(&self) -> bool {
        self.agent.is_finite()
    }

    fn parameter_counts(&self) -> Vec<(&'static str, i64)> {
        self.agent.parameter_counts()
    }

    fn costs(&self) -> Vec<Cost> {
        self.agent.costs()
    }
}
