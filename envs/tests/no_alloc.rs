//! Stepping allocates no memory, also across the ends of episodes. This is a single test, because one of its counters
//! counts the allocations of all threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use sac_envs::{Env, EpisodeStats, NumpyRng, Registry};

struct Counting;

/// Allocations of all threads, including that of the test harness, which allocates when it goes to sleep.
static ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALL.fetch_add(1, Ordering::Relaxed);
    OWN.set(OWN.get() + 1);
}

// SAFETY: every call is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Number of allocations of this thread during `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = OWN.get();
    work();
    OWN.get() - before
}

/// Number of allocations of all threads during `work`.
fn allocations_anywhere(work: impl FnOnce()) -> u64 {
    let before = ALL.load(Ordering::SeqCst);
    work();
    ALL.load(Ordering::SeqCst) - before
}

fn some_action(env: &impl Env) -> Vec<f32> {
    let mut action = vec![0.0; env.action_space().len()];
    env.action_space().sample(&mut NumpyRng::new(4), &mut action);
    action
}

/// Number of allocations in 1100 steps and the resets between them.
fn allocations_of_steps(env: &mut impl Env) -> u64 {
    let mut obs = vec![0.0; env.observation_space().len()];
    let action = some_action(env);
    env.reset(Some(0), &mut obs).expect("resets");
    allocations(|| {
        for _ in 0..1100 {
            if env.step(&action, &mut obs).expect("steps").status().is_over() {
                env.reset(None, &mut obs).expect("resets");
            }
        }
    })
}

#[test]
fn stepping_allocates_nothing() {
    let one = || drop(std::hint::black_box(vec![0u8; 8]));
    assert_eq!(allocations(one), 1, "the counter counts");
    let elsewhere = || std::thread::scope(|scope| scope.spawn(one).join().expect("allocates"));
    assert!(
        allocations_anywhere(elsewhere) > allocations(one),
        "the other counter counts, too"
    );
    let registry = Registry::builtin();
    let none = toml::Table::new();
    let stack: toml::Table =
        "wrappers = [{ kind = 'action_delay' }, { kind = 'action_repeat' }, { kind = 'reward_scale' },
        { kind = 'observation_noise' }, { kind = 'frame_stack' }, { kind = 'action_noise' }]"
            .parse()
            .expect("valid TOML");
    for id in ["Pendulum-v1", "EntityTag-v0", "ProbeEndless-v0"] {
        let env = registry.make_normalised(id, &stack).expect("registered");
        assert_eq!(
            allocations_of_steps(&mut EpisodeStats::new(env)),
            0,
            "{id} in all wrappers"
        );
    }
    // Ids with `Dense` differ from those without only in the reward.
    for id in registry.ids().filter(|id| !id.contains("Dense")) {
        let mut env = EpisodeStats::new(registry.make_normalised(id, &none).expect("registered"));
        assert_eq!(allocations_of_steps(&mut env), 0, "{}", env.describe());

        let action = some_action(&env);
        // What several threads add is the same for all tasks.
        let is_stepped_by_two = ["Pendulum-v1", "EntityTag-v0", "HalfCheetah-v5"].contains(&id);
        for threads in if is_stepped_by_two { 1..=2 } else { 1..=1 } {
            let mut envs = registry.make_vec(id, &none, 5, threads).expect("registered");
            let actions = action.repeat(5);
            envs.reset(&[0; 5]).expect("resets");
            let mut episodes = 0;
            let mut run = |steps| {
                for _ in 0..steps {
                    envs.step(0..3, &actions[..3 * action.len()]).expect("steps");
                    episodes += envs.step(0..5, &actions).expect("steps").finished.len();
                }
            };
            if threads == 1 {
                assert_eq!(allocations(|| run(1600)), 0, "{id} on this thread");
            } else {
                // A channel allocates when a thread first sleeps on it, which may be in any round and happens a few
                // times in total. Allocations of a step would occur in every round.
                let rounds: Vec<u64> = (0..8).map(|_| allocations_anywhere(|| run(200))).collect();
                assert!(rounds.contains(&0), "{id} on {threads} threads: {rounds:?}");
                assert!(rounds.iter().sum::<u64>() <= 20, "{id}: {rounds:?}");
            }
            assert!(episodes > 0, "{id}: no episode ended");
        }
    }
}
