"""Spaces of Gymnasium as the trainer's: one row of numbers per observation and per action.

`observations(space)` and `actions(space)` return a description, which is sent to the trainer, and a function that copies:
`write(observation, out)` into the row of an observation, `read(row)` from the row of an action.
"""

import numpy as np
from gymnasium import spaces


class Refused(Exception):
    """What the trainer cannot serve or will not accept, in words for its user."""


# Above this, the numbers of an observation are not named one by one.
MOST_NAMES = 512


def bounds(low, high):
    """Bounds as JSON: one number where all are equal, `None` where they are infinite."""

    def side(values):
        with np.errstate(over="ignore"):
            values = np.asarray(values).astype(np.float32).ravel()
        numbers = [float(x) if np.isfinite(x) else None for x in values[:1]]
        if not (values == values[:1]).all():
            numbers = [float(x) if np.isfinite(x) else None for x in values]
        return numbers

    return {"low": side(low), "high": side(high)}


def names(prefix, shape):
    count = int(np.prod(shape))
    if count > MOST_NAMES:
        return [f"{prefix}[…]: {count} numbers of shape {list(shape)}"]
    if shape == ():
        return [prefix]
    return [f"{prefix}[{', '.join(map(str, place))}]" for place in np.ndindex(*shape)]


def outside(what, value, space):
    return Refused(f"{what} is {value!r}, which is not in its space {space}")


def whole(value, what, space):
    """`value` as an int; arrays of one whole number count too."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iub":
        raise Refused(f"{what} is {value!r}, expected one whole number in {space}")
    return int(array.reshape(()))


def array_in(value, space, kinds, what):
    """`value` as an array of the shape of `space`, with a dtype of one of these kinds."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise Refused(f"{what} is {type(value).__name__}, which is no array; expected {space}") from None
    if array.shape != space.shape:
        raise Refused(f"{what} has shape {array.shape}, expected {space.shape} of its space {space}")
    if array.dtype.kind not in kinds:
        raise Refused(f"{what} has dtype {array.dtype}, expected {space.dtype} of its space {space}")
    return array


def index_in(space, what):
    """A function from an element of a `Discrete` space to its index, counted from 0."""
    n, start = int(space.n), int(space.start)

    def index(obs):
        index = whole(obs, what, space) - start
        if not 0 <= index < n:
            raise outside(what, obs, space)
        return index

    return index


def counts_and_starts(space):
    """How many values each number of a `MultiDiscrete` space has, and its first value. Gymnasium before 1.0 has no starts."""
    return (np.asarray(of).ravel() for of in (space.nvec, getattr(space, "start", np.zeros_like(space.nvec))))


def indices_in(space, what):
    """A function from an element of a `MultiDiscrete` space to its indices, counted from 0."""
    counts, starts = counts_and_starts(space)

    def indices(obs):
        indices = array_in(obs, space, "iu", what).ravel() - starts
        if (indices < 0).any() or (indices >= counts).any():
            raise outside(what, obs, space)
        return indices

    return indices


def is_image(space):
    return space.dtype == np.uint8 and len(space.shape) in (2, 3)


def image(space):
    """A picture in rows, columns, channels or channels, rows, columns, to the trainer's channels, rows, columns."""
    if len(space.shape) == 2:
        order, shape = None, (1, *space.shape)
    elif space.shape[0] < space.shape[2]:
        # Fewer channels than rows or columns.
        order, shape = None, space.shape
    else:
        order, shape = (2, 0, 1), tuple(space.shape[i] for i in (2, 0, 1))

    def ordered(array):
        return array.reshape(shape) if order is None else array.transpose(order)

    def write(obs, out):
        if type(obs) is not np.ndarray or obs.shape != space.shape or obs.dtype != np.uint8:
            obs = array_in(obs, space, "u", "the observation")
            if obs.dtype != np.uint8:
                raise Refused(f"the observation has dtype {obs.dtype}, expected uint8 of its space {space}")
        out.reshape(shape)[...] = ordered(obs)

    # Bounds of every byte are what encoders expect; a picture uses a part of them.
    description = {"kind": "box", "dtype": "u8", "shape": list(shape), "low": [0.0], "high": [255.0]}
    layout = "channels, rows, columns" if order is None and len(space.shape) == 3 else "rows, columns"
    layout = layout if order is None else "rows, columns, channels"
    return {**description, "names": [f"picture of {list(space.shape)} ({layout})"]}, write


