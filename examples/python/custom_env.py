"""Trains on an environment of one's own: a cart that has to stop at a mark.

    python examples/python/custom_env.py [STEPS]
"""

import sys

import gymnasium
import numpy as np

import sac


class Cart(gymnasium.Env):
    """A cart on a rail. The action is its acceleration, and the reward minus the distance from the mark."""

    observation_space = gymnasium.spaces.Dict(
        {
            "place_m": gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64),
            "speed_m_s": gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64),
        }
    )
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, dt_s: float = 0.1, steps: int = 100):
        self.dt_s, self.limit = dt_s, steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.place_m, self.speed_m_s = self.np_random.uniform(-2.0, 2.0), 0.0
        return self._observation(), {}

    def step(self, action):
        self.speed_m_s += float(action[0]) * self.dt_s
        self.place_m += self.speed_m_s * self.dt_s
        self.steps += 1
        return self._observation(), -abs(self.place_m), False, self.steps >= self.limit, {}

    def _observation(self):
        return {"place_m": np.array([self.place_m]), "speed_m_s": np.array([self.speed_m_s])}


def show(row):
    """Prints evaluations; other rows are those of the log."""
    if "eval/mean_reward" in row:
        print(f"{row['env_steps']:6.0f} env steps: mean return {row['eval/mean_reward']:.1f}")


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 6_000
    # The class is a callable that makes environments, so there can be several, and others to score in.
    run = sac.train(
        Cart,
        steps=steps,
        seed=0,
        num_envs=2,
        callback=show,
        agent__body__hidden=[64, 64],
        train__warmup_env_steps=500,
        eval__every__env_steps=2_000,
    )
    policy = sac.load(run)
    cart = Cart()
    observation, _ = cart.reset(seed=1)
    for _ in range(cart.limit):
        action, _ = policy.predict(observation)
        observation, *_ = cart.step(action)
    print(f"in the end the cart is {abs(cart.place_m):.2f} m from the mark; the run is in {run.path}")


if __name__ == "__main__":
    main()
