//! Hindsight replay against a naive oracle that keeps every episode as a list.

use proptest::prelude::*;
use sac_agents::{
    Error, HindsightSpec, HindsightStrategy, PrioritizedSpec, Replay, ReplaySpec, SamplerSpec,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::{Checked, Dynamics, Env, GoalLayout, NumpyRng, RescaleAction, Simulated, Space, Status, Transition};
use tch::{Device, Tensor};

const GAMMA: f64 = 0.9;
const BATCH: usize = 64;

/// Observations `[achieved, desired, clock]`; the reward depends on all three, and goals 7 apart end the episode.
struct Line;

fn earned(achieved: f32, desired: f32, clock: f32) -> Transition {
    Transition {
        reward: f64::from(achieved - desired) * 0.25 + f64::from(clock),
        terminated: achieved - desired == 7.0,
    }
}

impl Dynamics for Line {
    type State = f32;

    fn observation_space(&self) -> Space {
        Space::unbounded(3)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, _rng: &mut NumpyRng) -> f32 {
        0.0
    }

    fn step(&self, clock: &mut f32, _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *clock += 1.0;
        earned(*clock, 0.0, *clock)
    }

    fn observe(&self, clock: &f32, obs: &mut [f32]) {
        obs.copy_from_slice(&[*clock, 0.0, *clock]);
    }

    fn goals(&self) -> Option<GoalLayout> {
        Some(GoalLayout::sorted(1, 1))
    }

    fn goal_outcome(&self, achieved: &[f32], desired: &[f32], info: &[f32]) -> Option<Transition> {
        Some(earned(achieved[0], desired[0], info[0]))
    }
}

fn task() -> Box<dyn Env> {
    let line = Checked::new(Simulated::new("Line-v0", Line));
    Box::new(RescaleAction::new(line).expect("bounded actions"))
}

fn replay(spec: HindsightSpec, capacity: u64, num_envs: usize) -> Replay {
    let spec = ReplaySpec {
        capacity,
        hindsight: Some(spec),
        ..ReplaySpec::default()
    };
    Replay::with_hindsight(&spec, task(), num_envs, GAMMA, BATCH, Device::Cpu).expect("fits")
}

/// A step of a history, and to which piece of an episode it belongs.
#[derive(Clone, Debug)]
struct Step {
    env: usize,
    piece: usize,
    status: Status,
    obs: [f32; 3],
    next_obs: [f32; 3],
    reward: f32,
}

/// Steps of `num_envs` environments: mostly in turn, now and then out of turn (`fate` 0), and ends of both kinds. A step out
/// of turn ends the pieces of all environments. Every step achieves a goal of its own.
fn history(num_envs: usize, fates: &[u8]) -> Vec<Step> {
    let (mut steps, mut turn, mut pieces) = (Vec::<Step>::new(), 0, 0);
    let mut current: Vec<Option<(usize, [f32; 3])>> = vec![None; num_envs];
    for (clock, fate) in fates.iter().enumerate() {
        let mut env = turn;
        if *fate == 0 && num_envs > 1 && clock > 0 {
            env = (turn + 1) % num_envs;
            for slot in current.iter_mut().flatten() {
                pieces += 1;
                slot.0 = pieces;
            }
        }
        turn = (env + 1) % num_envs;
        let clock = clock as f32;
        let (piece, obs) = current[env].unwrap_or_else(|| {
            pieces += 1;
            (pieces, [clock + 0.5, 1000.0 + 3.0 * pieces as f32, clock])
        });
        let next_obs = [clock + 1.0, obs[1], clock + 1.0];
        let status = match fate {
            1 => Status::Terminated,
            2 => Status::Truncated,
            _ => Status::Running,
        };
        current[env] = (status == Status::Running).then_some((piece, next_obs));
        steps.push(Step {
            env,
            piece,
            status,
            obs,
            next_obs,
            reward: earned(next_obs[0], next_obs[1], next_obs[2]).reward as f32,
        });
    }
    steps
}

fn push(replay: &mut Replay, step: &Step) {
    replay.push(
        step.env,
        &step.obs,
        &[0.5],
        f64::from(step.reward),
        step.status,
        &step.next_obs,
    );
}

/// Observation, successor, reward and discount of each row.
type Rows = Vec<([f32; 3], [f32; 3], f32, f32)>;

fn sampled(replay: &mut Replay, stream: &mut Stream) -> Rows {
    let batch = replay.sample(stream).expect("the task answers").expect("rows");
    let numbers = |tensor: &Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).expect("numbers");
    let [obs, next_obs, reward, discount] = [&batch.obs, &batch.next_obs, &batch.reward, &batch.discount].map(numbers);
    let three = |numbers: &[f32], i: usize| [numbers[3 * i], numbers[3 * i + 1], numbers[3 * i + 2]];
    (0..BATCH)
        .map(|i| (three(&obs, i), three(&next_obs, i), reward[i], discount[i]))
        .collect()
}

