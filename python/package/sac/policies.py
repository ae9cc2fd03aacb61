"""Trained policies: `load`, `Policy`, `Evaluation`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from . import _sac, objects
from .errors import ArgumentError
from .spaces import gymnasium_space
from .training import _prepare_device, _source_for

__all__ = ["Evaluation", "Policy", "load"]


@dataclass(frozen=True)
class Evaluation:
    """Returns and lengths of whole episodes, in their order."""

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def mean_return(self) -> float:
        """Mean of the returns."""
        return float(self.returns.mean())

    @property
    def std_return(self) -> float:
        """Standard deviation of the returns, without Bessel's correction."""
        return float(self.returns.std())


@dataclass(frozen=True)
class Spaces:
    """Observation and action space of a task, as Gymnasium's."""

    observation: gymnasium.Space[Any]
    action: gymnasium.Space[Any]


class Policy:
    """A trained policy, which takes observations and gives actions in the units of its environment.

    `env_id`, `algo`, `env_steps` (of training when it was saved) and `checkpoint` (which one it is) say where it comes from.
    """

    def __init__(self, native: Any, source: objects.Source | None):
        self._native, self._source = native, source
        self.env_steps, self.checkpoint, self.env_id, self.algo, options = native.info()
        observation, action = native.spaces()
        if source is None and self.env_id.startswith("py:"):
            # Its spaces say how observations become rows of numbers.
            self._source = source = objects.source_of_id(self.env_id, json.loads(options))
            source.close()
        if source is None:
            self.spaces = Spaces(gymnasium_space(observation), gymnasium_space(action))
            self._row_len = len(observation["low"]) if observation["kind"] == "box" else self._positions(observation)
            self._action_len = len(action["low"]) if action["kind"] == "box" else self._positions(action)
        else:
            self.spaces = Spaces(source.observation_space, source.action_space)
            self._row_len, self._action_len = source.obs_len, source.action_len

    @staticmethod
    def _positions(described: dict[str, Any]) -> int:
        return 1 if described["kind"] == "discrete" else len(described["n"])

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The space of observations."""
        return self.spaces.observation

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """The space of actions."""
        return self.spaces.action

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, None]:
        """The action for an observation, or actions for a batch of them, and `None`.

        The signature is that of Stable-Baselines3; `state` and `episode_start` are not used. With `deterministic=False`
        actions are drawn from the policy; `reseed` begins the draws anew.
        """
        rows, is_batch = self._rows(observation)
        actions = np.zeros((len(rows), self._action_len), np.float32)
        if len(rows):
            self._native.act(rows, actions, len(rows), deterministic)
        taken = [self._action(row) for row in actions]
        if not is_batch:
            return taken[0], None
        if isinstance(self.action_space, (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)):
            return taken, None
        return np.array(taken), None

    def _rows(self, observation: Any) -> tuple[np.ndarray, bool]:
        """Observations as rows of numbers, and whether there is a batch of them."""
        space, source = self.observation_space, self._source
        if source is not None and isinstance(space, gymnasium.spaces.Dict):
            first, inner = next(iter(space.spaces.items()))
            if first not in observation or np.ndim(observation[first]) <= len(inner.shape or ()):
                return self._written(source, [observation]), False
            count = len(observation[first])
            return self._written(
                source, [{key: values[i] for key, values in observation.items()} for i in range(count)]
            ), True
        if source is not None and isinstance(space, gymnasium.spaces.Tuple):
            return self._written(source, [observation]), False
        array = np.asarray(observation)
        shape = space.shape or ()
        is_batch = array.shape[1:] == shape and array.ndim == len(shape) + 1
        if is_batch or array.shape == shape:
            if source is None:
                return np.array(array, np.float32).reshape(-1, self._row_len), is_batch
            return self._written(source, list(array) if is_batch else [array]), is_batch
        raise ArgumentError(
            f"an observation has shape {array.shape}, expected {shape} for {space}, or {('N', *shape)} for a batch"
        )

    def _written(self, source: objects.Source, observations: list[Any]) -> np.ndarray:
        rows = np.zeros((len(observations), self._row_len), np.float32)
        for row, observation in zip(rows, observations):
            out = np.zeros(self._row_len, source.observation_dtype)
            try:
                source.write_observation(observation, out)
            except objects.hosted_code.Refused as error:
                raise ArgumentError(str(error)) from None
            row[...] = out
        return rows

    def _action(self, row: np.ndarray) -> Any:
        if self._source is not None:
            return self._source.read_action(row)
        space = self.action_space
        if isinstance(space, gymnasium.spaces.Discrete):
            return np.int64(row[0])
        return row.reshape(space.shape).astype(space.dtype)

    def reseed(self, seed: int) -> None:
        """Begins the draws of `predict(…, deterministic=False)` anew: the same seed gives the same ones."""
        self._native.reseed(seed)

    def evaluate(
        self,
        episodes: int = 10,
        *,
        seed: int = 0,
        deterministic: bool = True,
        env_options: dict[str, Any] | None = None,
    ) -> Evaluation:
        """Scores the policy on whole episodes, as `sac eval` does. The same seed gives the same episodes."""
        if episodes < 1:
            raise ArgumentError(f"{episodes} episodes, expected at least 1")
        returns, lengths = self._native.evaluate(episodes, seed, deterministic, env_options or {})
        return Evaluation(np.array(returns), np.array(lengths))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that acting needs, by name: parameters, and statistics of observations where they are normalised."""
        return {
            name: np.frombuffer(data, dtype).reshape(shape).copy()
            for name, dtype, shape, data in self._native.parameters()
        }

    def __repr__(self) -> str:
        return f"<sac.Policy {self.algo} for {self.env_id}, {self.checkpoint}, {self.env_steps} env steps>"


def load(run: Any, checkpoint: str | int = "best", *, device: str = "cpu", env: Any = None) -> Policy:
    """Loads a policy of a run.

    Args:
        run: a `Run`, or its folder.
        checkpoint: `"best"` (or the last where nothing was evaluated), `"last"`, or a number of env steps.
        device: where the policy is computed.
        env: the environment object or callable, for a run that was trained on one.
    """
    path = Path(os.fspath(run))
    env = env if env is not None else getattr(run, "_env", None)
    source = _source_for(path, env)
    _prepare_device(device)
    return Policy(_sac.NativePolicy(os.fspath(path), str(checkpoint), device, source), source)
