"""How fast the package for Python steps environments.

    pip install ./python envpool
    python benches/python_package.py [steps] [object]

`steps` compares `sac.make_vec` with EnvPool's synchronous environments: the same number of environments and threads
(THREADS=N, by default the cores), and the same actions. `object` compares the steps of a Gymnasium environment in a loop of
Python with those of a training in the same interpreter that makes no updates: the median time from the beginning of a step
to that of the next, which in a training includes choosing an action and storing the transition. `steps` prints the median of
five rounds, `object` the fastest, so that other work on the machine counts less.
"""

import os
import statistics
import sys
import tempfile
import time

import gymnasium

import sac

ROUNDS = 5
NUM_ENVS = 16


def rate(step, actions, seconds=1.0):
    """Env steps per second of all environments."""
    for _ in range(50):
        step(actions)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(50):
            step(actions)
        count += 50
    return count * len(actions) / (time.perf_counter() - began)


def compare_steps():
    import envpool

    threads = int(os.environ.get("THREADS", len(os.sched_getaffinity(0))))
    for env_id, theirs_id in [("HalfCheetah-v5", "HalfCheetah-v5"), ("Pendulum-v1", "Pendulum-v1")]:
        ours = sac.make_vec(env_id, NUM_ENVS, threads=threads if env_id == "HalfCheetah-v5" else 1)
        try:
            theirs = envpool.make_gymnasium(theirs_id, num_envs=NUM_ENVS, num_threads=threads)
        except Exception:
            theirs = envpool.make_gymnasium(theirs_id.replace("v5", "v4"), num_envs=NUM_ENVS, num_threads=threads)
        ours.reset(seed=0)
        theirs.reset()
        ours.action_space.seed(0)
        actions = ours.action_space.sample()
        found = {"sac": [], "EnvPool": []}
        for _ in range(ROUNDS):
            found["sac"].append(rate(ours.step, actions))
            found["EnvPool"].append(rate(theirs.step, actions))
        one, other = (statistics.median(rates) for rates in found.values())
        print(
            f"{env_id}, {NUM_ENVS} environments, THREADS={threads}: {one:,.0f} steps/s of sac.make_vec, "
            f"{other:,.0f} of EnvPool, {one / other:.2f} ×",
            flush=True,
        )


class Timed(gymnasium.Wrapper):
    """Notes when each step begins."""

    began: list[float] = []

    def step(self, action):
        Timed.began.append(time.perf_counter())
        return self.env.step(action)


def median_us():
    """Median time from the beginning of a step to that of the next."""
    pairs = zip(Timed.began, Timed.began[1:])
    median = statistics.median(later - earlier for earlier, later in pairs) * 1e6
    Timed.began.clear()
    return median


def loop_us(make, steps):
    env = Timed(make())
    env.action_space.seed(0)
    env.reset(seed=0)
    # Training acts at random too: other actions lead to other contacts and to other ends.
    for action in [env.action_space.sample() for _ in range(steps)]:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return median_us()


def training_us(make, steps, algo):
    settings = {
        "config": "none",
        "progress": False,
        "train__threads": 1,
        "train__warmup_env_steps": steps,
        "eval__every": "never",
        "checkpoint__every": "never",
        "log__every": "never",
        "replay__capacity": 1000,
        "agent__body__hidden": [8],
    }
    with tempfile.TemporaryDirectory() as folder:
        sac.train(lambda: Timed(make()), algo, steps=steps, seed=0, run_dir=f"{folder}/run", **settings)
    return median_us()


def compare_object():
    for env_id, count, algo in [
        ("Pendulum-v1", 20_000, "sac"),
        ("CartPole-v1", 20_000, "sac-discrete"),
        ("HalfCheetah-v5", 8_000, "sac"),
    ]:

        def make(env_id=env_id):
            return gymnasium.make(env_id, disable_env_checker=True)

        loop, training = [], []
        for _ in range(ROUNDS):
            loop.append(loop_us(make, count))
            training.append(training_us(make, count, algo))
        alone, trained = min(loop), min(training)
        print(
            f"{env_id}: {alone:.1f} µs in a loop, {trained:.1f} µs in a training, {trained - alone:+.1f} µs", flush=True
        )


if __name__ == "__main__":
    asked = sys.argv[1:] or ["steps", "object"]
    if "steps" in asked:
        compare_steps()
    if "object" in asked:
        compare_object()
