//! Updates that are recorded once and repeated, against the same updates made one by one: everything but the recording
//! itself, which a recorder on the CPU replaces by doing the work again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sac_agents::{
    Agent, AgentSpec, Batch, EnvSteps, GradSteps, SoftActorCritic,
    checkpoint::{Checkpoint, Section},
    graph::{RecordedUpdates, Recorder, Recording},
    nn::AutogradOnly,
    noise::Stream,
    presets,
    target::TargetSpec,
    temperature::{LearnedTemperatureSpec, TargetEntropy, TemperatureSpec},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const UPDATES: usize = 40;
const OBS: i64 = 4;
const ROWS: i64 = 20;

/// Does the work again.
struct Again {
    refuses_from: usize,
    recorded: usize,
    repeated: Arc<AtomicUsize>,
}

impl Again {
    fn boxed(refuses_from: usize) -> (Box<Self>, Arc<AtomicUsize>) {
        let repeated = Arc::new(AtomicUsize::new(0));
        let again = Again {
            refuses_from,
            recorded: 0,
            repeated: repeated.clone(),
        };
        (Box::new(again), repeated)
    }
}

impl Recorder for Again {
    fn record(&mut self, work: &mut dyn FnMut()) -> Result<Box<dyn Recording>, String> {
        if self.recorded >= self.refuses_from {
            return Err("on purpose".to_string());
        }
        self.recorded += 1;
        work();
        Ok(Box::new(Once(self.repeated.clone())))
    }
}

struct Once(Arc<AtomicUsize>);

impl Recording for Once {
    fn repeat(&self, work: &mut dyn FnMut()) {
        self.0.fetch_add(1, Ordering::Relaxed);
        work();
    }
}

fn batch(data: &mut Stream) -> Batch {
    let mut normal = |shape: &[i64]| data.normal(shape, Device::Cpu);
    let (obs, action, reward) = (normal(&[ROWS, OBS]), normal(&[ROWS, 2]).tanh(), normal(&[ROWS]));
    let discount = Tensor::full([ROWS], 0.97, (Kind::Float, Device::Cpu));
    Batch {
        weight: Some(normal(&[ROWS]).abs()),
        ..Batch::new(obs, action, reward, discount, normal(&[ROWS, OBS]))
    }
}

fn spec(preset: &str) -> AgentSpec {
    let preset = presets::by_name(preset).expect("a preset");
    let table: toml::Table = preset.toml.parse().expect("a preset is a table");
    let mut spec: AgentSpec = table["agent"].clone().try_into().expect("a preset has an agent");
    for body in [Some(&mut spec.body), spec.critic_body.as_mut()].into_iter().flatten() {
        body.hidden = vec![16, 16];
    }
    spec
}

fn agent(spec: &AgentSpec) -> SoftActorCritic {
    let spaces = (&Space::unbounded(OBS as usize), &Space::boxed(2, -1.0, 1.0));
    SoftActorCritic::new(spec, "test", spaces, 3, Device::Cpu).expect("the agent can be built")
}

/// Every tensor that learning changes.
fn tensors(agent: &dyn Agent) -> Vec<(String, Tensor)> {
    let sections = agent.sections().expect("sections");
    let of_section = |section: &Section| {
        let names = section
            .tensor_names()
            .map(|name| (format!("{}/{name}", section.name()), name));
        let read = names.map(|(full, name)| (full, section.any_tensor(name).expect("a tensor")));
        read.collect::<Vec<_>>()
    };
    sections.iter().flat_map(of_section).collect()
}

