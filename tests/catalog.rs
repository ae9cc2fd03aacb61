//! Parts of an agent that a program defines, in files, assignments, checkpoints and when resuming.

use crate::support::{assert_same_checkpoint, folder};
use sac::{
    agents::{
        critic::{Critic, CriticSettings, CriticSpec, ScalarCritic, ScalarSpec},
        encoder::{Encoder, EncoderSettings},
        nn::{ParamLayout, Params},
        noise::Stream,
        policy::{HeadSettings, PolicyHead, SquashedGaussian, SquashedGaussianSpec},
        spec_problems::SpecProblems,
    },
    config::{Config, Layers, Origin},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// A scalar critic whose members are counted in pairs.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pairs {
    pairs: i64,
}

impl CriticSettings for Pairs {
    fn build(&self) -> Box<dyn Critic> {
        Box::new(ScalarCritic::new(&ScalarSpec {
            members: 2 * self.pairs,
            ..ScalarSpec::default()
        }))
    }

    fn check(&self, problems: &mut SpecProblems) {
        problems.require(self.pairs > 0, "agent.critic.pairs", self.pairs, "at least 1");
    }
}

/// A squashed Gaussian with an upper bound of its own on log σ.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Narrow {
    log_std_max: f64,
}

impl HeadSettings for Narrow {
    fn build(&self, action: &Space) -> Box<dyn PolicyHead> {
        let spec = SquashedGaussianSpec {
            log_std_max: self.log_std_max,
            ..SquashedGaussianSpec::default()
        };
        Box::new(SquashedGaussian::new(&spec, action.len() as i64))
    }

    fn misfit(&self, action: &Space) -> Option<String> {
        (!matches!(action, Space::Box { .. })).then(|| "this narrow Gaussian needs a box".to_string())
    }
}

/// Observations and their squares.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Squares {}

impl EncoderSettings for Squares {
    fn build(&self, observation: &Space, _layout: &mut ParamLayout) -> Box<dyn Encoder> {
        Box::new(SquaresOf(observation.len() as i64))
    }

    fn misfit(&self, observation: &Space) -> Option<String> {
        (observation.shape().len() != 1).then(|| "this is for vectors".to_string())
    }
}

struct SquaresOf(i64);

impl Encoder for SquaresOf {
    fn width(&self) -> i64 {
        2 * self.0
    }

    fn encode(&self, _params: &Params, obs: &Tensor, _stream: Option<&mut Stream>) -> Tensor {
        Tensor::cat(&[obs, &obs.square()], 1)
    }

    fn multiply_adds(&self) -> i64 {
        self.0
    }
}

fn registry() -> Registry {
    let mut registry = Registry::builtin();
    let catalog = &mut registry.catalog;
    catalog
        .critic::<Pairs>("pairs")
        .head::<Narrow>("narrow")
        .encoder::<Squares>("squares");
    registry
}

const FILE: &str = "
[train]
total_env_steps = 120
warmup_env_steps = 40
batch_size = 16
threads = 1
[agent]
body.hidden = [8, 8]
encoder = { kind = 'squares' }
critic = { kind = 'pairs', pairs = 1 }
policy = { kind = 'narrow', log_std_max = 0.5 }
[replay]
capacity = 200
[eval]
every = 'never'
";

/// The preset `sac` on `env` with [`FILE`] and these assignments over it.
fn configured(env: &str, assignments: &[&str], registry: &Registry) -> sac::Result<Config> {
    let mut layers: Layers = sac::config::layers(env, "sac")?;
    layers.add_toml(Origin::File("parts.toml".into()), FILE).expect("TOML");
    let set = |layers: &mut Layers| assignments.iter().try_for_each(|text| layers.set_text(text));
    set(&mut layers).expect("assignments");
    Ok(Config::resolve(&layers, registry)?)
}

fn refused(env: &str, assignments: &[&str], registry: &Registry) -> String {
    let error = configured(env, assignments, registry).err();
    error
        .unwrap_or_else(|| panic!("{env} {assignments:?} is refused"))
        .to_string()
}

