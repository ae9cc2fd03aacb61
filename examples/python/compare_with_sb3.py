"""Trains SAC of this package and of Stable-Baselines3 on the same environment, with the same networks and settings.

    pip install stable-baselines3
    python examples/python/compare_with_sb3.py [STEPS]
"""

import sys
import time

from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import sac

ENV = "Pendulum-v1"
EPISODES = 10


def ours(steps):
    began = time.perf_counter()
    run = sac.train(
        ENV,
        steps=steps,
        seed=0,
        config="none",
        agent__learning_rate=3e-4,
        train__warmup_env_steps=100,
        eval__every="never",
    )
    return sac.load(run), time.perf_counter() - began


def theirs(steps):
    began = time.perf_counter()
    # The environment is ours: bit for bit Gymnasium's, and faster.
    model = SAC("MlpPolicy", sac.make(ENV), learning_rate=3e-4, learning_starts=100, seed=0, device="cpu")
    model.learn(steps)
    return model, time.perf_counter() - began


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    for name, train in [("sac", ours), ("Stable-Baselines3", theirs)]:
        policy, seconds = train(steps)
        env = Monitor(sac.make(ENV))
        env.reset(seed=1)
        # Stable-Baselines3 scores both: a policy of sac has the same `predict`.
        mean, std = evaluate_policy(policy, env, n_eval_episodes=EPISODES)
        print(f"{name}: {seconds:.1f} s for {steps} env steps, return {mean:.1f} ± {std:.1f} over {EPISODES} episodes")


if __name__ == "__main__":
    main()
