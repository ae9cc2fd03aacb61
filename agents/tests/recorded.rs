//! Recorded and repeated updates against ordinary updates. A recorder on the CPU that repeats the work stands in for
//! CUDA graphs, so that everything except the recording itself is tested.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sac_agents::{
    Agent, AgentSpec, Batch, Compute, EnvSteps, GradSteps, SoftActorCritic,
    checkpoint::Checkpoint,
    critic::{CriticSpec, StateValueSpec},
    cuda_graph::{RecordedUpdates, Recorder, Recording},
    nn::{AdamSpec, LearningRateAnnealSpec, LearningRateCurve},
    noise::Stream,
    target::TargetSpec,
    temperature::{LearnedTemperatureSpec, Span, TargetEntropy, TemperatureSpec},
};
use tch::Tensor;

use crate::small::tensors;

const UPDATES: usize = 40;
const ROWS: i64 = 20;

/// A recorder whose recordings repeat the work. It fails after `fails_from` recordings.
struct RepeatingRecorder {
    fails_from: usize,
    recorded: Arc<AtomicUsize>,
    repeated: Arc<AtomicUsize>,
}

impl RepeatingRecorder {
    fn boxed(fails_from: usize) -> (Box<Self>, Arc<AtomicUsize>) {
        let repeated = Arc::new(AtomicUsize::new(0));
        let recorder = RepeatingRecorder {
            fails_from,
            recorded: Arc::default(),
            repeated: repeated.clone(),
        };
        (Box::new(recorder), repeated)
    }
}

impl Recorder for RepeatingRecorder {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        if self.recorded.load(Ordering::Relaxed) >= self.fails_from {
            return Err("on purpose".to_string());
        }
        self.recorded.fetch_add(1, Ordering::Relaxed);
        work();
        Ok(Box::new(RepeatingRecording(self.repeated.clone())))
    }
}

struct RepeatingRecording(Arc<AtomicUsize>);

impl Recording for RepeatingRecording {
    fn repeat(&self, work: &mut dyn FnMut()) {
        self.0.fetch_add(1, Ordering::Relaxed);
        work();
    }
}

fn batch(data: &mut Stream) -> Batch {
    crate::small::batch(data, ROWS, true)
}

fn spec(preset: &str) -> AgentSpec {
    crate::small::spec(preset, [16, 16])
}

/// An agent with the reference update, as on a GPU.
fn agent(spec: &AgentSpec) -> SoftActorCritic {
    crate::small::agent_on(spec, 3, Compute::reference())
}

/// An agent whose updates are recorded by `recorder`.
fn recorded(spec: &AgentSpec, recorder: Box<RepeatingRecorder>) -> SoftActorCritic {
    agent(spec).with_rule(|rule| Box::new(RecordedUpdates::new(rule, recorder)))
}

