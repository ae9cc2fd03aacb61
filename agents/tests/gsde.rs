//! Noise that is a function of the state: its distribution, how it is held, and what it cannot be combined with.

use sac_agents::{
    ActMode, Agent, AgentSpec, SoftActorCritic,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const OBS: usize = 3;
const ACTIONS: usize = 2;
const A_STATE: [f32; OBS] = [0.7, -0.4, 1.1];
const ANOTHER_STATE: [f32; OBS] = [-1.2, 0.3, 0.5];

fn spec(hold_env_steps: u32) -> AgentSpec {
    let text = format!(
        "body.hidden = [16, 16]
         exploration = {{ kind = 'gsde', hold_env_steps = {hold_env_steps}, initial_log_std = -0.5 }}"
    );
    toml::from_str(&text).expect("settings of an agent")
}

fn agent(hold_env_steps: u32) -> SoftActorCritic {
    let spaces = (&Space::unbounded(OBS), &Space::boxed(ACTIONS, -1.0, 1.0));
    SoftActorCritic::new(&spec(hold_env_steps), "test", spaces, 3, Device::Cpu).expect("the agent can be built")
}

/// The exploratory actions of environments that are in these states.
fn explore(
    agent: &mut SoftActorCritic,
    envs: std::ops::Range<usize>,
    states: &[[f32; OBS]],
    stream: &mut Stream,
) -> Vec<f32> {
    let mut actions = vec![0.0; states.len() * ACTIONS];
    agent.explore(envs, &states.concat(), stream, &mut actions);
    actions
}

/// Mean and variance of every coordinate of `[N, A]`.
fn moments(x: &Tensor) -> (Tensor, Tensor) {
    let mean = x.mean_dim([0i64].as_slice(), false, Kind::Float);
    (mean, x.var_dim([0i64].as_slice(), true, false))
}

/// The variance of the noise is that of which updates compute the log-density, so both are compared before the tanh.
#[test]
fn exploration_has_the_distribution_that_updates_assume() {
    const DRAWS: usize = 20_000;
    let (mut agent, mut stream) = (agent(1), Stream::derive(1, "explore", 0));
    let draws = (0..DRAWS).flat_map(|_| explore(&mut agent, 0..1, &[A_STATE], &mut stream));
    let explored = Tensor::from_slice(&draws.collect::<Vec<f32>>())
        .view([-1, ACTIONS as i64])
        .atanh();
    let obs = Tensor::from_slice(&A_STATE).expand([DRAWS as i64, OBS as i64], false);
    let policy = agent.policy();
    let of_updates = policy.draw_frozen(&obs, &policy.noise(DRAWS as i64, &mut stream));
    let (mean, variance) = moments(&explored);
    let (mean_there, variance_there) = moments(&of_updates.sampled().atanh());
    let off = (&variance / variance_there - 1.0).abs().max().double_value(&[]);
    assert!(off < 0.05, "the variances differ by a factor of 1 ± {off}");
    let standard_error = (&variance / DRAWS as f64).sqrt();
    let off = ((&mean - mean_there) / standard_error).abs().max().double_value(&[]);
    assert!(off < 6.0, "the means differ by {off} standard errors");
    assert!(variance.min().double_value(&[]) > 0.01, "there is noise");
    let other = Tensor::from_slice(&ANOTHER_STATE).expand([DRAWS as i64, OBS as i64], false);
    let there = policy.draw_frozen(&other, &policy.noise(DRAWS as i64, &mut stream));
    let (_, variance_of_other) = moments(&there.sampled().atanh());
    let factor = (variance_of_other / variance).log().abs().max().double_value(&[]);
    assert!(factor > 0.1, "the variance depends on the state");
}

#[test]
fn while_noise_is_held_actions_are_a_function_of_the_state() {
    let (mut agent, mut stream) = (agent(4), Stream::derive(1, "explore", 0));
    let mut at = |state: [f32; OBS]| explore(&mut agent, 0..1, &[state], &mut stream);
    let [first, other, again, last] = [A_STATE, ANOTHER_STATE, A_STATE, A_STATE].map(&mut at);
    assert_eq!(first, again);
    assert_eq!(first, last);
    assert_ne!(first, other);
    assert_ne!(first, at(A_STATE), "new noise after four steps");
}

#[test]
fn environments_have_noise_of_their_own_in_whatever_groups_they_step() {
    let (mut agent, mut stream) = (agent(100), Stream::derive(1, "explore", 0));
    let all = explore(&mut agent, 0..4, &[A_STATE; 4], &mut stream);
    for (env, action) in all.chunks_exact(ACTIONS).enumerate() {
        let others = all.chunks_exact(ACTIONS).skip(env + 1);
        assert!(others.into_iter().all(|other| other != action), "environment {env}");
    }
    let part = explore(&mut agent, 1..3, &[A_STATE; 2], &mut stream);
    let off = part.iter().zip(&all[ACTIONS..]).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) < 1e-6);
}

