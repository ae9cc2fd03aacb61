//! What the probes of all critics share: small networks, a high learning rate, one thread.

use std::sync::atomic::AtomicBool;

use sac_agents::{
    ActMode, Agent, AgentSpec, EnvSteps, Every, Parts, Replay, ReplaySpec, SoftActorCritic, Trainer,
    critic::CriticSpec,
    log::Logger,
    nn::{AdamSpec, BodySpec},
    noise::Stream,
    policy::{ActionDraw, PolicySpec, SquashedGaussianSpec},
    temperature::{FixedTemperatureSpec, TemperatureSpec},
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::Registry;
use tch::{Device, Tensor};

pub const OPTIMIZER: AdamSpec = AdamSpec {
    learning_rate: 3e-3,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    max_gradient_norm: None,
    anneal: None,
};

pub fn spec(critic: CriticSpec, temperature: TemperatureSpec) -> AgentSpec {
    AgentSpec {
        gamma: 0.9,
        body: BodySpec::mlp(&[32, 32]),
        policy: PolicySpec::SquashedGaussian(SquashedGaussianSpec {
            optimizer: OPTIMIZER,
            ..Default::default()
        }),
        critic,
        targets: sac_agents::target::TargetSpec::Polyak { tau: 0.05 },
        temperature,
        ..AgentSpec::default()
    }
}

pub fn fixed(alpha: f64) -> TemperatureSpec {
    TemperatureSpec::Fixed(FixedTemperatureSpec { alpha })
}

/// Trains on a probe with `updates` updates, one per env step.
pub fn trained(id: &str, spec: &AgentSpec, updates: u64) -> SoftActorCritic {
    trained_in(&Registry::builtin(), id, spec, updates)
}

/// The same with environments of another registry.
pub fn trained_in(registry: &Registry, id: &str, spec: &AgentSpec, updates: u64) -> SoftActorCritic {
    tch::set_num_threads(1);
    let options = toml::Table::new();
    let make = || registry.make_vec(id, &options, 1, 1).expect("a registered id");
    let (envs, eval_envs) = (make(), make());
    let spaces = (envs.observation_space(), envs.action_space());
    let agent = SoftActorCritic::new(spec, id, spaces, 1, Device::Cpu).expect("valid");
    let replay_spec = ReplaySpec {
        capacity: 5_000,
        ..ReplaySpec::default()
    };
    let replay = Replay::new(&replay_spec, spaces, 1, spec.gamma, 64, Device::Cpu).expect("fits");
    // The trainer owns the agent as a box; a twin that reads its sections gives the concrete type back.
    let mut twin = SoftActorCritic::new(spec, id, spaces, 1, Device::Cpu).expect("valid");
    let parts = Parts {
        train: TrainSettings {
            total_env_steps: 200 + updates,
            warmup_env_steps: 200,
            ..TrainSettings::default()
        },
        eval: EvalSettings {
            every: Every::Never,
            episodes: 1,
            ..EvalSettings::default()
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings { every: Every::Never },
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: None,
    };
    let mut trainer = Trainer::new(parts).expect("resets");
    trainer.run(&AtomicBool::new(false)).expect("trains");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent");
    let sections = trainer.agent().sections().expect("sections");
    sac_agents::checkpoint::write(&path, EnvSteps(0), trainer.grad_steps(), &sections).expect("written");
    twin.load(&sac_agents::checkpoint::Checkpoint::read(&path, &[]).expect("read"))
        .expect("fits");
    twin
}

pub fn column(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).view([-1, 1])
}

/// What the critic tells the actor of (obs, action), the action as the environment takes it.
pub fn q(agent: &SoftActorCritic, obs: f32, action: f32) -> f64 {
    let given = ActionDraw::given(agent.policy().encode(&column(&[action])));
    agent
        .critic()
        .actor_value(&column(&[obs]), &given, &mut Stream::scripted([]))
        .double_value(&[0])
}

/// The policy's mode.
pub fn mode(agent: &mut SoftActorCritic, obs: f32) -> f64 {
    let mut action = [0.0f32];
    agent.act(
        &[obs],
        ActMode::Evaluate,
        &mut Stream::derive(0, "unused", 0),
        &mut action,
    );
    f64::from(action[0])
}

/// Many actions at one observation, with their log-probabilities.
pub fn draws(agent: &SoftActorCritic, obs: f32) -> (Tensor, Tensor) {
    let noise = agent.policy().noise(4096, &mut Stream::derive(7, "draws", 0));
    let draw = agent.policy().draw_frozen(&column(&[obs; 4096]), &noise);
    (draw.sampled().copy(), draw.log_prob)
}

pub fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: found {found}, expected {expected} ± {tolerance}"
    );
}
