"""Soft Actor-Critic of Stable-Baselines3 on this machine: updates alone, or a whole run. Prints one JSON line.

    python with_sb3.py update --threads 2 --seconds 5
    python with_sb3.py train HalfCheetah-v5 --threads 2 --steps 20000

Settings are those of `sac train`: batches of 256, two layers of 256, an update per step.
"""

import argparse
import json
import time

import gymnasium
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.logger import configure

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["update", "train"])
parser.add_argument("env", nargs="?", default="HalfCheetah-v5")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=5.0)
parser.add_argument("--steps", type=int, default=20_000)
parser.add_argument("--warmup", type=int, default=1_000)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
result = {"peer": "sb3", "what": arguments.what, "env": arguments.env, "threads": arguments.threads}

model = SAC(
    "MlpPolicy",
    gymnasium.make(arguments.env),
    batch_size=256,
    learning_starts=arguments.warmup,
    device="cpu",
    seed=1,
)
if arguments.what == "update":
    model.learn(300 if arguments.warmup > 300 else arguments.warmup)  # fills the replay; nothing is learned yet
    model.set_logger(configure(None, []))
    model.train(gradient_steps=50, batch_size=256)
    started, updates = time.perf_counter(), 0
    while time.perf_counter() - started < arguments.seconds:
        model.train(gradient_steps=20, batch_size=256)
        updates += 20
    result["updates_per_second"] = updates / (time.perf_counter() - started)
else:
    started = time.perf_counter()
    model.learn(arguments.steps)
    result["seconds"] = time.perf_counter() - started
    result["env_steps"] = arguments.steps
print(json.dumps(result))
