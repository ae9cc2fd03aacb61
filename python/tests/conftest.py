"""What the tests share."""

import sys
import types

import gymnasium
import numpy as np
import pytest

# Small enough that a run takes a second.
SMALL = {
    "config": "none",
    "agent__body__hidden": [16, 16],
    "replay__capacity": 5_000,
    "train__warmup_env_steps": 100,
    "train__batch_size": 32,
    "train__threads": 1,
    "log__every__env_steps": 100,
    "eval__every__env_steps": 200,
    "eval__episodes": 3,
    "progress": False,
}


class Puck(gymnasium.Env):
    """A puck on a line, which the policy pushes to the middle."""

    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, limit: int = 50, fails_at: int | None = None):
        self.limit, self.fails_at, self.closed = limit, fails_at, 0
        self.total = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.place, self.speed = 0, self.np_random.uniform(-1.0, 1.0), 0.0
        return self._obs(), {}

    def _obs(self):
        return np.array([self.place, self.speed])

    def step(self, action):
        self.total += 1
        if self.total == self.fails_at:
            raise ZeroDivisionError("the puck is lost")
        self.speed = 0.9 * self.speed + 0.1 * float(action[0])
        self.place += self.speed
        self.steps += 1
        return self._obs(), -abs(self.place), abs(self.place) > 5.0, self.steps >= self.limit, {}

    def close(self):
        self.closed += 1


@pytest.fixture
def small():
    return dict(SMALL)


@pytest.fixture
def puck():
    return Puck


@pytest.fixture
def importable_puck(monkeypatch):
    """The class in a module that other code can import, too."""
    module = types.ModuleType("puck_of_the_tests")
    kind = type("ImportablePuck", (Puck,), {"__module__": module.__name__, "__qualname__": "ImportablePuck"})
    module.ImportablePuck = kind
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return kind


def same_runs(one, other):
    """Whether two runs logged the same numbers, but for those that tell time, and learned the same policy."""
    import sac

    def timeless(run):
        return [
            {
                name: value
                for name, value in row.items()
                if not name.startswith("time/") and name not in ("seconds", "fps")
            }
            for row in run.rows()
        ]

    assert timeless(one) == timeless(other)
    first, second = (sac.load(run, "last", env=run._env).state_dict() for run in (one, other))
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.array_equal(values, second[name]), name
