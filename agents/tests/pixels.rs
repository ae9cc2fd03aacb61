//! Presets on stacked pixels, by composition: they learn, and go on exactly where they stopped.

use std::{path::Path, sync::atomic::AtomicBool};

use sac_agents::{
    AgentSpec, EnvSteps, Every, Parts, PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, SaveTo, SoftActorCritic,
    Stacking, Trainer, UpdateRatio,
    checkpoint::{Checkpoint, CheckpointStore},
    log::Logger,
    presets,
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::Registry;
use tch::Device;

const NUM_ENVS: usize = 2;
const END: u64 = 130;

/// A preset's agent with a shared encoder of small images that are shifted.
fn spec(preset: &str) -> AgentSpec {
    let preset = presets::by_name(preset).expect("a preset");
    let mut table = preset.table();
    let mut agent: toml::Table = table.remove("agent").expect("an agent").try_into().expect("a table");
    let pixels: toml::Table = "encoder_sharing = 'critic'\nbody = { hidden = [12, 12] }\n\
         encoder = { kind = 'conv', architecture = 'drq', channel_multiplier = 0.15, projection = 6 }\n\
         augmentation = { kind = 'random_shift', pad = 2, target_draws = 2, value_draws = 2 }"
        .parse()
        .expect("TOML");
    agent.extend(pixels);
    agent.try_into().expect("valid")
}

fn trainer(folder: &Path, preset: &str, sampler: SamplerSpec) -> Trainer {
    tch::set_num_threads(1);
    let options: toml::Table =
        "time_limit = 25\nwrappers = [{ kind = 'pixels', width = 16, height = 17, grey = true }, \
                                { kind = 'frame_stack', frames = 3 }]"
            .parse()
            .expect("TOML");
    let make = |count| {
        Registry::builtin()
            .make_vec("Pendulum-v1", &options, count, 1)
            .expect("valid")
    };
    let (envs, eval_envs) = (make(NUM_ENVS), make(1));
    let spaces = (envs.observation_space(), envs.action_space());
    let spec = spec(preset);
    let agent = SoftActorCritic::new(&spec, "pixels", spaces, 3, Device::Cpu).expect("valid");
    let replay_spec = ReplaySpec {
        capacity: 60,
        n_step: 2,
        sampler,
        soft_n_step: true,
        hindsight: None,
    };
    let stacking = Stacking::of(envs.as_ref());
    let replay = Replay::stacked(&replay_spec, spaces, stacking, spec.gamma, 8, Device::Cpu).expect("fits");
    let parts = Parts {
        train: TrainSettings {
            seed: 3,
            total_env_steps: END,
            warmup_env_steps: 30,
            warmup_hold_env_steps: 2,
            updates_per_env_step: UpdateRatio(0.5),
            ..TrainSettings::default()
        },
        eval: EvalSettings {
            every: Every::Never,
            episodes: 1,
            inspect: false,
            ..EvalSettings::default()
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings {
            every: Every::EnvSteps(50),
        },
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: Some(SaveTo {
            checkpoints: {
                std::fs::create_dir_all(folder).expect("writable");
                CheckpointStore::new(folder.join("checkpoints"), 10)
            },
            best: folder.join("best"),
            settings: Default::default(),
        }),
    };
    Trainer::new(parts).expect("resets")
}

fn run_to(trainer: &mut Trainer, env_steps: u64) {
    let stop = AtomicBool::new(false);
    trainer.run_until(EnvSteps(env_steps), &stop).expect("trains");
    trainer.save().expect("saved");
}

#[test]
fn presets_learn_from_stacked_pixels_and_go_on_where_they_stopped() {
    let prioritized = SamplerSpec::Prioritized(PrioritizedSpec::default());
    for (preset, sampler) in [
        ("dsac-t", SamplerSpec::Uniform),
        ("bl-sac", SamplerSpec::Uniform),
        ("dsac", prioritized),
        ("sac-v1", prioritized),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let start = |name: &str| trainer(&folder.path().join(name), preset, sampler);
        let at = |name: &str, env_steps: u64| {
            let path = folder.path().join(format!("{name}/checkpoints/{env_steps}"));
            Checkpoint::read(&path, &[]).expect("a whole checkpoint")
        };
        let mut straight = start("straight");
        run_to(&mut straight, END);
        assert_eq!(straight.grad_steps().0, 50, "{preset}");
        // Before the ring of frames is full, and after rows have given way; with two-step windows open. At even counts,
        // where both environments have been stepped.
        for stop in [44, 102] {
            let name = format!("resumed-{stop}");
            run_to(&mut start(&name), stop);
            let mut second = start(&name);
            second.restore(&at(&name, stop)).expect("fits");
            run_to(&mut second, END);
            assert_eq!(
                at("straight", END).manifest.files,
                at(&name, END).manifest.files,
                "{preset}, stopped at {stop}"
            );
        }
    }
}
