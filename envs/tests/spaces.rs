//! Discrete observations and whole-number actions: in the task's units, and as an agent gets them.

use sac_envs::{
    Dtype, Dynamics, Env, EnvEntry, EnvError, NumpyRng, Registry, Space, Transition, VecEnv, agent_observation_space,
    check_env, to_agent_units, to_task_units,
};

/// A walk on a board, whose moves are a box of whole numbers; it ends at the goal or by chance.
#[derive(Clone)]
struct Board {
    observation: Space,
    action: Space,
}

/// Rows and columns of the board.
const SIZE: [usize; 2] = [3, 4];

impl Board {
    /// Observes row and column; moves by up to two rows and one column.
    fn pairs() -> Self {
        Board {
            observation: Space::MultiDiscrete { n: SIZE.to_vec() },
            action: Space::integers(&[-2, -1], &[2, 1]),
        }
    }

    /// Observes the number of the square; moves by up to three columns.
    fn numbered() -> Self {
        Board {
            observation: Space::Discrete { n: SIZE[0] * SIZE[1] },
            action: Space::integers(&[-3], &[3]),
        }
    }
}

impl Dynamics for Board {
    type State = [usize; 2];

    fn observation_space(&self) -> Space {
        self.observation.clone()
    }

    fn action_space(&self) -> Space {
        self.action.clone()
    }

    fn initial(&self, rng: &mut NumpyRng) -> [usize; 2] {
        SIZE.map(|n| rng.integers(n as u64) as usize)
    }

    fn step(&self, place: &mut [usize; 2], action: &[f32], rng: &mut NumpyRng) -> Transition {
        for ((place, n), by) in place.iter_mut().zip(SIZE).rev().zip(action.iter().rev()) {
            *place = place.saturating_add_signed(*by as isize).min(n - 1);
        }
        Transition {
            reward: action.iter().map(|by| f64::from(*by)).sum(),
            terminated: rng.integers(20) == 0,
        }
    }

    fn observe(&self, place: &[usize; 2], obs: &mut [f32]) {
        match obs {
            [row, column] => (*row, *column) = (place[0] as f32, place[1] as f32),
            [square] => *square = (place[0] * SIZE[1] + place[1]) as f32,
            _ => {}
        }
    }
}

fn registry(board: Board) -> Registry {
    let mut registry = Registry::empty();
    registry.register(EnvEntry::new("Board-v0", "A board", move || board.clone()));
    registry
}

fn none() -> toml::Table {
    toml::Table::new()
}

fn refusal(board: Board) -> String {
    let made = registry(board).make_normalised("Board-v0", &none());
    made.err().expect("refused").to_string()
}

#[test]
fn a_task_with_discrete_observations_and_whole_actions_keeps_the_contract_in_both_units() {
    for board in [Board::pairs(), Board::numbered()] {
        let registry = registry(board);
        for agent in [false, true] {
            let report = check_env(|| match agent {
                false => registry.make("Board-v0", &none()).expect("made"),
                true => registry.make_normalised("Board-v0", &none()).expect("served"),
            });
            assert!(report.unwrap_or_else(|failure| panic!("{failure}")).saw_an_end);
        }
    }
}

#[test]
fn an_agent_gets_one_hot_observations_and_gives_indices() {
    for (board, observation, action, described) in [
        (
            Board::pairs(),
            Space::boxed(7, 0.0, 1.0),
            Space::MultiDiscrete { n: vec![5, 3] },
            "MultiDiscrete([5, 3])",
        ),
        (
            Board::numbered(),
            Space::boxed(12, 0.0, 1.0),
            Space::Discrete { n: 7 },
            "Discrete(7)",
        ),
    ] {
        let env = registry(board).make_normalised("Board-v0", &none()).expect("served");
        assert_eq!(env.describe(), "OneHotObservation > RescaleAction > Checked > Board-v0");
        assert_eq!((env.observation_space(), env.action_space()), (&observation, &action));
        assert_eq!(env.action_space().to_string(), described);
    }
}

/// The same trajectory in the task's units and as an agent sees it, which the two functions translate.
#[test]
fn the_units_of_the_task_and_those_of_the_agent_are_the_same_trajectory() {
    for board in [Board::pairs(), Board::numbered()] {
        let registry = registry(board);
        let mut task = registry.make("Board-v0", &none()).expect("made");
        let mut served = registry.make_normalised("Board-v0", &none()).expect("served");
        let (observed, acted) = (task.observation_space().clone(), task.action_space().clone());
        assert_eq!(
            agent_observation_space(&observed).as_ref(),
            Some(served.observation_space())
        );

        let mut obs = vec![0.0; observed.len()];
        let mut seen = vec![0.0; served.observation_space().len()];
        let mut expected = seen.clone();
        let (mut index, mut action) = (vec![0.0; acted.len()], vec![0.0; acted.len()]);
        let mut rng = NumpyRng::new(1);
        task.reset(Some(3), &mut obs).expect("resets");
        served.reset(Some(3), &mut seen).expect("resets");
        for _ in 0..300 {
            to_agent_units(&observed, &obs, &mut expected, String::new).expect("an observation of the task");
            assert_eq!(seen, expected, "{obs:?}");
            assert_eq!(seen.iter().sum::<f32>(), obs.len() as f32, "one 1 per position");
            served.action_space().gymnasium_sample(&mut rng, &mut index);
            to_task_units(&acted, &index, &mut action);
            assert!(acted.contains(&action), "{index:?} became {action:?}");
            let outcome = task.step(&action, &mut obs).expect("steps");
            assert_eq!(served.step(&index, &mut seen).expect("steps"), outcome);
            if outcome.status().is_over() {
                task.reset(None, &mut obs).expect("resets");
                served.reset(None, &mut seen).expect("resets");
            }
        }
    }
}

