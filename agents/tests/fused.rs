//! The fused update against the reference update, for the same agents, batches and random numbers.

use sac_agents::{
    ActMode, Agent, AgentParts, AgentSpec, Batch, Compute, SoftActorCritic,
    critic::{CriticSpec, ScalarCritic},
    encoder::{EncoderSpec, Flat},
    nn::{Activation, BatchNormSpec, BodySpec, LearningRateAnnealSpec, MlpSpec, NormPosition, RenormSpec},
    noise::Stream,
    policy::{PolicySpec, SquashedGaussian},
    presets,
    schedule::GradSteps,
    temperature::TemperatureSpec,
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const UPDATES: usize = 100;
const OBS: i64 = 5;
const ROWS: i64 = 48;

/// A random batch in the form of a replay's.
fn batch(action: &Space, stream: &mut Stream) -> Batch {
    let mut actions = vec![0.0f32; ROWS as usize * action.len()];
    actions
        .chunks_exact_mut(action.len())
        .for_each(|row| action.sample(stream.rng(), row));
    let obs = stream.normal(&[ROWS, OBS], Device::Cpu);
    let next_obs = &obs + stream.normal(&[ROWS, OBS], Device::Cpu) * 0.1;
    let reward = obs.square().mean_dim([-1i64].as_slice(), false, Kind::Float).neg();
    let discount = Tensor::full([ROWS], 0.97, (Kind::Float, Device::Cpu));
    let actions = Tensor::from_slice(&actions).view([ROWS, action.len() as i64]);
    Batch::new(obs, actions, reward, discount, next_obs)
}

/// All learned parameters of a new agent after [`UPDATES`] updates.
fn learned(spec: &AgentSpec, action: &Space, compute: Compute) -> Vec<(String, Tensor)> {
    learned_after(spec, action, compute, UPDATES)
}

/// All learned parameters of a new agent after some updates.
fn learned_after(spec: &AgentSpec, action: &Space, compute: Compute, updates: usize) -> Vec<(String, Tensor)> {
    let agent = SoftActorCritic::new(spec, "test", (&Space::unbounded(OBS as usize), action), 3, compute);
    learned_in(agent.expect("the agent can be built"), action, updates)
}

/// All learned parameters after [`UPDATES`] updates.
fn learned_by(agent: SoftActorCritic, action: &Space) -> Vec<(String, Tensor)> {
    learned_in(agent, action, UPDATES)
}

fn learned_in(mut agent: SoftActorCritic, action: &Space, updates: usize) -> Vec<(String, Tensor)> {
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    for _ in 0..updates {
        agent.update(&batch(action, &mut data), &mut stream);
    }
    let of_policy = agent.policy().trainable.params.named();
    let of_critic = agent.critic().encoder_block().named();
    let critic = of_critic
        .iter()
        .map(|(name, values)| (format!("critic {name}"), values.copy()));
    let alpha = ("alpha".to_string(), agent.temperature().alpha());
    of_policy.into_iter().chain(critic).chain([alpha]).collect()
}

/// The largest difference between the parameters of the fused and the reference update.
fn difference(spec: &AgentSpec, action: &Space) -> f64 {
    let fused = learned(spec, action, Compute::default());
    let reference = learned(spec, action, Compute::reference());
    fused
        .iter()
        .zip(&reference)
        .map(|((_, a), (_, b))| (a - b).abs().max().double_value(&[]))
        .fold(0.0, f64::max)
}

/// Far above the rounding error of a gradient.
const LARGE_EPS: f64 = 1e-3;

fn preset(name: &str) -> AgentSpec {
    let preset = presets::by_name(name).expect("a preset");
    let table = preset.table();
    let spec: AgentSpec = table["agent"].clone().try_into().expect("a preset has an agent");
    let mut spec = spec.for_budget(GradSteps(UPDATES as u64));
    if matches!(spec.encoder, EncoderSpec::Conv(_)) {
        // Only bodies are fused, so presets for pixels are tested with vector observations.
        let plain = AgentSpec::default();
        (spec.encoder, spec.encoder_sharing) = (plain.encoder, plain.encoder_sharing);
        spec.augmentation = plain.augmentation;
    }
    for body in [Some(&mut spec.body), spec.critic_body.as_mut()].into_iter().flatten() {
        match body {
            BodySpec::Mlp(body) => body.hidden.iter_mut().for_each(|width| *width = 24),
            BodySpec::Flash(body) => body.width = 12,
            BodySpec::Simba(body) => body.width = 12,
            BodySpec::SimbaV2(body) => body.width = 12,
            BodySpec::BroNet(body) => body.width = 12,
        }
    }
    // What a batch normalisation takes away again has a gradient of 0, and Adam makes steps of the learning rate from
    // its rounding error, unless eps is far above that.
    let critic_body = spec.critic_body.as_ref().unwrap_or(&spec.body);
    if critic_body.normalizes_by_batch() {
        match (&mut spec.policy, &mut spec.critic) {
            (PolicySpec::SquashedGaussian(policy), CriticSpec::Categorical(critic)) => {
                (policy.optimizer.eps, critic.optimizer.eps) = (LARGE_EPS, LARGE_EPS);
            }
            (PolicySpec::SquashedGaussian(policy), CriticSpec::Scalar(critic)) => {
                (policy.optimizer.eps, critic.optimizer.eps) = (LARGE_EPS, LARGE_EPS);
            }
            _ => panic!("{name}: the optimisers of these parts keep their eps"),
        }
    }
    spec
}

#[test]
fn every_preset_learns_the_same_fused_and_with_the_reference() {
    let in_box = Space::boxed(3, -1.0, 1.0);
    let discrete = Space::Discrete { n: 4 };
    let mut differs = 0;
    // Small sizes are presets with other widths, which this test chooses itself.
    let recipes = presets::ALL.iter().filter(|preset| preset.layers().count() == 1);
    for preset_name in recipes.map(|preset| preset.name) {
        let serves_box = presets::serving(&in_box).any(|name| name == preset_name);
        let action = if serves_box { &in_box } else { &discrete };
        let difference = difference(&preset(preset_name), action);
        eprintln!("{preset_name}: {difference:.1e}");
        assert!(difference < 1e-5, "{preset_name}: {difference}");
        differs += usize::from(difference > 0.0);
    }
    assert!(
        differs > 5,
        "without any difference in rounding, the fused update was not used"
    );
}

#[test]
fn annealed_learning_rates_are_the_same_fused_and_with_the_reference_and_stop_learning_at_zero() {
    let action = Space::boxed(3, -1.0, 1.0);
    // With a learned α and a delayed policy, and with an optimiser more.
    for (name, curve) in [("dsac-t", "cosine"), ("sac-v1", "linear")] {
        // They reach 0 after half of the updates.
        let text = format!("to = 0.0, over_grad_steps = {}, curve = \"{curve}\"", UPDATES / 2);
        let anneal: LearningRateAnnealSpec = toml::from_str(&text.replace(", ", "\n")).expect("settings");
        let mut spec = preset(name);
        let plain = learned(&spec, &action, Compute::default());
        anneal_all(&mut spec, anneal);
        let annealed = learned(&spec, &action, Compute::default());
        let reference = learned(&spec, &action, Compute::reference());
        let half = learned_after(&spec, &action, Compute::default(), UPDATES / 2);
        let learns_alpha = matches!(spec.temperature, TemperatureSpec::Learned(_));
        for (i, (key, all)) in annealed.iter().enumerate() {
            let difference = (all - &reference[i].1).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{name}, {key}: {difference}");
            assert_eq!(*all, half[i].1, "{name}: {key} has changed at a learning rate of 0");
            let is_learned = key != "alpha" || learns_alpha;
            assert!(!is_learned || *all != plain[i].1, "{name}: {key} was not annealed");
        }
    }
}

#[test]
fn every_order_of_normalisation_dropout_and_activation_learns_the_same_fused_and_with_the_reference() {
    let norm = BatchNormSpec::default();
    let renormed = BatchNormSpec {
        position: NormPosition::AfterActivation,
        renorm: Some(RenormSpec {
            warmup_batches: UPDATES as u64 / 2,
            largest_scale: 1.1,
            largest_shift: 0.1,
        }),
        ..norm
    };
    let plain = MlpSpec {
        hidden: vec![17, 9, 20],
        ..MlpSpec::default()
    };
    for (layer_norm, dropout, batch_norm, activation) in [
        (true, 0.0, None, Activation::Gelu),
        (false, 0.2, None, Activation::Relu),
        (true, 0.2, None, Activation::Tanh),
        (false, 0.0, Some(norm), Activation::Silu),
        (false, 0.2, Some(norm), Activation::Relu),
        (true, 0.0, Some(renormed), Activation::Elu),
        (false, 0.0, Some(renormed), Activation::Relu),
    ] {
        let body = MlpSpec {
            layer_norm,
            batch_norm,
            activation,
            ..plain.clone()
        };
        let mut spec = preset("crossq");
        spec.body = body.clone().into();
        spec.critic_body = Some(
            MlpSpec {
                dropout,
                ..body.clone()
            }
            .into(),
        );
        let difference = difference(&spec, &Space::boxed(2, -1.0, 1.0));
        eprintln!("{body:?}: {difference:.1e}");
        assert!(difference > 0.0 && difference < 1e-5, "{body:?}: {difference}");
    }
}

/// Gives every optimiser the same annealing.
fn anneal_all(spec: &mut AgentSpec, anneal: LearningRateAnnealSpec) {
    let mut table = toml::Table::try_from(&*spec).expect("settings");
    let anneal = toml::Value::try_from(anneal).expect("settings");
    for part in ["policy", "critic", "temperature"] {
        let part = table[part].as_table_mut().expect("a table");
        for optimizer in ["optimizer", "value_optimizer"] {
            if let Some(optimizer) = part.get_mut(optimizer).and_then(toml::Value::as_table_mut) {
                optimizer.insert("anneal".to_string(), anneal.clone());
            }
        }
    }
    *spec = table.try_into().expect("settings");
}

/// What a library user supplies is computed through autograd, whatever it is: here the parts that were there before.
#[test]
fn supplied_parts_learn_the_same_as_the_parts_that_they_replace() {
    let (spec, action) = (preset("sac"), Space::boxed(3, -1.0, 1.0));
    let observation = Space::unbounded(OBS as usize);
    let expected = learned(&spec, &action, Compute::reference());
    let CriticSpec::Scalar(critic) = &spec.critic else {
        panic!("{:?}", spec.critic)
    };
    let PolicySpec::SquashedGaussian(head) = &spec.policy else {
        panic!("{:?}", spec.policy)
    };
    for supplied in ["critic", "head", "encoder", "all"] {
        let is = |part| supplied == part || supplied == "all";
        let compute = Compute::default();
        let mut parts = AgentParts::of(&spec, "test", &action, &compute).expect("a box");
        if is("critic") {
            parts = parts.with_critic(Box::new(ScalarCritic::new(critic)));
        }
        if is("head") {
            parts = parts.with_head(Box::new(SquashedGaussian::new(head, 3)));
        }
        if is("encoder") {
            parts = parts.with_encoder(Box::new(|observation, _| Box::new(Flat::new(&observation.shape()))));
        }
        let agent = SoftActorCritic::assemble(&spec, parts, "test", (&observation, &action), 3, compute);
        let agent = agent.expect("the agent can be built");
        let rule = agent.update_rule();
        for (part, fused) in [("critic", "critic's loss"), ("head", "policy head")] {
            assert_eq!(rule.contains(fused), !is(part), "{supplied}: {rule}");
        }
        for ((name, a), (_, b)) in learned_by(agent, &action).iter().zip(&expected) {
            let difference = (a - b).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{supplied}, {name}: {difference}");
        }
    }
}

#[test]
fn acting_for_few_rows_equals_the_reference_and_rows_are_independent() {
    let (obs_space, action) = (Space::unbounded(OBS as usize), Space::boxed(3, -1.0, 1.0));
    for name in ["sac", "dsac-t-paper"] {
        let spec = preset(name);
        let agent = |compute| {
            SoftActorCritic::new(&spec, "test", (&obs_space, &action), 3, compute).expect("the agent can be built")
        };
        let (mut fused, mut reference) = (agent(Compute::default()), agent(Compute::reference()));
        let act = |agent: &mut SoftActorCritic, obs: &[f32], mode| {
            let mut actions = vec![0.0; obs.len() / OBS as usize * 3];
            let mut stream = Stream::derive(5, "explore", 0);
            agent.act(obs, mode, &mut stream, &mut actions);
            (actions, stream.position())
        };
        for rows in [1, 2, 10, 15] {
            let mut obs = vec![0.0; rows * OBS as usize];
            Stream::derive(4, "data", rows as u64).uniform_into(-3.0, 3.0, &mut obs);
            for mode in [ActMode::Explore, ActMode::Evaluate] {
                let (actual, at) = act(&mut fused, &obs, mode);
                let (expected, at_there) = act(&mut reference, &obs, mode);
                let errors = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let error = errors.fold(0.0, f32::max);
                assert!(error < 2e-6, "{name}, {rows} rows, {mode:?}: {error}");
                assert_eq!(
                    at, at_there,
                    "the same numbers are drawn: {name}, {rows} rows, {mode:?}"
                );
            }
            let (together, _) = act(&mut fused, &obs, ActMode::Evaluate);
            let of_rows = obs
                .chunks_exact(OBS as usize)
                .flat_map(|obs| act(&mut fused, obs, ActMode::Evaluate).0);
            assert_eq!(together, of_rows.collect::<Vec<f32>>(), "{name}, {rows} rows");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let action = Space::boxed(3, -1.0, 1.0);
    for name in ["redq", "droq", "bro", "crossq", "flashsac"] {
        let with_threads = |threads| learned(&preset(name), &action, Compute::with_threads(threads));
        let (one, three) = (with_threads(1), with_threads(3));
        assert_eq!(one, three, "{name}");
    }
}

#[test]
fn every_activation_has_the_derivative_of_autograd() {
    for activation in [
        Activation::Gelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Elu,
        Activation::Relu,
    ] {
        let mut spec = preset("sac");
        spec.body = BodySpec::Mlp(MlpSpec {
            hidden: vec![17, 33, 1, 20],
            activation,
            ..MlpSpec::default()
        });
        let difference = difference(&spec, &Space::boxed(2, -1.0, 1.0));
        assert!(difference > 0.0 && difference < 1e-5, "{activation:?}: {difference}");
    }
}