def box(space, what):
    """A box as a flat vector of float32."""
    kinds = "fiub" if space.dtype.kind == "f" else "iub"
    shape, dtype = space.shape, space.dtype

    is_flat = len(shape) == 1

    def write(obs, out):
        # Arrays mostly share the very object of their dtype.
        if type(obs) is not np.ndarray or obs.shape != shape or (obs.dtype is not dtype and obs.dtype != dtype):
            obs = array_in(obs, space, kinds, what)
        out[:] = obs if is_flat else obs.ravel()

    return bounds(space.low, space.high), write


def part(space, path):
    """A part of an observation as Gymnasium's `flatten` writes it: names, length, bounds, and a function."""
    if isinstance(space, spaces.Box):
        limits, write = box(space, path)
        count = int(np.prod(space.shape))
        full = {side: (limits[side] * count if len(limits[side]) == 1 else limits[side]) for side in limits}
        return names(path, space.shape), count, full, write
    if isinstance(space, spaces.Discrete):
        n, start, index = int(space.n), int(space.start), index_in(space, path)

        def write(obs, out):
            hot = index(obs)
            out[...] = 0.0
            out[hot] = 1.0

        return [f"{path} == {start + i}" for i in range(n)], n, {"low": [0.0] * n, "high": [1.0] * n}, write
    if isinstance(space, spaces.MultiDiscrete):
        (counts, starts), indices = counts_and_starts(space), indices_in(space, path)
        firsts, total = np.concatenate([[0], np.cumsum(counts)[:-1]]), int(counts.sum())

        def write(obs, out):
            hot = firsts + indices(obs)
            out[...] = 0.0
            out[hot] = 1.0

        labels = [f"{path}[{i}] == {s + k}" for i, (n, s) in enumerate(zip(counts, starts)) for k in range(n)]
        return labels, total, {"low": [0.0] * total, "high": [1.0] * total}, write
    if isinstance(space, spaces.MultiBinary):
        count = int(np.prod(space.shape))

        def write(obs, out):
            out[...] = array_in(obs, space, "iubf", path).ravel()

        return names(path, space.shape), count, {"low": [0.0] * count, "high": [1.0] * count}, write
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return whole_of_parts(space, path)
    raise Refused(
        f"{path} is in {type(space).__name__} ({space}), which is no fixed number of numbers; leave it out or convert it with "
        'a Python wrapper: env.wrappers = ["package.module:Wrapper"], such as minigrid.wrappers:ImgObsWrapper for Minigrid'
    )


def keys_and_spaces(space):
    return list(space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces))


def whole_of_parts(space, path):
    keys, labels, limits, writes, at = [], [], {"low": [], "high": []}, [], 0
    for key, inner in keys_and_spaces(space):
        place = f"{path}.{key}" if isinstance(space, spaces.Dict) else f"{path}[{key}]"
        its_labels, count, its_limits, write = part(inner, place)
        labels += its_labels
        for side in limits:
            limits[side] += its_limits[side]
        writes.append((key, at, at + count, write))
        keys.append(key)
        at += count
    kind = (dict,) if isinstance(space, spaces.Dict) else (tuple, list)

    def write_all(obs, out):
        if not isinstance(obs, kind) or len(obs) != len(keys):
            raise Refused(f"{path} is {type(obs).__name__} of {np.size(obs)}, expected one value for each of {keys}")
        for key, start, end, write in writes:
            try:
                value = obs[key]
            except KeyError:
                raise Refused(f"{path} has no {key!r}; its space has {keys}, and it has {list(obs)}") from None
            write(value, out[start:end])

    return labels, at, limits, write_all


