"""Loaded policies."""

import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import sac


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from conftest import SMALL

    return sac.train("Pendulum-v1", steps=400, seed=0, run_dir=tmp_path_factory.mktemp("runs") / "run", **SMALL)


def test_a_policy_acts_on_one_observation_and_on_many(run):
    policy = sac.load(run)
    obs = policy.observation_space.sample()
    action, state = policy.predict(obs)
    assert state is None and policy.action_space.contains(action)
    batch = np.stack([obs, policy.observation_space.sample()])
    actions, _ = policy.predict(batch)
    assert actions.shape == (2, 1) and np.allclose(actions[0], action, atol=1e-5)
    assert policy.predict(np.zeros((0, 3)))[0].shape[0] == 0
    drawn = [policy.predict(obs, deterministic=False)[0] for _ in range(3)]
    assert len({float(a[0]) for a in drawn}) == 3
    policy.reseed(1)
    first = policy.predict(obs, deterministic=False)[0]
    policy.reseed(1)
    assert first == policy.predict(obs, deterministic=False)[0]


def test_bad_observations_are_refused(run):
    policy = sac.load(run)
    with pytest.raises(sac.ArgumentError, match=r"expected \(3,\)"):
        policy.predict([1.0, 2.0])
    with pytest.raises(sac.ArgumentError, match="expected a finite number"):
        policy.predict([1.0, float("nan"), 0.0])


def test_scores_are_those_of_the_command(run):
    evaluation = sac.load(run).evaluate(4, seed=7)
    command = [sys.executable, "-m", "sac", "eval", str(run.path), "--episodes", "4", "--seed", "7", "--json"]
    scores = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert evaluation.returns.tolist() == scores["returns"]
    assert evaluation.mean_return == scores["mean_return"]
    assert evaluation.lengths.tolist() == [200] * 4


def test_a_checkpoint_is_chosen_by_name_or_count(run):
    assert sac.load(run, "last").env_steps == 400 and sac.load(run, 400).checkpoint == "400"
    assert sac.load(run).checkpoint == "best"
    with pytest.raises(sac.RunError, match="no checkpoint at 123"):
        sac.load(run, 123)
    with pytest.raises(sac.ArgumentError, match="expected"):
        sac.load(run, "newest")
    with pytest.raises(sac.RunError, match="no such folder"):
        sac.load("runs/none")


def test_parameters_are_arrays(run):
    state = sac.load(run).state_dict()
    assert state and all(isinstance(values, np.ndarray) for values in state.values())
    assert not any("adam" in name for name in state)
    shapes = {values.shape for values in state.values()}
    assert (16, 16) in shapes or sum(values.size for values in state.values()) > 16 * 16


def test_observations_of_python_are_flattened_as_in_training(small, tmp_path):
    class Sorted(gymnasium.Env):
        observation_space = gymnasium.spaces.Dict(
            {"place": gymnasium.spaces.Box(-1, 1, (2,)), "room": gymnasium.spaces.Discrete(3, start=1)}
        )
        action_space = gymnasium.spaces.Dict(
            {"left": gymnasium.spaces.Box(0, 2, (1,)), "right": gymnasium.spaces.Box(-3, 0, (2,))}
        )

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.sample(), {}

        def step(self, action):
            assert self.action_space.contains(action)
            return self.observation_space.sample(), 1.0, False, self.np_random.random() < 0.1, {}

    run = sac.train(Sorted, steps=200, run_dir=tmp_path / "run", **small)
    policy = sac.load(run)
    obs = policy.observation_space.sample()
    action, _ = policy.predict(obs)
    assert policy.action_space.contains(action)
    batch = {key: np.stack([value, value]) for key, value in obs.items()}
    actions, _ = policy.predict(batch)
    assert len(actions) == 2 and policy.action_space.contains(actions[1])


def test_the_command_trains_and_lists(tmp_path):
    listed = subprocess.run([sys.executable, "-m", "sac", "envs"], check=True, capture_output=True, text=True).stdout
    assert "HalfCheetah-v5" in listed
    wrong = subprocess.run([sys.executable, "-m", "sac", "train", "--env", "Nope-v0"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "unknown environment" in wrong.stderr