/// A batch by definition: the newest `capacity` steps in the places of a ring, and the episode of each as a list.
fn naive(steps: &[Step], capacity: usize, spec: HindsightSpec, stream: &mut Stream) -> Rows {
    let stored: Vec<usize> = (steps.len().saturating_sub(capacity)..steps.len()).collect();
    let in_place = |place: usize| *stored.iter().find(|step| **step % capacity == place).expect("filled");
    let indices: Vec<usize> = (0..BATCH).map(|_| in_place(stream.index(stored.len()))).collect();
    let row = |at: usize| {
        let step = &steps[at];
        let discount = if step.status == Status::Terminated {
            0.0
        } else {
            GAMMA as f32
        };
        if stream.index(spec.k as usize + 1) == 0 {
            return (step.obs, step.next_obs, step.reward, discount);
        }
        let same: Vec<usize> = stored
            .iter()
            .copied()
            .filter(|s| steps[*s].piece == step.piece)
            .collect();
        let later: Vec<usize> = same.iter().copied().filter(|s| *s >= at).collect();
        let from = match spec.strategy {
            HindsightStrategy::Future => later[stream.index(later.len())],
            HindsightStrategy::Final => *later.last().expect("itself"),
            HindsightStrategy::Episode => same[stream.index(same.len())],
        };
        let goal = steps[from].next_obs[0];
        let [achieved, _, clock] = step.next_obs;
        let Transition { reward, terminated } = earned(achieved, goal, clock);
        let discount = if terminated { 0.0 } else { GAMMA as f32 };
        let with_goal = |obs: [f32; 3]| [obs[0], goal, obs[2]];
        (with_goal(step.obs), with_goal(step.next_obs), reward as f32, discount)
    };
    indices.into_iter().map(row).collect()
}

fn strategies() -> impl Strategy<Value = HindsightStrategy> {
    prop::sample::select(vec![
        HindsightStrategy::Future,
        HindsightStrategy::Final,
        HindsightStrategy::Episode,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn batches_are_those_of_the_definition_also_after_a_checkpoint(
        num_envs in 1usize..5,
        capacity in 5usize..60,
        fates in prop::collection::vec(0u8..24, 1..150),
        strategy in strategies(),
        k in 1u64..6,
    ) {
        let spec = HindsightSpec { strategy, k };
        let steps = history(num_envs, &fates);
        let mut straight = replay(spec, capacity as u64, num_envs);
        let (first, rest) = steps.split_at(steps.len() / 2);
        first.iter().for_each(|step| push(&mut straight, step));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let section = straight.section().expect("serialises");
        checkpoint::write(&folder.path().join("c"), EnvSteps(0), GradSteps(0), &[section]).expect("written");
        let read = Checkpoint::read(&folder.path().join("c"), &[]).expect("whole");
        let mut resumed = replay(spec, capacity as u64, num_envs);
        resumed.load(&read.section("replay").expect("there")).expect("fits");
        for replay in [&mut straight, &mut resumed] {
            rest.iter().for_each(|step| push(replay, step));
            let draws = || Stream::derive(3, "replay", 0);
            prop_assert_eq!(sampled(replay, &mut draws()), naive(&steps, capacity, spec, &mut draws()));
        }
    }
}

#[test]
fn rows_of_a_checkpoint_that_cannot_be_episodes_are_refused() {
    let spec = HindsightSpec::default();
    let steps = history(2, &[9; 20]);
    let mut whole = replay(spec, 50, 2);
    steps.iter().for_each(|step| push(&mut whole, step));
    let section = whole.section().expect("serialises");
    let folder = tempfile::tempdir().expect("a temporary folder");
    checkpoint::write(&folder.path().join("c"), EnvSteps(0), GradSteps(0), &[section]).expect("written");
    let read = Checkpoint::read(&folder.path().join("c"), &[]).expect("whole");
    // Rows of two environments are no rows of three.
    let mut other = replay(spec, 50, 3);
    assert!(other.load(&read.section("replay").expect("there")).is_err());
    let without = ReplaySpec {
        capacity: 50,
        ..ReplaySpec::default()
    };
    let task = task();
    let spaces = (task.observation_space(), task.action_space());
    let mut without = Replay::new(&without, spaces, 2, GAMMA, BATCH, Device::Cpu).expect("fits");
    without
        .load(&read.section("replay").expect("there"))
        .expect("rows are the same");
    assert!(
        without
            .section()
            .expect("serialises")
            .check_state_of(&read.section("replay").expect("there"))
            .is_err(),
        "the trainer notices what is left over"
    );
}

#[test]
fn a_failure_of_the_task_is_an_error_and_other_settings_are_refused() {
    let hindsight = Some(HindsightSpec::default());
    let refused = |spec: ReplaySpec, task: Box<dyn Env>| {
        let spec = ReplaySpec { capacity: 50, ..spec };
        match Replay::with_hindsight(&spec, task, 1, GAMMA, BATCH, Device::Cpu) {
            Err(Error::Spec { key, problem, .. }) => format!("{key}: {problem}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("accepted"),
        }
    };
    let with = |change: fn(&mut ReplaySpec)| {
        let mut spec = ReplaySpec {
            hindsight,
            ..ReplaySpec::default()
        };
        change(&mut spec);
        refused(spec, task())
    };
    assert!(with(|spec| spec.n_step = 3).starts_with("replay.n_step: expected 1 with replay.hindsight"));
    assert!(
        with(|spec| spec.sampler = SamplerSpec::Prioritized(PrioritizedSpec::default()))
            .starts_with("replay.sampler: expected \"uniform\" with replay.hindsight")
    );
    assert!(
        with(|spec| spec.hindsight = Some(HindsightSpec {
            k: 0,
            ..HindsightSpec::default()
        }))
        .starts_with("replay.hindsight.k")
    );
    let pendulum = sac_envs::Registry::builtin().make_normalised("Pendulum-v1", &toml::Table::new());
    let spec = ReplaySpec {
        hindsight,
        ..ReplaySpec::default()
    };
    assert!(refused(spec, pendulum.expect("built in")).contains("the task has no goals"));
    let (obs, action) = (Space::unbounded(3), Space::boxed(1, -1.0, 1.0));
    assert!(
        Replay::new(&spec, (&obs, &action), 1, GAMMA, BATCH, Device::Cpu).is_err(),
        "no task to ask"
    );
}
