"""Environments for the tests of Python environments: every kind of space, and every kind of fault."""

import os
import sys
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Task(gymnasium.Env):
    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.t += 1
        return self.observe(), self.score(action), False, self.t == 5, {}

    def observe(self):
        return np.full(2, self.t / 10, np.float32)

    def score(self, action):
        return 1.0


class Spaces(Task):
    """`kind` is one of the functions below: spaces, an observation, and the score of an action."""

    def __init__(self, kind):
        self.observation_space, self.action_space, self.observe, self.score = globals()[kind]()


def composite():
    space = spaces.Dict(
        {
            "b": spaces.Box(-2.0, np.inf, (2, 1), np.float64),
            "a": spaces.Discrete(3, start=-1),
            "c": spaces.Tuple((spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3]))),
        }
    )
    obs = {"a": np.int64(1), "b": np.array([[0.1], [7.0]]), "c": (np.array([1, 0], np.int8), np.array([1, 2]))}
    flat = spaces.flatten(space, obs).astype(np.float32)
    expected = [0, 0, 1, 0.1, 7, 1, 0, 0, 1, 0, 0, 1]
    assert np.array_equal(flat, np.array(expected, np.float32)), flat
    actions = spaces.Dict({"x": spaces.Box(-1, 1, (2,)), "y": spaces.Tuple([spaces.Box(0.0, 0.5, (1,), np.float64)])})
    return space, actions, lambda: obs, lambda a: float(a["x"][0] + 10 * a["x"][1] + 100 * a["y"][0][0])


def picture_last():
    space = spaces.Box(0, 255, (4, 5, 3), np.uint8)
    return space, spaces.Discrete(3, start=5), lambda: np.arange(60, dtype=np.uint8).reshape(4, 5, 3), float


def picture_first():
    space = spaces.Box(0, 255, (1, 4, 5), np.uint8)
    actions = spaces.MultiDiscrete([3, 4])
    return space, actions, lambda: np.arange(20, dtype=np.uint8).reshape(1, 4, 5), lambda a: float(a[0] + 10 * a[1])


def discrete():
    return spaces.Discrete(4, start=2), spaces.MultiBinary(3), lambda: 5, lambda a: float(a @ [1, 10, 100])


def integers():
    space = spaces.Box(-5, 300, (2, 2), np.int64)
    return space, spaces.Box(0, 7, (2,), np.int32), lambda: np.array([[1, -2], [3, 300]]), lambda a: float(a[0] + 10 * a[1])


def text():
    space = spaces.Dict({"mission": spaces.Text(9), "x": spaces.Box(-1, 1, (1,))})
    return space, spaces.Discrete(2), dict, float


def unbounded():
    return Task.observation_space, spaces.Box(-np.inf, np.inf, (2,)), lambda: np.zeros(2, np.float32), float


def sequence_action():
    return Task.observation_space, spaces.Sequence(spaces.Discrete(2)), lambda: np.zeros(2, np.float32), float


class Keep(gymnasium.ObservationWrapper):
    """Leaves the mission out."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Box(-1, 1, (1,))

    def observation(self, obs):
        return np.zeros(1, np.float32)


class Faulty(Task):
    """Fails at its third step, in the way that `fault` names."""

    def __init__(self, fault):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return obs if self.fault == "old_reset" else (obs, info)

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        if self.t == 3:
            if self.fault == "raise":
                self.helper()
            if self.fault == "exit":
                sys.exit("the simulator quits")
            if self.fault == "die":
                print("the simulator is about to die", file=sys.stderr)
                os._exit(3)
            if self.fault == "crash":
                os.kill(os.getpid(), 11)
            if self.fault == "hang":
                time.sleep(600)
            if self.fault == "shape":
                obs = np.zeros(3, np.float32)
            if self.fault == "dtype":
                obs = np.array(["a", "b"])
            if self.fault == "nan":
                obs = np.array([0.0, np.nan], np.float32)
            if self.fault == "outside":
                obs = np.array([0.0, 1.5], np.float32)
            if self.fault == "reward":
                reward = np.array([1.0, 2.0])
            if self.fault == "reward_text":
                reward = "1"
            if self.fault == "reward_nan":
                reward = float("nan")
            if self.fault == "flag":
                terminated = None
            if self.fault == "four":
                return obs, reward, terminated, info
            if self.fault == "print":
                for i in range(20000):
                    print("x" * 100, i)
                    os.write(1, b"straight to the descriptor\n")
            if self.fault == "fork" and os.fork() == 0:
                # A copy that returns from its step while the worker is in the next one, as if it were the worker.
                time.sleep(0.05)
                return np.full(2, -1.0, np.float32), -7.0, True, False, {}
        if self.fault == "fork" and self.t == 4:
            time.sleep(0.2)
        return obs, reward, terminated, truncated, info

    def helper(self):
        raise ValueError("the arm is out of reach")


class Drift(Task):
    """A function of its seed and its actions, unless `own` is set: then it has a generator that nobody can seed."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))

    def __init__(self, own=False):
        self.own = np.random.default_rng() if own else None

    def observe(self):
        return (self.own or self.np_random).normal(size=2).astype(np.float32)


class OldSeeds(Task):
    """Its generator takes seeds of 32 bits."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.generator = np.random.RandomState(seed)
        return super().reset(seed=seed)

    def observe(self):
        return self.generator.normal(size=2).astype(np.float32)


class Reach(Task):
    """A task with goals: `t` steps lead to `t`. `kind` is "whole", "unending" or "single"."""

    goal = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    observation_space = spaces.Dict(
        {"observation": spaces.Box(-1.0, 1.0, (2,)), "achieved_goal": goal, "desired_goal": goal}
    )

    def __init__(self, kind):
        self.kind = kind
        if kind != "unending":
            self.compute_terminated = lambda achieved, desired, info: bool(achieved[0] == desired[0])

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self.t = 0
        self.desired = self.np_random.integers(2, 5, 1).astype(np.float64)
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        achieved = np.array([float(self.t)])
        reward = float(self.compute_reward(achieved[None], self.desired[None], [{}])[0])
        is_there = bool(achieved == self.desired)
        ends = is_there and self.kind != "unending"
        return self.observe(), reward, ends, self.t == 5, {"is_success": np.float32(is_there)}

    def observe(self):
        state = np.full(2, self.t / 10, np.float32)
        return {"observation": state, "achieved_goal": np.array([float(self.t)]), "desired_goal": self.desired}

    def compute_reward(self, achieved, desired, info):
        if self.kind == "single" and len(achieved) > 1:
            return -float(np.linalg.norm(achieved - desired))
        assert achieved.dtype == np.float64 and len(info) == len(achieved)
        return -np.linalg.norm(achieved - desired, axis=-1)


class Unmade(Task):
    def __init__(self, size):
        self.size = size


def needs_a_package():
    import a_package_that_nobody_has  # noqa: F401


not_callable = 3
