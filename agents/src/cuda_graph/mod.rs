//! Updates on a GPU, recorded once and repeated: [`RecordedUpdates`].
//!
//! On a GPU an update of a usual network is some hundred kernels of a few microseconds each, and launching them takes longer
//! than they run. A CUDA graph is launched as a whole. It repeats exactly what it recorded: the same kernels on the same
//! memory. So whatever differs between two updates is put into that memory before:
//!
//! | Differs | Where it is put |
//! |---|---|
//! | batch | one set of tensors, copied over on the device |
//! | random numbers | one tensor, drawn on the host in the order of a [`Plan`], so that a run is the same with and without graphs |
//! | steps of Adam | counted on the device |
//! | whether policy and targets are due | one recording for each case that occurs |
//!
//! Annealed settings are constants within kernels, so updates with them cannot be recorded:
//! [`crate::AgentSpec::annealed`]. Observations are normalised and augmented before the update, not within.
//!
//! A [`Recorder`] does the recording: CUDA's with the feature `cuda-graphs` (`cuda_graph/cuda.rs`); tests have one that
//! repeats the work itself, on the CPU.

#[cfg(feature = "cuda-graphs")]
pub mod cuda;

use tch::{Device, Kind, Tensor};

use crate::{
    actor_critic::SoftActorCritic,
    batch::Batch,
    error::{Error, Result},
    noise::{Plan, Stream, on},
    report::UpdateReport,
    update_rule::{Due, Learner, UpdateRule},
};

/// Records the work of a device.
pub trait Recorder: Send {
    /// Records the device's work for `work`, which is done exactly once.
    ///
    /// # Errors
    /// When it cannot be recorded; then nothing of it was done.
    fn record(&mut self, work: &mut dyn FnMut()) -> std::result::Result<Box<dyn Recording>, String>;
}

/// Recorded work.
pub trait Recording: Send {
    /// Does it once more, on the same memory. `work` is what was recorded, for recorders that have nothing better.
    fn repeat(&self, work: &mut dyn FnMut());
}

/// The agent with updates recorded as CUDA graphs, for the thread that calls this.
///
/// # Errors
/// [`Error::Spec`] where that cannot be: on a CPU, in a build without the feature, or when the device refuses.
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

/// A rule whose updates are recorded and repeated. It learns what the rule would.
pub struct RecordedUpdates {
    rule: Box<dyn UpdateRule>,
    recorder: Box<dyn Recorder>,
    kept: Vec<Kept>,
    /// Recording failed once; updates go on without it.
    gave_up: bool,
}

impl RecordedUpdates {
    /// Of `rule`.
    pub fn new(rule: Box<dyn UpdateRule>, recorder: Box<dyn Recorder>) -> Self {
        RecordedUpdates {
            rule,
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
    fn as_usual(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        stream.note();
        let report = self.rule.update(learner, batch, stream, due);
        let plan = stream.noted();
        let kind = self.kind(due);
        self.kept[kind].plan = plan;
        self.kept[kind].seen += 1;
        report
    }

    /// An update that is recorded. `None` when that fails; then it is as if nothing had been asked for.
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
        let mut drawn = vec![0.0; plan.len()];
        stream.draw_planned(plan, &mut drawn);
        let device = batch.reward.device();
        let mut numbers = Tensor::zeros([plan.len() as i64], (Kind::Float, device));
        fill(&mut recorded_batch, batch, &mut numbers, &drawn);
        let mut report = None;
        let rule = &mut self.rule;
        let outcome = self.recorder.record(&mut || {
            let mut stream = Stream::planned(plan, &numbers);
            report = Some(rule.update(learner, &recorded_batch, &mut stream, due));
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
                if let Err(error) = stream.seek(&before) {
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

impl UpdateRule for RecordedUpdates {
    fn update(&mut self, learner: &mut Learner, batch: &Batch, stream: &mut Stream, due: Due) -> UpdateReport {
        let kind = self.kind(due);
        let kept = &mut self.kept[kind];
        let Some(recorded) = &mut kept.recorded else {
            let plan = kept.plan.clone().filter(|_| kept.seen >= WARM_UPS && !self.gave_up);
            let recorded = plan.and_then(|plan| self.record(learner, batch, stream, due, &plan));
            return recorded.unwrap_or_else(|| self.as_usual(learner, batch, stream, due));
        };
        stream.draw_planned(&recorded.plan, &mut recorded.drawn);
        fill(&mut recorded.batch, batch, &mut recorded.numbers, &recorded.drawn);
        let Recorded {
            recording,
            batch,
            plan,
            numbers,
            report,
            ..
        } = recorded;
        let (mut again, rule) = (None, &mut self.rule);
        recording.repeat(&mut || {
            let mut stream = Stream::planned(plan, numbers);
            again = Some(rule.update(learner, batch, &mut stream, due));
        });
        again.unwrap_or_else(|| report.shallow_clone())
    }

    fn describe(&self) -> String {
        format!("{}, recorded as CUDA graphs", self.rule.describe())
    }

    fn fused_multiply_adds(&self) -> i64 {
        self.rule.fused_multiply_adds()
    }

    /// Recordings may not fit the new state, such as statistics without a value.
    fn reset(&mut self) {
        self.kept.clear();
        self.rule.reset();
    }
}
