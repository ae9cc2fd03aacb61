"""An environment whose observations, actions, rewards and ends are rows of numbers.

A worker process runs this, and so does the package `sac` in its own interpreter, so that both see the same bits. `spaces.py`
and `goals.py` stand in front of this file.
"""

import json
import random
import traceback


class Hosted:
    """An environment and its rows in shared memory."""

    def __init__(self, env):
        self.env = env
        self.observation, self.write = observations(env.observation_space)
        self.action, self.read = actions(env.action_space)
        self.goals = goals_of(env)
        self.is_reset = False
        # The state of its generator before the last reset, if that had no seed.
        self.generator_before = None
        spec = getattr(env, "spec", None)
        unwrapped = getattr(env, "unwrapped", env)
        self.description = {
            "observation": self.observation,
            "action": self.action,
            "goals": self.goals and self.goals.layout,
            "time_limit": getattr(spec, "max_episode_steps", None),
            "entry": f"{type(unwrapped).__module__}.{type(unwrapped).__qualname__}",
            "about": (type(unwrapped).__doc__ or "").strip().split("\n\n")[0],
            "stack": str(env),
        }

    def dtype(self):
        """Of the row of an observation."""
        return np.uint8 if self.observation.get("dtype") == "u8" else np.float32

    def place(self, row, out, end):
        """The rows in memory: of the action, of the observation, and of reward and flags."""
        self.row, self.out, self.end = row, out, end

    def returned(self):
        """Called when the environment has returned, before anything is written."""

    def reset(self, seed=None, generator=None):
        if generator is not None:
            self.unwrapped_generator().bit_generator.state = decoded(generator)
        self.generator_before = None
        if seed is None:
            # With this, the episode can be played again.
            generator = self.unwrapped_generator()
            if generator is not None:
                self.generator_before = generator.bit_generator.state
            result = self.env.reset()
        else:
            random.seed(seed)
            np.random.seed(seed & 0xFFFFFFFF)
            result = self.seeded(seed)
        self.returned()
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise Refused(
                f"reset returned {described(result)}, expected (observation, info): this looks like the interface of gym "
                "before 0.26; update the environment, or convert it with the package shimmy"
            )
        self.write(result[0], self.out)
        self.is_reset = True

    def seeded(self, seed):
        try:
            return self.env.reset(seed=seed)
        except (OverflowError, ValueError):
            # NumPy's older generators, which dm_control has, take seeds of 32 bits.
            if seed < 1 << 32:
                raise
            return self.env.reset(seed=seed & 0xFFFFFFFF)

    def generator(self):
        """The state that the generator had before the last reset without a seed, if it is one of Gymnasium's."""
        return None if self.generator_before is None else encoded(self.generator_before)

    def unwrapped_generator(self):
        generator = getattr(getattr(self.env, "unwrapped", self.env), "np_random", None)
        return generator if isinstance(generator, np.random.Generator) else None

    def step(self):
        result = self.env.step(self.read(self.row))
        self.returned()
        try:
            obs, reward, terminated, truncated, info = result
        except (TypeError, ValueError):
            raise Refused(
                f"step returned {described(result)}, expected (observation, reward, terminated, truncated, info): four "
                "values are the interface of gym before 0.26; update the environment, or convert it with the package shimmy"
            ) from None
        self.write(obs, self.out)
        kind = type(reward)
        if kind is not float and kind is not np.float64:
            reward = number(reward)
        self.end[0] = reward
        if terminated is not False or truncated is not False:
            self.end[1] = flag(terminated, "terminated") + 2 * flag(truncated, "truncated")
        else:
            self.end[1] = 0.0
        if info:
            self.end[1] += success_flags(info)

    def goal_outcomes(self, count, data):
        """What steps earn with other goals: see `Goals.outcomes`."""
        if self.goals is None:
            raise Refused("it has no goals")
        return self.goals.outcomes(count, data)

    def render(self):
        if not self.is_reset:
            self.env.reset(seed=0)
        picture = self.env.render()
        if isinstance(picture, list) and picture:
            picture = picture[-1]
        picture = np.asarray(picture)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
            mode = getattr(self.env, "render_mode", None)
            raise Refused(
                f"render() returned {described(picture)} with render_mode {mode!r}, expected an array of rows, columns and "
                'three colours as uint8; set env.kwargs = { render_mode = "rgb_array" }'
            )
        rows, columns = picture.shape[:2]
        return {"height": rows, "width": columns}, np.ascontiguousarray(picture[:, :, :3]).tobytes()


# Beside 1 for terminated and 2 for truncated: whether the info says anything about success, and what it says.
KNOWS_SUCCESS, SUCCESS = 4.0, 8.0


def success_flags(info):
    if not isinstance(info, dict):
        return 0.0
    # Gymnasium-Robotics has both words.
    success = info.get("is_success", info.get("success"))
    if success is None:
        return 0.0
    try:
        return KNOWS_SUCCESS + SUCCESS * bool(success)
    except ValueError:
        raise Refused(f'info["is_success"] is {described(success)}, expected True or False') from None


def number(reward):
    array = np.asarray(reward)
    if array.shape != () or array.dtype.kind not in "fiub":
        raise Refused(f"the reward is {described(reward)}, expected one number; return float(reward)")
    return float(array)


def flag(value, what):
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return float(value)
    raise Refused(f"{what} is {described(value)}, expected True or False")


def described(value):
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}: {', '.join(type(x).__name__ for x in value[:6])}"
    return f"{type(value).__name__} {str(value)[:80]!r}"


def encoded(state):
    """The state of a generator as JSON: arrays become lists with their dtype."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, np.ndarray):
            return {"__array__": value.tolist(), "dtype": str(value.dtype)}
        return value.item() if isinstance(value, np.generic) else value

    return json.dumps(plain(state))


def decoded(text):
    def whole(found):
        return np.array(found["__array__"], dtype=found["dtype"]) if "__array__" in found else found

    return json.loads(text, object_hook=whole)


def explained(error):
    """An exception as the trainer shows it: without the frames of this script."""
    if isinstance(error, Refused):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace)).strip().split("\n")
    if len(lines) > 40:
        lines = [*lines[:8], f"  … {len(lines) - 38} lines …", *lines[-30:]]
    return "\n".join(lines)
