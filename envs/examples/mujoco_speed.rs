//! The overhead of MuJoCo tasks over the bare simulation, and the speed-up by a second thread.
//!
//! ```text
//! cargo run --release -p sac-envs --features mujoco --example mujoco_speed [ROUNDS]
//! ```
//!
//! Each round steps a task with random actions and its wrappers (`TimeLimit > Checked > task`), then repeats the same
//! trajectory with MuJoCo's functions only: the same number of `mj_step`, and the calls that set the start state of an
//! episode. Both are repeated alternately, and the fastest repetition of each counts. The results are medians over the
//! rounds. Other work on the machine therefore hardly changes the ratio, but it does change the speed-up by the second
//! thread.

#![allow(
    clippy::print_stdout,
    reason = "a program for the command line; its output is its purpose"
)]

use std::error::Error;
use std::time::Instant;

use mujoco_rs::wrappers::mj_data::MjData;
use mujoco_rs::wrappers::mj_model::MjModel;
use sac_envs::mujoco::{HalfCheetah, Humanoid, MujocoSim, Task};
use sac_envs::{Checked, Env, NumpyRng, Registry, TimeLimit};

const STEPS: usize = 2000;
/// Number of repetitions in a round, of which the fastest counts.
const REPEATS: usize = 4;
const NUM_ENVS: usize = 16;
const TIME_LIMIT: u64 = 1000;

/// Start state of an episode: positions and velocities.
type Start = (Vec<f64>, Vec<f64>);

/// A trajectory: the steps before which episodes start, with their start states, and the actions of all steps.
struct Plan {
    starts: Vec<(usize, Start)>,
    actions: Vec<f32>,
    /// Final positions, which the repetition must reach.
    end: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(15), |text| text.parse())?;
    println!("task             steps/s   bare mj_step/s   ratio of times   {NUM_ENVS} envs: 2 threads to 1");
    overhead::<HalfCheetah>(rounds)?;
    overhead::<Humanoid>(rounds)?;
    Ok(())
}

fn overhead<T: Task>(rounds: usize) -> Result<(), Box<dyn Error>> {
    let (mut env_s, mut bare_s, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    let limit = TIME_LIMIT.try_into()?;
    let task = T::default();
    let frame_skip = task.model().frame_skip;
    let mut sim = MujocoSim::new(task)?;
    let mut env = TimeLimit::new(Checked::new(MujocoSim::new(T::default())?), limit);
    let mut data = MjData::new(sim.data().model_clone());
    for round in 0..rounds as u64 {
        let plan = plan(&mut sim, round)?;
        let (mut env_least_s, mut bare_least_s) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..REPEATS {
            env_least_s = env_least_s.min(through_the_stack(&mut env, &plan, round)?);
            bare_least_s = bare_least_s.min(bare(&mut data, &plan, frame_skip));
        }
        env_s.push(env_least_s);
        bare_s.push(bare_least_s);
        ratio.push(env_s[env_s.len() - 1] / bare_s[bare_s.len() - 1]);
    }
    let mut speed_up = Vec::new();
    for _ in 0..rounds {
        speed_up.push(vector(T::ID, 1)? / vector(T::ID, 2)?);
    }
    let per_second = |seconds: f64| STEPS as f64 / seconds;
    println!(
        "{:14}  {:8.0}   {:14.0}   {:14.3}   {:22.2}",
        T::ID,
        per_second(median(env_s)),
        per_second(median(bare_s)) * f64::from(frame_skip),
        median(ratio),
        median(speed_up)
    );
    Ok(())
}

/// Steps once to find the start states of episodes.
fn plan<T: Task>(sim: &mut MujocoSim<T>, seed: u64) -> Result<Plan, Box<dyn Error>> {
    let mut rng = NumpyRng::new(seed);
    let mut obs = vec![0.0; sim.observation_space().len()];
    let mut action = vec![0.0; sim.action_space().len()];
    let mut plan = Plan {
        starts: Vec::new(),
        actions: Vec::new(),
        end: Vec::new(),
    };
    let (mut reset_seed, mut in_episode, mut over) = (Some(seed), 0, true);
    for step in 0..STEPS {
        if over {
            sim.reset(reset_seed.take(), &mut obs)?;
            in_episode = 0;
            plan.starts
                .push((step, (sim.data().qpos().to_vec(), sim.data().qvel().to_vec())));
        }
        sim.action_space().gymnasium_sample(&mut rng, &mut action);
        plan.actions.extend(&action);
        in_episode += 1;
        over = sim.step(&action, &mut obs)?.terminated || in_episode == TIME_LIMIT;
    }
    plan.end = sim.data().qpos().to_vec();
    Ok(plan)
}

fn through_the_stack(env: &mut dyn Env, plan: &Plan, seed: u64) -> Result<f64, Box<dyn Error>> {
    let mut obs = vec![0.0; env.observation_space().len()];
    let actions = plan.actions.chunks_exact(env.action_space().len());
    env.reset(Some(seed), &mut obs)?;
    let began = Instant::now();
    let mut episodes = 0;
    for action in actions {
        if env.step(action, &mut obs)?.status().is_over() {
            env.reset(None, &mut obs)?;
            episodes += 1;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    assert!(episodes + 1 >= plan.starts.len(), "the same trajectory as the plan's");
    Ok(seconds)
}

fn bare(data: &mut MjData<std::sync::Arc<MjModel>>, plan: &Plan, frame_skip: u32) -> f64 {
    let mut starts = plan.starts.iter().peekable();
    let actions = plan.actions.chunks_exact(data.ctrl().len());
    let began = Instant::now();
    for (step, action) in actions.enumerate() {
        if let Some((_, (position, velocity))) = starts.next_if(|(at, _)| *at == step) {
            data.reset();
            data.qpos_mut().copy_from_slice(position);
            data.qvel_mut().copy_from_slice(velocity);
            data.forward();
        }
        for (control, action) in data.ctrl_mut().iter_mut().zip(action) {
            *control = f64::from(*action);
        }
        for _ in 0..frame_skip {
            data.step();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    assert!(data.qpos() == plan.end, "the same trajectory as the task's");
    seconds
}

/// Time in seconds for a number of steps of many environments.
fn vector(id: &str, threads: usize) -> Result<f64, Box<dyn Error>> {
    let mut envs = Registry::builtin().make_vec(id, &toml::Table::new(), NUM_ENVS, threads)?;
    let seeds: Vec<u64> = (0..NUM_ENVS as u64).collect();
    envs.reset(&seeds)?;
    let width = envs.action_space().len();
    let mut rng = NumpyRng::new(0);
    let mut actions = vec![0.0; NUM_ENVS * width];
    let mut run = |steps: usize| -> Result<f64, Box<dyn Error>> {
        let began = Instant::now();
        for _ in 0..steps {
            actions.fill_with(|| rng.uniform(-1.0, 1.0) as f32);
            envs.step(0..NUM_ENVS, &actions)?;
        }
        Ok(began.elapsed().as_secs_f64())
    };
    run(20)?;
    run(2 * STEPS / NUM_ENVS)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
