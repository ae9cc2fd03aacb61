"""Soft Actor-Critic and its relatives, in Rust on libtorch.

    import sac

    run = sac.train("Pendulum-v1", steps=10_000)
    policy = sac.load(run)
    action, _ = policy.predict([1.0, 0.0, 0.0])
    print(policy.evaluate(episodes=10).mean_return)

`train` also takes a `gymnasium.Env` or a callable that makes one. `make` and `make_vec` give the built-in environments,
which are registered with Gymnasium as `sac/ID`.
"""

from . import _sac
from .envs import Env, VecEnv, env_ids, make, make_vec, manual, register
from .errors import ArgumentError, ConfigError, DivergedError, EnvError, Error, RunError
from .policies import Evaluation, Policy, load
from .training import Run, resume, runs, train

__version__: str = _sac.__version__

__all__ = [
    "ArgumentError",
    "ConfigError",
    "DivergedError",
    "Env",
    "EnvError",
    "Error",
    "Evaluation",
    "Policy",
    "Run",
    "RunError",
    "VecEnv",
    "env_ids",
    "load",
    "make",
    "make_vec",
    "manual",
    "resume",
    "runs",
    "train",
]

register()
