"""Spaces of the library as spaces of Gymnasium, and arrays for their elements."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
from gymnasium import spaces

from .errors import ArgumentError


def gymnasium_space(described: dict[str, Any]) -> spaces.Space[Any]:
    """The space of Gymnasium for one of the library."""
    if described["kind"] == "discrete":
        return spaces.Discrete(described["n"])
    if described["kind"] == "multi_discrete":
        return spaces.MultiDiscrete(described["n"])
    shape, dtype = described["shape"], np.dtype(described["dtype"])
    low, high = (np.array(described[side], np.float32).reshape(shape).astype(dtype) for side in ("low", "high"))
    return spaces.Box(low, high, shape=shape, dtype=dtype.type)


def taker(space: spaces.Space[Any], row: np.ndarray) -> Callable[[], Any]:
    """A function that copies the row of an observation, or rows `[N, O]` of several, into a new element of the space."""
    batch = row.shape[:-1]
    if isinstance(space, spaces.Discrete):
        if batch:
            return lambda: row[..., 0].astype(np.int64)
        return lambda: np.int64(row[0])
    shaped = row.reshape(*batch, *(space.shape or ()))
    if space.dtype == np.float32:
        return shaped.copy
    dtype = space.dtype
    return lambda: shaped.astype(dtype)


def putter(space: spaces.Space[Any], row: np.ndarray) -> Callable[[Any], None]:
    """A function that copies an action into a row, or actions of several environments into rows `[N, A]`."""
    batch = row.shape[:-1]
    if isinstance(space, spaces.Discrete):
        shaped = row.reshape(batch)
    else:
        shaped = row.reshape(*batch, *(space.shape or ()))
    expected = shaped.shape

    def put(action: Any) -> None:
        if getattr(action, "shape", None) != expected and np.shape(action) != expected:
            raise ArgumentError(f"an action has shape {np.shape(action)}, expected {expected} for {space}")
        shaped[...] = action

    return put
