"""The built-in environments as environments of Gymnasium: `make`, `make_vec`, `Env`, `VecEnv`."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from . import _sac
from .errors import ArgumentError
from .spaces import gymnasium_space, putter, taker

__all__ = ["Env", "VecEnv", "env_ids", "make", "make_vec"]

NAMESPACE = "sac/"


def env_ids() -> list[str]:
    """Ids of the built-in environments."""
    return [env_id for env_id, _ in _sac.env_ids()]


class Env(gymnasium.Env):
    """A built-in environment. The same seed and actions give the same numbers as Gymnasium's environment of that id.

    Observations are `float32`. The time limit is part of the environment.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 25}

    def __init__(self, id: str, *, render_mode: str | None = None, width: int = 480, height: int = 480, **options: Any):
        """An environment `id` with its options (`print(sac.manual(id))` lists them)."""
        if render_mode not in (None, "rgb_array"):
            raise ArgumentError(f"render_mode is {render_mode!r}, expected None or 'rgb_array'")
        self.id, self.options = id, options
        self.render_mode = render_mode
        self.width, self.height = width, height
        self._native = _sac.NativeEnv(id, options)
        observation, action = self._native.spaces()
        self.observation_space, self.action_space = gymnasium_space(observation), gymnasium_space(action)
        obs_row = np.zeros(_length(observation), np.float32)
        action_row = np.zeros(_length(action), np.float32)
        self._native.bind(action_row, obs_row)
        self._obs, self._put = taker(self.observation_space, obs_row), putter(self.action_space, action_row)
        self._step = self._native.step
        if NAMESPACE + id in gymnasium.registry:
            kwargs = {"render_mode": render_mode, **options}
            self.spec = gymnasium.spec(NAMESPACE + id)
            self.spec.kwargs = {**self.spec.kwargs, **kwargs}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode. Without a seed, the generator goes on; the first time, it gets a random seed."""
        if seed is None and self._np_random is None:
            seed = int.from_bytes(os.urandom(4), "little")
        # The task has a generator of its own; that of the base class is for callers who use it.
        super().reset(seed=seed)
        self._native.reset(seed)
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Makes a step."""
        self._put(action)
        reward, terminated, truncated = self._step()
        return self._obs(), reward, terminated, truncated, {}

    def render(self) -> np.ndarray | None:
        """A picture `[height, width, 3]` of bytes."""
        if self.render_mode is None:
            gymnasium.logger.warn("render was called, but the environment was made without render_mode='rgb_array'")
            return None
        picture = self._native.render(self.width, self.height)
        return np.frombuffer(picture, np.uint8).reshape(self.height, self.width, 3).copy()

    def snapshot(self) -> bytes:
        """The whole state, generator included, for `restore`."""
        return self._native.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Goes back to a state of `snapshot`. `step` goes on from there, bit for bit."""
        self._native.restore(snapshot)

    def __repr__(self) -> str:
        return f"<sac.Env {self._native!r}>"


class VecEnv(VectorEnv):
    """`num_envs` built-in environments, which are stepped together without Python, on several threads.

    An episode that ends begins anew in the same step (`AutoresetMode.SAME_STEP`): `infos["final_obs"]` holds its last
    observation. Where a step both terminates and truncates, it is terminated.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        id: str,
        num_envs: int = 1,
        *,
        threads: int | None = None,
        copy: bool = True,
        render_mode: None = None,
        **options: Any,
    ):
        """`threads`: by default one for small tasks, and the cores for MuJoCo's. Results do not depend on it.

        Without `copy`, the arrays that `step` returns are overwritten by the next step. Nothing is drawn.
        """
        if render_mode is not None:
            raise ArgumentError(f"render_mode is {render_mode!r}; a VecEnv draws nothing, sac.make does")
        if num_envs < 1:
            raise ArgumentError(f"num_envs is {num_envs}, expected at least 1")
        if threads is None:
            threads = min(num_envs, len(os.sched_getaffinity(0))) if _takes_long(id) else 1
        self.id, self.options, self.num_envs, self.copy = id, options, num_envs, copy
        self._native = _sac.NativeVecEnv(id, num_envs, threads, options)
        observation, action = self._native.spaces()
        self.single_observation_space = gymnasium_space(observation)
        self.single_action_space = gymnasium_space(action)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        rows = np.zeros((num_envs, _length(observation)), np.float32)
        next_rows, actions = rows.copy(), np.zeros((num_envs, _length(action)), np.float32)
        self._rewards = np.zeros(num_envs, np.float64)
        self._terminated, self._truncated = np.zeros(num_envs, np.bool_), np.zeros(num_envs, np.bool_)
        flags = self._terminated.view(np.uint8), self._truncated.view(np.uint8)
        self._native.bind(actions, rows, next_rows, self._rewards, *flags)
        self._obs, self._put = taker(self.single_observation_space, rows), putter(self.single_action_space, actions)
        self._last_obs = taker(self.single_observation_space, next_rows)
        if not copy and self.single_observation_space.dtype == np.float32:
            shaped = rows.reshape(num_envs, *(self.single_observation_space.shape or ()))
            self._obs = lambda: shaped
        self._step = self._native.step
        if NAMESPACE + id in gymnasium.registry:
            self.spec = gymnasium.spec(NAMESPACE + id)
            self.spec.kwargs = {**self.spec.kwargs, **options}

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every environment: environment i with `seed + i`, or with `seed[i]`.

        Without seeds they are drawn from `self.np_random`.
        """
        if isinstance(seed, (int, np.integer)):
            self._np_random, self._np_random_seed = gymnasium.utils.seeding.np_random(int(seed))
            seeds = [int(seed) + i for i in range(self.num_envs)]
        else:
            given = [None] * self.num_envs if seed is None else list(seed)
            if len(given) != self.num_envs:
                raise ArgumentError(f"{len(given)} seeds for {self.num_envs} environments")
            seeds = [int(self.np_random.integers(2**31)) if s is None else int(s) for s in given]
        self._native.reset(seeds)
        return self._obs(), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Makes a step in every environment."""
        self._put(actions)
        has_ended = self._step()
        infos: dict[str, Any] = {}
        terminated, truncated = self._terminated, self._truncated
        if has_ended:
            last = self._last_obs()
            for i in np.flatnonzero(terminated | truncated):
                infos = self._add_info(infos, {"final_obs": last[i], "final_info": {}}, int(i))
        if self.copy:
            return self._obs(), self._rewards.copy(), terminated.copy(), truncated.copy(), infos
        return self._obs(), self._rewards, terminated, truncated, infos

    def __repr__(self) -> str:
        return f"<sac.VecEnv {self.num_envs} × {self._native!r}>"


