"""The built-in environments in Python."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import sac

ENV_IDS = sac.env_ids()


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_environment_passes_gymnasiums_check(env_id):
    env = sac.make(env_id, render_mode="rgb_array", width=32, height=32)
    with warnings.catch_warnings():
        # Advice about bounds and dtypes of spaces, which are those of Gymnasium's own tasks.
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=env_id.startswith("Probe"), skip_close_check=True)


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1", "HalfCheetah-v5", "Hopper-v5", "Acrobot-v1"])
def test_steps_are_those_of_gymnasiums_environment(env_id):
    ours, theirs = gymnasium.make(f"sac/{env_id}"), gymnasium.make(env_id)
    theirs.action_space.seed(3)
    for seed in (5, None):
        obs, _ = ours.reset(seed=seed)
        expected, _ = theirs.reset(seed=seed)
        assert np.array_equal(obs, np.float32(expected))
        for _ in range(250):
            action = theirs.action_space.sample()
            obs, reward, *ends, _ = ours.step(action)
            expected, expected_reward, *expected_ends, _ = theirs.step(action)
            assert np.array_equal(obs, np.float32(expected)) and reward == expected_reward
            assert ends == expected_ends
            if any(ends):
                break


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_environments_together_are_those_one_by_one(env_id):
    """What `make_vec` does is what Gymnasium's own vector environment does with `make`."""
    ours = sac.make_vec(env_id, 3, threads=2)
    theirs = SyncVectorEnv([lambda: sac.make(env_id)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]
    for name in ("observation_space", "action_space", "single_observation_space", "single_action_space"):
        assert getattr(ours, name) == getattr(theirs, name), name
    obs, infos = ours.reset(seed=7)
    expected, _ = theirs.reset(seed=7)
    assert ours.observation_space.contains(obs) and infos == {}
    assert np.array_equal(obs, expected) and obs.dtype == expected.dtype
    theirs.action_space.seed(1)
    ended = 0
    for _ in range(220):
        actions = theirs.action_space.sample()
        obs, rewards, terminated, truncated, infos = ours.step(actions)
        expected, expected_rewards, *ends, expected_infos = theirs.step(actions)
        assert np.array_equal(obs, expected) and obs.dtype == expected.dtype
        assert np.array_equal(rewards, expected_rewards) and rewards.dtype == np.float64
        assert np.array_equal(terminated, ends[0]) and np.array_equal(truncated & ~terminated, ends[1] & ~ends[0])
        assert infos.keys() == expected_infos.keys()
        for i in np.flatnonzero(terminated | truncated):
            ended += 1
            assert np.array_equal(infos["final_obs"][i], expected_infos["final_obs"][i])
            assert infos["_final_obs"][i]
    ours.close()
    if env_id in ("Pendulum-v1", "Hopper-v5", "CartPole-v1"):
        assert ended >= 3


def test_returned_arrays_are_the_callers():
    envs = sac.make_vec("Pendulum-v1", 2)
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    after, rewards, *_ = envs.step(np.ones((2, 1)))
    kept_rewards = rewards.copy()
    envs.step(-np.ones((2, 1)))
    assert np.array_equal(first, kept) and np.array_equal(rewards, kept_rewards)
    assert not np.array_equal(after, first)


def test_without_a_copy_arrays_are_used_again():
    envs = sac.make_vec("Pendulum-v1", 2, copy=False)
    first, _ = envs.reset(seed=0)
    second, *_ = envs.step(np.ones((2, 1)))
    assert first is second


def test_gymnasium_makes_ours():
    assert isinstance(gymnasium.make("sac/HalfCheetah-v5").unwrapped, sac.Env)
    envs = gymnasium.make_vec("sac/CartPole-v1", num_envs=2)
    assert isinstance(envs, sac.VecEnv) and envs.num_envs == 2
    short = gymnasium.make("sac/Pendulum-v1", time_limit=3)
    short.reset(seed=0)
    assert [short.step([0.0])[3] for _ in range(3)] == [False, False, True]


def test_a_snapshot_goes_on_where_it_was_taken():
    env = sac.make("Hopper-v5")
    env.reset(seed=1)
    env.step([0.1, 0.2, 0.3])
    snapshot = env.snapshot()
    first = env.step([0.3, 0.2, 0.1])
    env.restore(snapshot)
    again = env.step([0.3, 0.2, 0.1])
    assert np.array_equal(first[0], again[0]) and first[1:] == again[1:]


def test_a_picture_has_the_size_that_was_asked_for():
    env = sac.make("Pendulum-v1", render_mode="rgb_array", width=40, height=30)
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (30, 40, 3) and picture.dtype == np.uint8 and picture.std() > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sac.make("Pendelum-v1"), sac.EnvError, "did you mean `Pendulum-v1`"),
        (lambda: sac.make("Pendulum-v1", G=9.8), sac.EnvError, "unknown option"),
        (lambda: sac.make("Pendulum-v1", g="strong"), sac.EnvError, "expected a number"),
        (lambda: sac.make("Pendulum-v1", g=object()), sac.ConfigError, "found object"),
        (lambda: sac.make("Pendulum-v1", render_mode="human"), sac.ArgumentError, "rgb_array"),
        (lambda: sac.make_vec("Pendulum-v1", 0), sac.ArgumentError, "at least 1"),
        (lambda: sac.make("Pendulum-v1").step([0.0]), sac.EnvError, "before the first reset"),
        (lambda: sac.make("Pendulum-v1").step([0.0, 1.0]), sac.ArgumentError, "expected (1,)"),
    ],
)
def test_what_cannot_be_done_is_an_exception(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
    assert isinstance(caught.value, sac.Error)


def test_the_manual_page_lists_options():
    assert "time_limit" in sac.manual("Pendulum-v1")
