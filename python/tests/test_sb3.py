"""Stable-Baselines3 with this package. `pip install stable-baselines3` to run them."""

import numpy as np
import pytest

import sac
from sac import _sac

pytest.importorskip("stable_baselines3")


def test_sb3_scores_a_policy_as_the_command_does(small, tmp_path):
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    run = sac.train("Pendulum-v1", steps=400, seed=0, run_dir=tmp_path / "run", **small)
    policy = sac.load(run)
    expected = policy.evaluate(3, seed=3)
    # The episodes of `sac eval` begin with these seeds.
    seeds = iter(_sac.eval_seeds(3, 4))

    class Seeded(Monitor):
        def reset(self, **kwargs):
            return super().reset(**{**kwargs, "seed": next(seeds)})

    returns, lengths = evaluate_policy(
        policy, Seeded(sac.make("Pendulum-v1")), n_eval_episodes=3, return_episode_rewards=True
    )
    # Monitor rounds returns to six decimals, and a batch may round actions otherwise than one observation.
    assert np.allclose(returns, expected.returns, atol=1e-3, rtol=0) and lengths == expected.lengths.tolist()


def test_sb3_trains_on_our_environment():
    from stable_baselines3 import SAC
    from stable_baselines3.common.env_checker import check_env

    env = sac.make("Pendulum-v1")
    check_env(env)
    model = SAC("MlpPolicy", env, learning_starts=50, policy_kwargs={"net_arch": [16]}, device="cpu", seed=0)
    model.learn(300)
    assert model.num_timesteps == 300