def observations(space):
    if isinstance(space, spaces.Discrete):
        start, index = int(space.start), index_in(space, "the observation")

        def write_index(obs, out):
            out[0] = index(obs)

        label = f"observation - {start}" if start else "observation"
        return {"kind": "discrete", "n": [int(space.n)], "names": [label]}, write_index
    if isinstance(space, spaces.MultiDiscrete):
        indices = indices_in(space, "the observation")

        def write_indices(obs, out):
            out[...] = indices(obs)

        counts = np.asarray(space.nvec).ravel().tolist()
        return {"kind": "multi_discrete", "n": counts, "names": names("observation", space.shape)}, write_indices
    if isinstance(space, spaces.Box) and is_image(space):
        return image(space)
    labels, count, limits, write = part(space, "observation")
    if count == 0:
        raise Refused(f"its observation space {space} has no numbers")
    return {"kind": "box", "dtype": "f32", "shape": [count], **limits, "names": labels}, write


def bounded(space, path):
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise Refused(
            f"{path} is in {space}, which has no finite bounds, and actions are learned within bounds; give it some with "
            'a Python wrapper: env.wrappers = ["package.module:Wrapper"], a subclass of gymnasium.ActionWrapper whose '
            "action_space has bounds"
        )


def actions(space):
    if isinstance(space, spaces.Discrete):
        start, kind = int(space.start), getattr(space.dtype, "type", np.int64)
        label = f"action - {start}" if start else "action"
        description = {"kind": "discrete", "n": [int(space.n)], "names": [label]}
        if space.n > MOST_NAMES:
            return description, lambda row: kind(int(row[0]) + start)
        # Looking an action up is faster than making it.
        elements = [kind(start + i) for i in range(int(space.n))]
        return description, lambda row: elements[int(row.item(0))]
    if isinstance(space, spaces.MultiDiscrete):
        shape, dtype = space.shape, space.dtype
        starts = np.asarray(getattr(space, "start", np.zeros_like(space.nvec)))
        description = {"kind": "multi_discrete", "n": np.asarray(space.nvec).ravel().tolist()}
        read = lambda row: row.astype(dtype).reshape(shape) + starts.astype(dtype)  # noqa: E731
        return {**description, "names": names("action", shape)}, read
    if isinstance(space, spaces.MultiBinary):
        shape, dtype = space.shape, space.dtype
        description = {"kind": "multi_discrete", "n": [2] * int(np.prod(shape)), "names": names("action", shape)}
        return description, lambda row: row.astype(dtype).reshape(shape)
    if isinstance(space, spaces.Box):
        read = box_action(space, "the action")
        kind = "f32" if space.dtype.kind == "f" else "i32"
        count = int(np.prod(space.shape))
        limits = {"kind": "box", "dtype": kind, "shape": [count], **bounds(space.low, space.high)}
        return {**limits, "names": names("action", space.shape)}, read
    labels, count, limits, read = action_part(space, "action")
    return {"kind": "box", "dtype": "f32", "shape": [count], **limits, "names": labels}, read


def box_action(space, path):
    bounded(space, path)
    shape, dtype, low, high = space.shape, space.dtype, space.low, space.high
    if dtype == np.float32:
        return (lambda row: row.copy()) if len(shape) == 1 else (lambda row: row.reshape(shape).copy())
    if dtype.kind == "f":
        # A bound that is rounded to float32 may lie beyond the bound.
        return lambda row: np.clip(row.astype(dtype).reshape(shape), low, high)
    return lambda row: row.astype(dtype).reshape(shape)


def action_part(space, path):
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        count = int(np.prod(space.shape))
        limits = bounds(space.low, space.high)
        full = {side: (limits[side] * count if len(limits[side]) == 1 else limits[side]) for side in limits}
        return names(path, space.shape), count, full, box_action(space, path)
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        raise Refused(
            f"{path} is in {space}; actions can be a Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of "
            "real-valued Boxes; convert others with a Python wrapper (env.wrappers), a subclass of gymnasium.ActionWrapper"
        )
    labels, limits, reads, at = [], {"low": [], "high": []}, [], 0
    for key, inner in keys_and_spaces(space):
        place = f"{path}.{key}" if isinstance(space, spaces.Dict) else f"{path}[{key}]"
        its_labels, count, its_limits, read = action_part(inner, place)
        labels += its_labels
        for side in limits:
            limits[side] += its_limits[side]
        reads.append((key, at, at + count, read))
        at += count
    if isinstance(space, spaces.Dict):
        return labels, at, limits, lambda row: {key: read(row[a:b]) for key, a, b, read in reads}
    return labels, at, limits, lambda row: tuple(read(row[a:b]) for _, a, b, read in reads)
