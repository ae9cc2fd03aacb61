"""Golden traces of the MuJoCo tasks of Gymnasium and Gymnasium-Robotics, for `envs/tests/mujoco.rs`.

Usage: python generate.py > traces.json        (gymnasium 1.4.0, mujoco 3.17.0, numpy 2.4)
       python generate.py --unstable > unstable.json
       python generate.py --fetch > fetch.json       (gymnasium-robotics 1.4.2 besides)

With `--unstable` the cases are those of UNSTABLE in compare.py, whose simulations diverge. Their `options` are empty; the
key `model` has the model file and its time step.

Every case resets once with a seed and goes on through episode ends with unseeded resets. The actions are those of
`cargo xtask parity` for the same seed. Every reward is written down, and the observation, as float32, of every reset
and of every 20th step: what happens between shows in it. A task that says whether it is solved has that behind its flags.
Floats read back to the same bits.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import gymnasium as gym
import gymnasium_robotics
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[3] / "parity"))
from compare import OPTIONS, UNSTABLE, make, random_actions, register_robotics, toml, with_time_step

STEPS, OBSERVED_EVERY, TIME_LIMIT = 60, 20, 35
FETCH_STEPS = 200


def numbers(obs):
    return [float(x) for x in np.float32(obs)]


def trace(env_id, options, seed, steps=STEPS):
    env = make(env_id, max_episode_steps=TIME_LIMIT, **options)
    events = [[numbers(env.reset(seed=seed)[0])]]
    for t, action in enumerate(random_actions(env.action_space, seed, steps), start=1):
        obs, reward, terminated, truncated, info = env.step(action)
        seen = numbers(obs) if t % OBSERVED_EVERY == 0 else None
        solved = [bool(info["is_success"])] if "is_success" in info else []
        events.append([seen, float(reward), bool(terminated), bool(truncated), *solved])
        if terminated or truncated:
            events.append([numbers(env.reset()[0])])
    return {"id": env_id, "options": toml(options), "time_limit": TIME_LIMIT, "seed": seed, "events": events}


def unstable_trace(env_id, model, seed, folder):
    """A trace with that model. There must be a warning in it."""
    import mujoco

    warnings = []
    mujoco.set_mju_user_warning(warnings.append)
    case = trace(env_id, {"xml_file": with_time_step(*model, folder)}, seed)
    assert warnings, env_id
    return case | {"options": "", "model": model}


def main():
    import mujoco

    folder = tempfile.mkdtemp()
    os.chdir(folder)
    versions = {"gymnasium": gym.__version__, "mujoco": mujoco.__version__, "numpy": np.__version__}
    if sys.argv[1:] == ["--unstable"]:
        traces = [unstable_trace(*case, seed, folder) for seed, case in enumerate(UNSTABLE.items())]
    elif sys.argv[1:] == ["--fetch"]:
        register_robotics()
        versions["gymnasium-robotics"] = gymnasium_robotics.__version__
        tasks = sorted(env_id for env_id in gym.registry if env_id.startswith("Fetch") and env_id.endswith("-v4"))
        cases = [env_id for env_id in tasks for _ in range(2)]
        traces = [trace(env_id, {}, seed, FETCH_STEPS) for seed, env_id in enumerate(cases)]
    else:
        tasks = [env_id for env_id in OPTIONS if env_id.endswith("-v5")]
        cases = [(env_id, options) for env_id in tasks for options in [{}, OPTIONS[env_id][0]]]
        traces = [trace(*case, seed) for seed, case in enumerate(cases)]
    print('{"versions": ' + json.dumps(versions) + ', "cases": [')
    for i, case in enumerate(traces):
        # One event a line: a difference is then readable.
        events = ",\n ".join(json.dumps(event) for event in case.pop("events"))
        comma = "," if i + 1 < len(traces) else ""
        print(json.dumps(case)[:-1] + ', "events": [\n ' + events + "\n]}" + comma)
    print("]}")


if __name__ == "__main__":
    main()
