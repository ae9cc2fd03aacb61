"""Environments of this interpreter for the library: `source_of`, `Source`."""

from __future__ import annotations

import copy
import json
import sys
import types
from typing import Any, Callable

import gymnasium
import numpy as np

from . import _sac
from .envs import Env
from .errors import ArgumentError, EnvError

# The code that worker processes run too, so that observations and actions are the same bits.
hosted_code = types.ModuleType("sac.hosted_code")
exec(compile(_sac.HOSTED, "<string>", "exec"), hosted_code.__dict__)


class Source:
    """Makes environments of one kind. The native half asks for another one when its first episode begins."""

    def __init__(self, id: str, first: Any, more: Callable[[], Any], options: dict[str, Any], is_first_ours: bool):
        self.id, self.options = id, options
        self._more = more
        self._is_first_ours = is_first_ours
        try:
            self._first = hosted_code.Hosted(first)
        except hosted_code.Refused as error:
            raise EnvError(f"{id}: {error}") from None
        self._theirs = None if is_first_ours else first
        self._spaces = self._first.observation, self._first.action
        self.description = json.dumps(self._first.description)
        self.observation_space, self.action_space = first.observation_space, first.action_space
        self.write_observation, self.read_action = self._first.write, self._first.read
        self.observation_dtype = self._first.dtype()
        self.action_len, self.obs_len = _length(self._first.action), _length(self._first.observation)

    def hosted(self) -> Any:
        """Another environment: the given one at first."""
        hosted, self._first = self._first, None
        if hosted is None:
            hosted = hosted_code.Hosted(self._more())
            if (hosted.observation, hosted.action) != self._spaces:
                raise EnvError(f"{self.id}: another environment of it has other spaces than the first")
        hosted.place(
            np.zeros(self.action_len, np.float32), np.zeros(self.obs_len, hosted.dtype()), np.zeros(2, np.float64)
        )
        return hosted

    def explained(self, error: BaseException) -> str:
        """An exception as a message."""
        return hosted_code.explained(error)

    def close(self, hosted: Any = None) -> None:
        """Closes an environment, unless it is the caller's; without an argument the first, if nobody asked for it."""
        if hosted is None:
            hosted, self._first = self._first, None
        if hosted is not None and hosted.env is not self._theirs and hasattr(hosted.env, "close"):
            hosted.env.close()


def _length(described: dict[str, Any]) -> int:
    return int(np.prod(described["shape"])) if described["kind"] == "box" else len(described["n"])


def source_of(env: Any, id: str | None = None) -> Source:
    """Environments like `env`, which is one, or a callable that makes one."""
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise ArgumentError("env is a VectorEnv; pass a callable that makes one environment, and num_envs=N")
    if all(hasattr(env, name) for name in ("reset", "step", "observation_space", "action_space")) and not isinstance(
        env, type
    ):
        return _source_of_object(env, id)
    if not callable(env):
        raise ArgumentError(
            f"env is {type(env).__name__}, expected an id, a gymnasium.Env, or a callable that makes one"
        )
    first = env()
    for method in ("reset", "step", "observation_space", "action_space"):
        if not hasattr(first, method):
            raise ArgumentError(f"env made {type(first).__name__}, which has no `{method}`; expected a gymnasium.Env")
    return Source(id or _id_of_callable(env), first, env, {}, is_first_ours=True)


def _source_of_object(env: Any, id: str | None) -> Source:
    spec = getattr(env, "spec", None)
    options: dict[str, Any] = {}
    if spec is None:
        named = f"object:{type(getattr(env, 'unwrapped', env)).__name__}"
        return Source(id or named, env, lambda: _copied(env), options, is_first_ours=False)
    wrappers = getattr(spec, "additional_wrappers", ())
    if any(wrapper.kwargs is None for wrapper in wrappers):
        # A wrapper that does not say how it was made.
        return Source(id or f"object:{spec.id}", env, lambda: _copied(env), options, is_first_ours=False)
    named = f"object:{spec.id}"
    kwargs = _plain({key: value for key, value in spec.kwargs.items() if value is not None})
    known = gymnasium.registry.get(spec.id)
    if not wrappers and known is not None and kwargs is not None and known.entry_point == spec.entry_point:
        # A worker process can make it too, so `sac eval` and `sac train --resume` work on the run.
        named = f"py:{spec.id}"
        kwargs = {key: value for key, value in kwargs.items() if known.kwargs.get(key) != value}
        kwargs.pop("render_mode", None)
        if kwargs:
            options["kwargs"] = kwargs
        if spec.max_episode_steps != known.max_episode_steps and spec.max_episode_steps is not None:
            options["time_limit"] = spec.max_episode_steps
    return Source(id or named, env, lambda: gymnasium.make(spec), options, is_first_ours=False)


def source_of_id(id: str, options: dict[str, Any]) -> Source:
    """The environments of an id `py:…` with its options, made in this interpreter."""
    name = id.removeprefix("py:")
    tail = name.rpartition("-v")[2] if "-v" in name else ""
    spec = {
        "id": name,
        "callable": ":" in name and not tail.isdigit(),
        "kwargs": options.get("kwargs", {}),
        "imports": options.get("imports", []),
        "wrappers": [wrapper for wrapper in options.get("wrappers", []) if isinstance(wrapper, str)],
        "time_limit": options.get("time_limit"),
    }
    try:
        env = hosted_code.make(spec)
    except (hosted_code.Wrong, hosted_code.Refused) as error:
        raise EnvError(f"{id}: {error}") from None
    return Source(id, env, lambda: hosted_code.make(spec), {}, is_first_ours=True)


def native_of(env: Any) -> tuple[str, dict[str, Any]] | None:
    """Id and options of a built-in environment that nothing is wrapped around, which needs no Python."""
    if type(env) is Env:
        return env.id, dict(env.options)
    return None


def _id_of_callable(make: Any) -> str:
    """`py:module:name` where a worker process finds it too."""
    module, name = getattr(make, "__module__", None), getattr(make, "__qualname__", None)
    if module not in (None, "__main__", "builtins") and name is not None and "<" not in name:
        found = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is make:
            return f"py:{module}:{name}"
    return f"object:{name or type(make).__name__}".replace("<", "").replace(">", "")


def _plain(value: dict[str, Any]) -> dict[str, Any] | None:
    """The same, if JSON can hold it."""
    try:
        same = json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return None
    return value if same else None


def _copied(env: Any) -> Any:
    try:
        return copy.deepcopy(env)
    except Exception as error:
        raise EnvError(
            f"evaluations and num_envs need more environments like {env}, and it cannot be copied ({error}); pass a "
            "callable that makes one instead, or eval={'every': 'never'}"
        ) from error
