"""SAC, DroQ, TQC or CrossQ of SBX (JAX) on this machine: updates alone, or a whole run. Prints one JSON line.

    python with_sbx.py update --seconds 5
    python with_sbx.py update --algo crossq
    python with_sbx.py train HalfCheetah-v5 --steps 20000

Settings are those of `side_by_side.py` for `sac`: batches of 256, two layers of 256, an update per step. JAX takes the cores that
the process may run on: `taskset -c 0` for one.
"""

import argparse
import json
import os
import time

import gymnasium
from sbx import SAC, TQC, CrossQ
from stable_baselines3.common.logger import configure

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["update", "train"])
parser.add_argument("env", nargs="?", default="HalfCheetah-v5")
parser.add_argument("--algo", choices=["sac", "droq", "tqc", "crossq"], default="sac")
parser.add_argument("--seconds", type=float, default=5.0)
parser.add_argument("--steps", type=int, default=20_000)
parser.add_argument("--warmup", type=int, default=1_000)
arguments = parser.parse_args()
result = {
    "peer": "sbx",
    "what": arguments.what,
    "algo": arguments.algo,
    "env": arguments.env,
    "threads": len(os.sched_getaffinity(0)),
}

# The class, its arguments, and those of its policy.
algo, more, policy = {
    "sac": (SAC, {}, {}),
    "droq": (SAC, {"policy_delay": 20}, {"dropout_rate": 0.01, "layer_norm": True}),
    "tqc": (TQC, {}, {"n_critics": 2, "n_quantiles": 25}),
    "crossq": (CrossQ, {"policy_delay": 3}, {"net_arch": {"pi": [256, 256], "qf": [1024, 1024]}}),
}[arguments.algo]
model = algo(
    "MlpPolicy",
    gymnasium.make(arguments.env),
    batch_size=256,
    learning_starts=arguments.warmup,
    policy_kwargs={"net_arch": [256, 256], **policy},
    seed=1,
    **more,
)
# One call of `train` compiles for so many updates, and runs them without Python in between.
CHUNK = 50
if arguments.what == "update":
    model.learn(300)  # fills the replay; nothing is learned yet
    model.set_logger(configure(None, []))
    for _ in range(2):
        model.train(batch_size=256, gradient_steps=CHUNK)
    started, updates = time.perf_counter(), 0
    while time.perf_counter() - started < arguments.seconds:
        model.train(batch_size=256, gradient_steps=CHUNK)
        updates += CHUNK
    result["updates_per_second"] = updates / (time.perf_counter() - started)
else:
    started = time.perf_counter()
    model.learn(arguments.steps)
    result["seconds"] = time.perf_counter() - started
    result["env_steps"] = arguments.steps
print(json.dumps(result))
