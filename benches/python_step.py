"""What a step of a Python environment costs when the trainer makes it.

    cargo build --release -p sac-envs --example python_speed && cargo build --release
    python3 benches/python_step.py PYTHON [--train]

PYTHON is an interpreter with gymnasium and mujoco. Compares, in turn, a loop in Python with the same steps through a worker
process; with --train also runs of `sac train` on HalfCheetah-v5, from Python and native, after their start. Medians.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# Where the programs are; SAC_TARGET=target/debug measures those of the dev profile, which is optimised too.
TARGET = Path(__file__).resolve().parent.parent / os.environ.get("SAC_TARGET", "target/release")
ROUNDS = 5
LOOP = """
import sys, time, gymnasium, numpy as np
env = gymnasium.make(sys.argv[1], disable_env_checker=True)
env.action_space.seed(0)
action, steps = env.action_space.sample(), int(sys.argv[2])
env.reset(seed=0)
def run(steps):
    began = time.perf_counter()
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            env.reset()
    return (time.perf_counter() - began) / steps * 1e6
run(steps // 10)
print(run(steps))
"""


def steps(python):
    for env, count in [("Pendulum-v1", 20000), ("CartPole-v1", 20000), ("HalfCheetah-v5", 10000)]:
        loop, worker = [], []
        for _ in range(ROUNDS):
            out = subprocess.run([python, "-c", LOOP, env, str(count)], check=True, capture_output=True, text=True)
            loop.append(float(out.stdout))
            speed = TARGET / "examples/python_speed"
            words = [speed, f"py:{env}", str(count), f"python = {python!r}"]
            out = subprocess.run(words, check=True, capture_output=True, text=True)
            worker.append(json.loads(out.stdout)["step_us"])
        alone, through = statistics.median(loop), statistics.median(worker)
        print(f"{env}: {alone:.1f} µs in a loop, {through:.1f} µs through a worker, {through - alone:+.1f} µs", flush=True)


def train(python):
    times = {"": [], "py:": []}
    for _ in range(3):
        for prefix, found in times.items():
            with tempfile.TemporaryDirectory() as folder:
                words = [TARGET / "sac", "train", "--env", f"{prefix}HalfCheetah-v5", "--steps", "2500"]
                words += ["--set", "eval.every='never'", "--run-dir", f"{folder}/run", "--quiet"]
                words += ["--set", f"env.python={python}"] if prefix else []
                subprocess.run(words, check=True, capture_output=True)
                rows = [json.loads(line) for line in Path(folder, "run/metrics.jsonl").read_text().splitlines()]
                found.append(rows[-1]["seconds"])
    native, ours = (statistics.median(found) for found in times.values())
    print(f"2500 steps of HalfCheetah-v5: {native:.1f} s native, {ours:.1f} s from Python, {ours / native:.3f} times as long")


if __name__ == "__main__":
    steps(sys.argv[1])
    if "--train" in sys.argv:
        train(sys.argv[1])
