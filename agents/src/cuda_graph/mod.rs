//! Updates on a GPU, recorded and replayed as CUDA graphs: [`RecordedUpdates`].
//!
//! An update of a typical network is some hundred kernels of a few microseconds each, and launching them takes longer
//! than running them. A CUDA graph is launched as a whole. It replays the same kernels on the same memory, so data that
//! changes between updates is copied into that memory beforehand:
//!
//! | Data | Location |
//! |---|---|
//! | batch | one set of tensors, overwritten on the device |
//! | random numbers | one tensor, drawn on the host in the order of a [`Plan`], so that runs are the same with and without graphs |
//! | step count of Adam | counted on the device |
//! | whether policy and targets are due | one recording for each combination that occurs |
//!
//! Annealed settings are constants within kernels, so updates with such settings ([`crate::AgentSpec::annealed`])
//! cannot be recorded. Observations are normalised and augmented before the recorded part.
//!
//! A [`Recorder`] does the recording: CUDA's with the feature `cuda-graphs` (`cuda_graph/cuda.rs`). Tests have one that
//! repeats the work on the CPU.

#[cfg(feature = "cuda-graphs")]
pub mod cuda;
mod recorder;

use tch::{Device, Kind, Tensor};

pub use recorder::{Recorder, Recording};

use crate::{
    actor_critic::SoftActorCritic,
    batch::Batch,
    error::{Error, Result},
    noise::{Plan, Stream, on},
    report::UpdateReport,
    update_rule::{Due, Learner, UpdateRule},
};

/// Makes an agent record its updates as CUDA graphs. It must be trained on the thread that calls this.
///
/// # Errors
/// [`Error::Spec`] on a CPU, in a build without the feature `cuda-graphs`, or when the device reports an error.
pub fn on_cuda(agent: SoftActorCritic) -> Result<SoftActorCritic> {
    let device = agent.device();
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
        Ok(recorder) => Ok(agent.with_rule(|rule| Box::new(RecordedUpdates::new(rule, Box::new(recorder))))),
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

/// Number of ordinary updates of a kind before one is recorded. In these, libraries choose their algorithms and running
/// statistics get their first values.
const WARM_UPS: u32 = 3;

/// The state of one kind of update.
struct KindState {
    due: Due,
    /// Number of ordinary updates.
    ordinary_updates: u32,
    /// The random numbers that the last update requested.
    plan: Option<Plan>,
    recorded: Option<Recorded>,
}

/// A recorded update, and the memory that it reads and writes.
struct Recorded {
    recording: Box<dyn Recording>,
    batch: Batch,
    plan: Plan,
    /// Random numbers on the host, `[plan.len()]`.
    host_numbers: Vec<f32>,
    /// Random numbers on the device, `[plan.len()]`.
    device_numbers: Tensor,
    report: UpdateReport,
}

/// An update rule that records the updates of another rule and repeats them. Results are the same.
pub struct RecordedUpdates {
    rule: Box<dyn UpdateRule>,
    recorder: Box<dyn Recorder>,
    kinds: Vec<KindState>,
    /// Whether recording has failed, so that all updates are ordinary ones.
    gave_up: bool,
}

impl RecordedUpdates {
    /// Records the updates of `rule` with `recorder`.
    pub fn new(rule: Box<dyn UpdateRule>, recorder: Box<dyn Recorder>) -> Self {
        RecordedUpdates {
            rule,
            recorder,
            kinds: Vec::new(),
            gave_up: false,
        }
    }

    /// Index of the kind of update with the steps `due`.
    fn kind_index(&mut self, due: Due) -> usize {
        if let Some(index) = self.kinds.iter().position(|kind| kind.due == due) {
            return index;
        }
        self.kinds.push(KindState {
            due,
            ordinary_updates: 0,
            plan: None,
            recorded: None,
        });
        self.kinds.len() - 1
    }

    /// Makes an ordinary update, and notes the random numbers that it requests.
    fn ordinary_update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        stream.start_plan();
        let report = self.rule.update(learner, batch, stream, due);
        let plan = stream.take_plan();
        let kind_index = self.kind_index(due);
        self.kinds[kind_index].plan = plan;
        self.kinds[kind_index].ordinary_updates += 1;
        report
    }

    /// Makes an update and records it. If that fails, restores the stream and returns `None`.
    fn record(
        &mut self,
        learner: &mut Learner,
        batch: &Batch,
        stream: &mut Stream,
        due: Due,
        plan: &Plan,
    ) -> Option<UpdateReport> {
        let before = stream.position();
        let mut recorded_batch = Batch::like(batch);
        let mut host_numbers = vec![0.0; plan.len()];
        stream.draw_planned(plan, &mut host_numbers);
        let device = batch.reward.device();
        let mut device_numbers = Tensor::zeros([plan.len() as i64], (Kind::Float, device));
        fill(&mut recorded_batch, batch, &mut device_numbers, &host_numbers);
        let mut report = None;
        let rule = &mut self.rule;
        let outcome = self.recorder.record(&mut || {
            let mut stream = Stream::planned(plan, &device_numbers);
            report = Some(rule.update(learner, &recorded_batch, &mut stream, due));
        });
        match (outcome, report) {
            (Ok(recording), Some(report)) => {
                let copy = report.shallow_clone();
                let kind_index = self.kind_index(due);
                self.kinds[kind_index].recorded = Some(Recorded {
                    recording,
                    batch: recorded_batch,
                    plan: plan.clone(),
                    host_numbers,
                    device_numbers,
                    report,
                });
                Some(copy)
            }
            (outcome, _) => {
                let problem = outcome
                    .err()
                    .unwrap_or_else(|| "the recorder did not run the update".to_string());
                tracing::warn!("recording an update as a CUDA graph failed, updates continue without: {problem}");
                self.gave_up = true;
                if let Err(error) = stream.seek(&before) {
                    tracing::warn!("random numbers were skipped: {error}");
                }
                None
            }
        }
    }
}