#[test]
fn custom_parts_train_resume_exactly_and_act() {
    let (registry, here) = (registry(), folder());
    let config = |assignments: &[&str]| configured("Pendulum-v1", assignments, &registry).expect("valid");
    let run = |name: &str, config: &Config| {
        let run = RunFolder::create(here.path().join(name)).expect("a new folder");
        train_into(config, &registry, &run, Session::default()).expect("it trains");
        run
    };
    let straight = run("straight", &config(&["agent.critic.pairs=2"]));
    let written = std::fs::read_to_string(straight.path().join("config.toml")).expect("there");
    for line in [
        "kind = \"pairs\"",
        "pairs = 2",
        "kind = \"narrow\"",
        "log_std_max = 0.5",
        "kind = \"squares\"",
    ] {
        assert!(written.contains(line), "{line}: {written}");
    }
    // A run reads what it wrote.
    assert_eq!(
        straight.config(&registry).expect("valid"),
        config(&["agent.critic.pairs=2"])
    );

    let halves = run("halves", &config(&["agent.critic.pairs=2", "train.total_env_steps=70"]));
    let mut layers = halves.layers().expect("there");
    layers.set(Origin::Flag("--steps"), "train.total_env_steps", 120);
    let longer = Config::resolve(&layers, &registry).expect("valid");
    sac::run::resume_with(&longer, &registry, &halves, Session::default()).expect("it goes on");
    let last = |run: &RunFolder| run.path().join("checkpoints").join("120");
    assert_same_checkpoint(&last(&straight), &last(&halves), "resumed");

    let mut policy = Policy::load_with(straight.path(), &registry).expect("there");
    let torque_nm = policy.act(&[1.0, 0.0, 0.0]).expect("an observation")[0];
    assert!(torque_nm.abs() <= 2.0, "{torque_nm}");

    // They do not say what they compute.
    let error = policy.export(false).expect_err("no format holds them");
    let said = error.to_string();
    for words in [
        "this encoder cannot be exported, in any format",
        "\"squares\"",
        "\"narrow\"",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(error.is_users());
}

#[test]
fn problems_of_custom_parts_are_told_like_those_of_built_in_ones() {
    let registry = registry();
    for (env, assignment, words) in [
        (
            "Pendulum-v1",
            "agent.critic.pairs=0",
            "agent.critic.pairs = 0: expected at least 1",
        ),
        (
            "Pendulum-v1",
            "agent.critic.pair=3",
            "agent.critic.pair = 3: unknown key; did you mean `pairs`?",
        ),
        (
            "Pendulum-v1",
            "agent.policy.log_std_max=high",
            "agent.policy.log_std_max = \"high\": expected a number",
        ),
        (
            "Pendulum-v1",
            "agent.critic={kind='pears'}",
            "unknown choice; did you mean `pairs`?",
        ),
        (
            "Pendulum-v1",
            "agent.encoder.x=1",
            "agent.encoder.x = 1: unknown key; this kind has no settings",
        ),
        ("CartPole-v1", "agent.gamma=0.9", "this narrow Gaussian needs a box"),
        (
            "EntityReach-v0",
            "agent.gamma=0.9",
            "agent.encoder.kind = \"squares\": this is for vectors",
        ),
    ] {
        let said = refused(env, &[assignment], &registry);
        assert!(said.contains(words), "{words}: {said}");
    }
    // All problems at once, ours and theirs.
    let said = refused("Pendulum-v1", &["agent.critic.pairs=0", "agent.gamma=2"], &registry);
    assert!(
        said.contains("agent.critic.pairs") && said.contains("agent.gamma"),
        "{said}"
    );
    // A program that does not know the kinds lists its own.
    let said = refused("Pendulum-v1", &[], &Registry::builtin());
    assert!(
        said.contains("agent.critic.kind = \"pairs\"") && said.contains("scalar"),
        "{said}"
    );
}

#[test]
fn typed_settings_need_no_catalog_to_train() {
    let here = folder();
    let mut settings = Settings::new(Algo::Sac, "Pendulum-v1");
    settings.agent.critic = CriticSpec::custom("pairs", Pairs { pairs: 1 }).expect("TOML can hold it");
    settings.agent.body = BodySpec::mlp(&[8, 8]);
    settings.train.total_env_steps = 60;
    settings.train.warmup_env_steps = 40;
    settings.train.threads = Threads::Count(1);
    settings.replay.capacity = 100;
    let plain = Registry::builtin();
    let config = settings.resolve(&plain).expect("valid");
    let run = RunFolder::create(here.path().join("run")).expect("a new folder");
    train_into(&config, &plain, &run, Session::default()).expect("it trains");
    assert!(Policy::load_with(run.path(), &registry()).is_ok());
    let error = Policy::load(run.path())
        .err()
        .expect("a kind that is not known")
        .to_string();
    assert!(error.contains("agent.critic.kind = \"pairs\""), "{error}");
}