def make(id: str, **options: Any) -> Env:
    """The built-in environment `id`, such as `HalfCheetah-v5`, as a `gymnasium.Env`.

    `options` are those of the environment, such as `time_limit=500`, and `render_mode="rgb_array"`.
    """
    return Env(id.removeprefix(NAMESPACE), **options)


def make_vec(id: str, num_envs: int = 1, *, threads: int | None = None, copy: bool = True, **options: Any) -> VecEnv:
    """`num_envs` environments as a `gymnasium.vector.VectorEnv`, stepped natively. See `VecEnv`."""
    return VecEnv(id.removeprefix(NAMESPACE), num_envs, threads=threads, copy=copy, **options)


def manual(id: str, **options: Any) -> str:
    """The manual page of a built-in environment, with its options, as Markdown."""
    return _sac.page(id.removeprefix(NAMESPACE), options)


def register() -> None:
    """Makes the built-in environments known to `gymnasium.make` and `gymnasium.make_vec` as `sac/ID`."""
    for env_id in env_ids():
        if NAMESPACE + env_id not in gymnasium.registry:
            gymnasium.register(
                NAMESPACE + env_id,
                entry_point="sac.envs:Env",
                vector_entry_point="sac.envs:VecEnv",
                kwargs={"id": env_id},
            )


def _takes_long(id: str) -> bool:
    """Whether a step takes long enough to be worth a thread."""
    return dict(_sac.env_ids()).get(id) in ("mujoco", "fetch")


def _length(described: dict[str, Any]) -> int:
    """Numbers per element."""
    return {"box": lambda: len(described["low"]), "discrete": lambda: 1, "multi_discrete": lambda: len(described["n"])}[
        described["kind"]
    ]()
