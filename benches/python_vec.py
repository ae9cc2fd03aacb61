"""Vectorised Python environments: `sac`'s workers beside Stable-Baselines3's SubprocVecEnv and DummyVecEnv.

    cargo build --release
    python3 benches/python_vec.py PYTHON [ID [NUM_ENVS]]

PYTHON is the interpreter of a virtual environment with stable-baselines3. Steps NUM_ENVS environments (4 of Pendulum-v1)
with random actions that were drawn before, in turn. Medians of 5 rounds, and the highest.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / os.environ.get("SAC_TARGET", "target/release")
ROUNDS = 5
SECONDS = 3
PEER = """
import sys, time, gymnasium, numpy as np
from stable_baselines3.common import vec_env

if __name__ == "__main__":
    kind, env_id, num_envs, seconds = getattr(vec_env, sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    envs = kind([lambda: gymnasium.make(env_id)] * num_envs)
    envs.action_space.seed(0)
    actions = [np.stack([envs.action_space.sample() for _ in range(num_envs)]) for _ in range(1000)]
    envs.reset()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(100):
            envs.step(actions[steps % 1000])
            steps += 1
    print(num_envs * steps / (time.perf_counter() - began))
    envs.close()
"""


def main(python, env_id="Pendulum-v1", num_envs="4"):
    python = Path(python).absolute()
    surroundings = {**os.environ, "VIRTUAL_ENV": str(python.parent.parent)}
    ours = [TARGET / "sac", "bench", "env", "--env", f"py:{env_id}", "--num-envs", num_envs, "--seconds", str(SECONDS), "--json"]
    peers = {name: [python, "-c", PEER, name, env_id, num_envs, str(SECONDS)] for name in ("SubprocVecEnv", "DummyVecEnv")}
    rates = {"sac": [], **{name: [] for name in peers}}
    for _ in range(ROUNDS):
        out = subprocess.run(ours, check=True, capture_output=True, text=True, env=surroundings)
        rates["sac"].append(json.loads(out.stdout)["env_steps_per_second"])
        for name, words in peers.items():
            out = subprocess.run(words, check=True, capture_output=True, text=True)
            rates[name].append(float(out.stdout.split()[-1]))
    for name, found in rates.items():
        print(f"{num_envs} {env_id}, {name}: {statistics.median(found):.0f} env steps/s, at best {max(found):.0f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