/// Copies a batch and random numbers to the memory that the recorded update reads.
fn fill(recorded: &mut Batch, batch: &Batch, device_numbers: &mut Tensor, host_numbers: &[f32]) {
    let _guard = tch::no_grad_guard();
    recorded.copy_from(batch);
    device_numbers.copy_(&on(device_numbers.device(), Tensor::from_slice(host_numbers)));
}

impl UpdateRule for RecordedUpdates {
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        let kind_index = self.kind_index(due);
        let kind = &mut self.kinds[kind_index];
        let Some(recorded) = &mut kind.recorded else {
            let plan = kind
                .plan
                .clone()
                .filter(|_| kind.ordinary_updates >= WARM_UPS && !self.gave_up);
            let recorded = plan.and_then(|plan| self.record(learner, batch, stream, due, &plan));
            return recorded.unwrap_or_else(|| self.ordinary_update(learner, batch, stream, due));
        };
        stream.draw_planned(&recorded.plan, &mut recorded.host_numbers);
        fill(
            &mut recorded.batch,
            batch,
            &mut recorded.device_numbers,
            &recorded.host_numbers,
        );
        let Recorded {
            recording,
            batch,
            plan,
            device_numbers,
            report,
            ..
        } = recorded;
        let (mut repeated, rule) = (None, &mut self.rule);
        recording.repeat(&mut || {
            let mut stream = Stream::planned(plan, device_numbers);
            repeated = Some(rule.update(learner, batch, &mut stream, due));
        });
        repeated.unwrap_or_else(|| report.shallow_clone())
    }

    fn describe(&self) -> String {
        format!("{}, recorded as CUDA graphs", self.rule.describe())
    }

    fn fused_multiply_adds(&self) -> i64 {
        self.rule.fused_multiply_adds()
    }

    /// Drops all recordings, because they may not fit the new state. For example, statistics may have no value.
    fn reset(&mut self) {
        self.kinds.clear();
        self.rule.reset();
    }
}