#[test]
fn bytes_are_served_as_indices_too() {
    let space = |low: f32, high: f32| Space::Box {
        shape: vec![1],
        low: vec![low],
        high: vec![high],
        dtype: Dtype::U8,
    };
    for (low, high, n) in [(0.0, 255.0, 256), (3.0, 5.0, 3)] {
        let board = Board {
            action: space(low, high),
            ..Board::numbered()
        };
        let mut envs: Box<dyn VecEnv> = registry(board).make_vec("Board-v0", &none(), 1, 1).expect("served");
        assert_eq!(envs.action_space(), &Space::Discrete { n });
        envs.reset(&[1]).expect("resets");
        for index in [0, n - 1] {
            let step = envs.step(0..1, &[index as f32]).expect("steps");
            assert_eq!(step.reward, [f64::from(low) + index as f64], "the reward is the byte");
        }
    }
}

#[test]
fn what_an_agent_cannot_use_is_refused_in_words() {
    let wide = Board {
        action: Space::integers(&[0, 0], &[9, 256]),
        ..Board::pairs()
    };
    assert_eq!(
        refusal(wide),
        "Checked > Board-v0: actions in Box[2] i32 cannot be served as discrete ones: coordinate 1 has 257 \
         values, at most 256 are supported; a task can take real numbers and round them"
    );
    let many = Board {
        observation: Space::Discrete { n: 65_537 },
        ..Board::numbered()
    };
    assert_eq!(
        refusal(many),
        "RescaleAction > Checked > Board-v0: observations in Discrete(65537) cannot be one-hot: there are more than 65536 \
         choices"
    );
    let overflowing = Board {
        observation: Space::MultiDiscrete { n: vec![usize::MAX, 2] },
        ..Board::numbered()
    };
    assert!(refusal(overflowing).ends_with("there are more than 65536 choices"));
    let noise = "wrappers = [{ kind = 'action_noise' }]".parse().expect("TOML");
    let refused = registry(Board::pairs())
        .make("Board-v0", &noise)
        .err()
        .expect("no half moves");
    assert!(refused.to_string().contains("take no noise"), "{refused}");
}

#[test]
fn numbers_outside_the_spaces_are_errors() {
    let registry = registry(Board::numbered());
    let mut obs = [0.0];
    let mut task = registry.make("Board-v0", &none()).expect("made");
    task.reset(Some(0), &mut obs).expect("resets");
    let error = task.step(&[0.5], &mut obs).expect_err("not whole");
    assert_eq!(
        error.to_string(),
        "Board-v0: action [0.5] is outside Box[1] i32 in [-3, 3]"
    );
    task.step(&[9.0], &mut obs).expect("tasks clip what is out of bounds");

    let mut served = registry.make_normalised("Board-v0", &none()).expect("served");
    let mut seen = [0.0; 12];
    served.reset(Some(0), &mut seen).expect("resets");
    for index in [-1.0, 7.0, 0.5, f32::NAN] {
        let error = served.step(&[index], &mut seen).expect_err("no such index");
        assert!(matches!(error, EnvError::InvalidAction { .. }), "{error}");
    }

    // An environment that does not keep to its own space.
    let lying = Board {
        observation: Space::Discrete { n: 1 },
        ..Board::numbered()
    };
    let mut served = self::registry(lying)
        .make_normalised("Board-v0", &none())
        .expect("served");
    let error = (0..9)
        .find_map(|seed| served.reset(Some(seed), &mut [0.0]).err())
        .expect("most squares are not 0");
    assert!(error.to_string().ends_with("is outside Discrete(1)"), "{error}");
}

#[test]
fn a_box_of_whole_numbers_is_described_sampled_and_checked() {
    let space = Space::integers(&[-5, 0, 100], &[7, 1, 355]);
    assert_eq!(space.to_string(), "Box[3] i32");
    assert_eq!(Space::integers(&[0; 2], &[7; 2]).to_string(), "Box[2] i32 in [0, 7]");
    assert!(
        space.contains(&[7.0, 0.0, 100.0])
            && !space.contains(&[0.5, 0.0, 100.0])
            && !space.contains(&[8.0, 0.0, 100.0])
    );
    // Gymnasium 1.4.0: Box(np.array([-5, 0, 100]), np.array([7, 1, 355]), dtype=np.int32), seeded with 3.
    let mut rng = NumpyRng::new(3);
    let mut sample = [0.0; 3];
    for expected in [
        [-4.0, 0.0, 305.0],
        [2.0, 0.0, 210.0],
        [1.0, 0.0, 288.0],
        [-4.0, 0.0, 232.0],
        [0.0, 1.0, 288.0],
        [7.0, 0.0, 266.0],
    ] {
        space.gymnasium_sample(&mut rng, &mut sample);
        assert_eq!(sample, expected);
    }
    let flaw = |low: f32, high: f32| {
        let mut space = Space::integers(&[0], &[1]);
        if let Space::Box {
            low: lows, high: highs, ..
        } = &mut space
        {
            (lows[0], highs[0]) = (low, high);
        }
        space.flaw()
    };
    assert_eq!(flaw(-3.0, 3.0), None);
    for (low, high) in [(0.5, 3.0), (0.0, f32::INFINITY), (f32::NEG_INFINITY, 0.0), (0.0, 1e10)] {
        let flaw = flaw(low, high).expect("no whole bounds");
        assert!(flaw.ends_with("which are no whole numbers of 32 bits"), "{flaw}");
    }
}
