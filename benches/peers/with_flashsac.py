"""Updates per second of FlashSAC's own code (PyTorch) on this machine's CPU. Prints one JSON line.

    git clone https://github.com/Holiday-Robot/FlashSAC peers/flashsac && git -C peers/flashsac checkout 87edc90
    python with_flashsac.py --code peers/flashsac --threads 2 --seconds 5

Needs torch, gymnasium, pyyaml and omegaconf. Settings are those of the code for MuJoCo on a CPU
(`scripts/run_mujoco.sh`): batches of 512, networks compiled by `torch.compile`. Transitions are random, with the sizes
of Humanoid-v5.
"""

import argparse
import dataclasses
import json
import sys
import time
import types

parser = argparse.ArgumentParser()
parser.add_argument("--code", required=True)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=5.0)
parser.add_argument("--obs-dim", type=int, default=348)
parser.add_argument("--act-dim", type=int, default=17)
parser.add_argument("--batch", type=int, default=512)
parser.add_argument("--eager", action="store_true", help="without torch.compile")
arguments = parser.parse_args()

import gymnasium
import numpy as np
import torch
import yaml

torch.set_num_threads(arguments.threads)
sys.path.insert(0, arguments.code)
# The code names an array type of JAX in an annotation, and calls nothing of it.
jax = types.ModuleType("jax")
jax.numpy = types.ModuleType("jax.numpy")
jax.numpy.ndarray = np.ndarray
sys.modules.update({"jax": jax, "jax.numpy": jax.numpy})
from flash_rl.agents.flashSAC.agent import FlashSACAgent, FlashSACConfig

with open(f"{arguments.code}/configs/agent/flashSAC.yaml") as file:
    settings = yaml.safe_load(file)
settings |= {
    "seed": 1,
    "device_type": "cpu",
    "buffer_device_type": "cpu",
    "buffer_max_length": 20_000,
    "buffer_min_length": 1_000,
    "sample_batch_size": arguments.batch,
    "learning_rate_warmup_step": 1,
    "learning_rate_decay_step": 1_000_000,
    "critic_min_v": -5.0,
    "critic_max_v": 5.0,
    "gamma": 0.99,
    "n_step": 1,
    "use_amp": False,
    "use_compile": not arguments.eager,
    "asymmetric_observation": False,
}
names = {field.name for field in dataclasses.fields(FlashSACConfig)}
# YAML reads 3e-4 as text.
values = {name: float(value) if isinstance(value, str) and "e-" in value else value for name, value in settings.items()}
config = FlashSACConfig(**{name: values[name] for name in names})
observation = gymnasium.spaces.Box(-np.inf, np.inf, (1, arguments.obs_dim), np.float32)
action = gymnasium.spaces.Box(-1.0, 1.0, (1, arguments.act_dim), np.float32)
agent = FlashSACAgent(observation, action, {}, config)

rng = np.random.default_rng(1)
for _ in range(2_000):
    agent.process_transition(
        {
            "observation": rng.standard_normal((1, arguments.obs_dim), np.float32),
            "next_observation": rng.standard_normal((1, arguments.obs_dim), np.float32),
            "action": rng.uniform(-1.0, 1.0, (1, arguments.act_dim)).astype(np.float32),
            "reward": rng.standard_normal(1, np.float32),
            "terminated": np.zeros(1, bool),
            "truncated": np.zeros(1, bool),
        }
    )
assert agent.can_start_training()
for _ in range(4):  # compiles
    agent.update()
started, updates = time.perf_counter(), 0
while time.perf_counter() - started < arguments.seconds:
    agent.update()
    updates += 1
print(
    json.dumps(
        {
            "peer": "flashsac",
            "threads": arguments.threads,
            "compiled": not arguments.eager,
            "updates_per_second": updates / (time.perf_counter() - started),
        }
    )
)