/// The results of a series of updates.
#[derive(PartialEq)]
struct Learned {
    tensors: Vec<(String, Tensor)>,
    stream: String,
    reports: Vec<Vec<(&'static str, f64)>>,
    errors: Vec<Tensor>,
}

/// Makes [`UPDATES`] updates, and returns all tensors, the stream's position, and the reports and TD errors of all
/// updates.
fn learned(agent: &mut dyn Agent) -> Learned {
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    let (mut reports, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..UPDATES {
        let report = agent.update(&batch(&mut data), &mut stream);
        reports.push(report.read());
        errors.push(report.td_error.expect("rows are weighted").copy());
    }
    Learned {
        tensors: tensors(agent),
        stream: format!("{:?}", stream.position()),
        reports,
        errors,
    }
}

#[test]
fn recorded_updates_equal_ordinary_updates() {
    let mut delayed = spec("dsac-t");
    (delayed.delay.policy, delayed.delay.targets) = (2, 3);
    let mut hard = spec("sac");
    hard.targets = TargetSpec::Hard { every_grad_steps: 4 };
    let cases = [
        ("sac", spec("sac"), 1),
        ("sac-v1", spec("sac-v1"), 1),
        ("redq", spec("redq"), 2), // the policy is updated in every twentieth update
        ("droq", spec("droq"), 2),
        ("tqc", spec("tqc"), 1),
        ("bl-sac", spec("bl-sac"), 1),
        ("dsac-t, delayed", delayed, 4),
        ("sac, hard targets", hard, 2),
    ];
    for (name, spec, kinds) in cases {
        assert_eq!(spec.annealed(), Vec::<String>::new(), "{name}");
        let (never, repeated) = RepeatingRecorder::boxed(0);
        let expected = learned(&mut recorded(&spec, never));
        assert_eq!(repeated.load(Ordering::Relaxed), 0);

        let (always, repeated) = RepeatingRecorder::boxed(usize::MAX);
        let kinds_recorded = always.recorded.clone();
        let actual = learned(&mut recorded(&spec, always));
        let recordings = kinds_recorded.load(Ordering::Relaxed);
        assert!((1..=kinds).contains(&recordings), "{name}: {recordings} kinds");
        assert!(
            repeated.load(Ordering::Relaxed) > UPDATES / 3,
            "{name}: most updates are repeated"
        );
        assert!(
            actual == expected,
            "{name}: the results differ from those without recordings"
        );
        assert!(
            actual == learned(&mut agent(&spec)),
            "{name}: the results differ from those without the rule"
        );
    }
}

#[test]
fn recorded_updates_continue_from_a_checkpoint() {
    let spec = spec("dsac-t");
    let recorded = || recorded(&spec, RepeatingRecorder::boxed(usize::MAX).0);
    let mut straight = recorded();
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    for _ in 0..10 {
        straight.update(&batch(&mut data), &mut stream);
    }
    let sections = straight.sections().expect("sections");
    let checkpoint = Checkpoint::in_memory(EnvSteps(1), GradSteps(10), &sections).expect("a checkpoint");
    let position = (data.position(), stream.position());
    let mut go_on = |agent: &mut dyn Agent| {
        data.seek(&position.0).expect("a position");
        stream.seek(&position.1).expect("a position");
        for _ in 0..10 {
            agent.update(&batch(&mut data), &mut stream);
        }
        tensors(agent)
    };
    let expected = go_on(&mut straight);
    let mut resumed = recorded();
    resumed.load(&checkpoint).expect("fits");
    assert!(go_on(&mut resumed) == expected, "the resumed agent differs");
    // Loading a checkpoint must discard the recordings of an agent that has some already.
    let mut used = recorded();
    learned(&mut used);
    used.load(&checkpoint).expect("fits");
    assert!(
        go_on(&mut used) == expected,
        "the agent resumed into a used one differs"
    );
}

#[test]
fn annealed_settings_are_listed() {
    let temperature = TemperatureSpec::Learned(LearnedTemperatureSpec {
        target_entropy: TargetEntropy::Moving {
            of_uniform: false,
            from: 0.0,
            to: -2.0,
            over: Span::GradSteps(100),
        },
        ..LearnedTemperatureSpec::default()
    });
    let spec = AgentSpec {
        temperature,
        ..AgentSpec::default()
    };
    assert_eq!(spec.annealed(), ["agent.temperature.target_entropy"]);
    let falling = AdamSpec {
        anneal: Some(LearningRateAnnealSpec {
            to: 0.0,
            over_grad_steps: Some(100),
            over_budget: None,
            curve: LearningRateCurve::Linear,
        }),
        ..AdamSpec::default()
    };
    let spec = AgentSpec {
        critic: CriticSpec::StateValue(StateValueSpec {
            value_optimizer: falling,
            ..StateValueSpec::default()
        }),
        temperature: TemperatureSpec::Learned(LearnedTemperatureSpec {
            optimizer: falling,
            ..LearnedTemperatureSpec::default()
        }),
        ..AgentSpec::default()
    };
    assert_eq!(
        spec.annealed(),
        [
            "agent.critic.value_optimizer.anneal",
            "agent.temperature.optimizer.anneal"
        ]
    );
}
