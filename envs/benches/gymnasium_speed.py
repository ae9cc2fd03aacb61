"""Steps per second of a Gymnasium environment with random actions, including resets, as `sac bench env` measures for ours.

    python envs/benches/gymnasium_speed.py Pendulum-v1 [seconds]

Needs gymnasium==1.4.0 (with the extra `mujoco` and mujoco==3.17.0 for its tasks). Prints one JSON object.
"""

import json
import os
import sys
import tempfile
import time

import gymnasium


def main():
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    env = gymnasium.make(name)
    env.action_space.seed(0)
    env.reset(seed=0)
    # Drawing actions is not the environment's work: they are drawn before.
    actions = [env.action_space.sample() for _ in range(1000)]
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        steps += len(actions)
    print(json.dumps({"env": name, "steps_per_s": steps / (time.perf_counter() - began)}))


# MuJoCo's Python bindings write their warnings into a file of the current folder.
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
    os.chdir("/")