#[test]
fn evaluation_has_no_noise_and_a_limited_mean() {
    let (mut agent, mut stream) = (agent(4), Stream::derive(1, "explore", 0));
    let far: Vec<f32> = A_STATE.iter().map(|x| 1000.0 * x).collect();
    let before = stream.position();
    let mut action = [0.0; ACTIONS];
    agent.act(&far, ActMode::Evaluate, &mut stream, &mut action);
    assert_eq!(before, stream.position());
    let largest = 2.0f32.tanh();
    assert!(action.iter().all(|a| a.abs() <= largest + 1e-6), "{action:?}");
    assert!(action.iter().any(|a| (a.abs() - largest).abs() < 1e-6), "{action:?}");
}

/// Three environments that are at different steps of their holds.
#[test]
fn an_agent_that_is_restored_within_a_hold_explores_on_with_the_same_noise() {
    let (mut straight, mut stream) = (agent(8), Stream::derive(1, "explore", 0));
    explore(&mut straight, 0..3, &[A_STATE; 3], &mut stream);
    for _ in 0..2 {
        explore(&mut straight, 1..3, &[A_STATE; 2], &mut stream);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoint");
    let sections = straight.sections().expect("written down");
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &sections).expect("written");
    let (mut restored, mut forgetful) = (agent(8), agent(8));
    restored
        .load(&Checkpoint::read(&path, &[]).expect("whole"))
        .expect("fits");
    let on = |agent: &mut SoftActorCritic| {
        let mut stream = Stream::derive(2, "explore", 0);
        let step = |_| explore(agent, 0..3, &[A_STATE, ANOTHER_STATE, A_STATE], &mut stream);
        (0..12).map(step).collect::<Vec<_>>()
    };
    let expected = on(&mut straight);
    assert_eq!(expected, on(&mut restored));
    assert_ne!(expected, on(&mut forgetful), "the noise of a new agent is another one");
}

#[test]
fn settings_that_it_cannot_be_combined_with_are_refused_by_their_key() {
    let gsde = "exploration.kind = 'gsde'";
    for (settings, key) in [
        ("policy.kind = 'fourier'", "agent.exploration.kind"),
        ("policy.kind = 'categorical'", "agent.exploration.kind"),
        ("policy.kind = 'gumbel_softmax'", "agent.exploration.kind"),
        (
            "policy = { kind = 'squashed_gaussian', std = 'state_independent' }",
            "agent.policy.std",
        ),
        ("body.hidden = []", "agent.body.hidden"),
        (
            "policy = { kind = 'squashed_gaussian', log_std_min = -2.0 }",
            "agent.exploration.initial_log_std",
        ),
    ] {
        let spec: AgentSpec = toml::from_str(&format!("{gsde}\n{settings}")).expect("settings of an agent");
        let keys: Vec<String> = spec.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, [key], "{settings}");
    }
    for (setting, key) in [
        ("hold_env_steps = 0", "hold_env_steps"),
        ("hold_env_steps = 10001", "hold_env_steps"),
        ("largest_mean = 0.0", "largest_mean"),
        ("initial_log_std = nan", "initial_log_std"),
    ] {
        let text = format!("exploration = {{ kind = 'gsde', {setting} }}");
        let spec: AgentSpec = toml::from_str(&text).expect("settings of an agent");
        let keys: Vec<String> = spec.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, [format!("agent.exploration.{key}")], "{setting}");
    }
    assert!(toml::from_str::<AgentSpec>("exploration = { kind = 'gsde', hold = 3 }").is_err());
}