/// What became of an agent.
#[derive(PartialEq)]
struct Learned {
    tensors: Vec<(String, Tensor)>,
    stream: String,
    reports: Vec<Vec<(&'static str, f64)>>,
    errors: Vec<Tensor>,
}

/// All numbers that learning changes, where the stream stands, what every update reported, and errors of rows.
fn learned(agent: &mut dyn Agent) -> Learned {
    let (mut data, mut noise) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    let (mut reports, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..UPDATES {
        let report = agent.update(&batch(&mut data), &mut noise);
        reports.push(report.read());
        errors.push(report.td_error.expect("rows are weighted").copy());
    }
    Learned {
        tensors: tensors(agent),
        stream: format!("{:?}", noise.position()),
        reports,
        errors,
    }
}

#[test]
fn recorded_updates_are_those_made_one_by_one() {
    // On a GPU nothing goes by hand.
    let _only = AutogradOnly::new();
    let mut delayed = spec("dsac-t");
    (delayed.delay.policy, delayed.delay.targets) = (2, 3);
    let mut hard = spec("sac");
    hard.targets = TargetSpec::Hard { every_grad_steps: 4 };
    let cases = [
        ("sac", spec("sac"), 1),
        ("sac-v1", spec("sac-v1"), 1),
        ("redq", spec("redq"), 2), // the policy moves at every twentieth update
        ("droq", spec("droq"), 2),
        ("tqc", spec("tqc"), 1),
        ("bl-sac", spec("bl-sac"), 1),
        ("dsac-t, delayed", delayed, 4),
        ("sac, hard targets", hard, 2),
    ];
    for (name, spec, kinds) in cases {
        assert_eq!(spec.annealed(), Vec::<&str>::new(), "{name}");
        // The same optimisers, never recorded.
        let (never, repeated) = Again::boxed(0);
        let expected = learned(&mut RecordedUpdates::new(agent(&spec), never));
        assert_eq!(repeated.load(Ordering::Relaxed), 0);

        let (always, repeated) = Again::boxed(usize::MAX);
        let mut recorded = RecordedUpdates::new(agent(&spec), always);
        let found = learned(&mut recorded);
        assert!(recorded.recordings() <= kinds && recorded.recordings() > 0, "{name}");
        assert!(
            repeated.load(Ordering::Relaxed) > UPDATES / 3,
            "{name}: most are repeated"
        );
        assert!(found == expected, "{name}: another run than without recordings");
    }
}

/// The optimiser that counts on the device is the other one, to rounding.
#[test]
fn steps_counted_on_the_device_are_adams() {
    let _only = AutogradOnly::new();
    let spec = spec("sac");
    let numbers = |agent: &mut dyn Agent| -> Vec<f64> {
        learned(agent)
            .reports
            .into_iter()
            .flatten()
            .map(|(_, number)| number)
            .collect()
    };
    let (never, _) = Again::boxed(0);
    let on_device = numbers(&mut RecordedUpdates::new(agent(&spec), never));
    let here = numbers(&mut agent(&spec));
    assert_eq!(on_device.len(), here.len());
    let apart = on_device
        .iter()
        .zip(&here)
        .map(|(a, b)| (a - b).abs() / (b.abs() + 1.0));
    let apart = apart.fold(0.0, f64::max);
    assert!(apart > 0.0 && apart < 1e-5, "{apart}");
}

#[test]
fn a_run_goes_on_from_a_checkpoint() {
    let _only = AutogradOnly::new();
    let spec = spec("dsac-t");
    let recorded = || RecordedUpdates::new(agent(&spec), Again::boxed(usize::MAX).0);
    let mut straight = recorded();
    let (mut data, mut noise) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    for _ in 0..10 {
        straight.update(&batch(&mut data), &mut noise);
    }
    let sections = straight.sections().expect("sections");
    let checkpoint = Checkpoint::in_memory(EnvSteps(1), GradSteps(10), &sections).expect("a checkpoint");
    let position = (data.position(), noise.position());
    let mut go_on = |agent: &mut dyn Agent| {
        data.seek(&position.0).expect("a position");
        noise.seek(&position.1).expect("a position");
        for _ in 0..10 {
            agent.update(&batch(&mut data), &mut noise);
        }
        tensors(agent)
    };
    let expected = go_on(&mut straight);
    let mut resumed = recorded();
    resumed.load(&checkpoint).expect("fits");
    assert!(go_on(&mut resumed) == expected, "resumed is another run");
    // One that has recordings already, which must not outlive what they were made of.
    let mut used = recorded();
    learned(&mut used);
    used.load(&checkpoint).expect("fits");
    assert!(go_on(&mut used) == expected, "resumed into a used agent is another run");
}

#[test]
fn what_is_annealed_is_named() {
    let temperature = TemperatureSpec::Learned(LearnedTemperatureSpec {
        target_entropy: TargetEntropy::Moving {
            of_uniform: false,
            from: 0.0,
            to: -2.0,
            over_grad_steps: 100,
        },
        ..LearnedTemperatureSpec::default()
    });
    let spec = AgentSpec {
        temperature,
        ..AgentSpec::default()
    };
    assert_eq!(spec.annealed(), ["agent.temperature.target_entropy"]);
}
