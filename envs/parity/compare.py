"""Compares our environments with those of Gymnasium and Gymnasium-Robotics bit for bit. `cargo xtask parity` runs this.

Both environments of an id are reset with the same seed and step with the same actions, which are random, or for every
third seed of a Fetch task grasp the object; after the end of an episode they are reset without a seed. Observations are
compared as float32 (Gymnasium's float64 is rounded once), rewards as float64, both flags, and whether the task was solved.
Ids in OPTIONS are also compared with these options, and ids in UNSTABLE with a model that makes MuJoCo warn and reset the
simulation again and again.

Gymnasium's Reacher and Pusher compute norms of short vectors with NumPy's BLAS. Their last bit depends on the processor:
OpenBLAS uses fused multiply-adds in its kernels for AVX-512, but not in those for other processors. Our environments always
use them. If the NumPy on this machine does not, its norms of up to three numbers are replaced by fused ones, and a message
is printed.

Usage: python compare.py TRACE [--ids ID ...] [--seeds 10] [--steps 2000]
where TRACE is the program built from envs/examples/trace.rs.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace

import gymnasium as gym
import gymnasium_robotics
import mujoco
import numpy as np
from gymnasium_robotics.utils import mujoco_utils

INF = float("inf")


def fused_dot(x):
    """x·x with fused multiply-adds: each product is added to the sum without being rounded first."""
    total = 0.0
    for value in map(float, x):
        total = float(Fraction(value) ** 2 + Fraction(total))
    return total


def fuse_norms():
    """Replaces np.linalg.norm by a fused version for short vectors, unless it is fused already. Returns whether it did."""
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=size) for size in (2, 3) for _ in range(500)]
    if all(float(np.dot(x, x)) == fused_dot(x) for x in vectors):
        return False
    norm = np.linalg.norm

    def fused_norm(x, *args, **kwargs):
        is_short = isinstance(x, np.ndarray) and x.dtype == np.float64 and x.ndim == 1 and x.size <= 3
        return np.sqrt(np.float64(fused_dot(x))) if is_short and not args and not kwargs else norm(x, *args, **kwargs)

    np.linalg.norm = fused_norm
    assert all(float(np.linalg.norm(x)) == math.sqrt(fused_dot(x)) for x in vectors)
    return True


def make(env_id, **options):
    """One of Gymnasium's or Gymnasium-Robotics' environments. Goals are flattened in the order of their names."""
    env = gym.make(env_id, disable_env_checker=True, **options)
    return gym.wrappers.FlattenObservation(env) if isinstance(env.observation_space, gym.spaces.Dict) else env


def register_robotics():
    """Adds the ids of Gymnasium-Robotics.

    Its version 1.4.2 looks for a joint's type in a tuple of MuJoCo's enum, which with MuJoCo 3.17.0 no integer equals from
    that side. So it gets the types as integers.
    """
    types = ModuleType("mujoco")
    vars(types).update(vars(mujoco))
    types.mjtJoint = SimpleNamespace(**{name: int(kind) for name, kind in mujoco.mjtJoint.__members__.items()})
    mujoco_utils.mujoco = types
    gym.register_envs(gymnasium_robotics)


# Options that are compared besides the defaults.
OPTIONS = {
    "Pendulum-v1": [{"g": 9.81}],
    "MountainCarContinuous-v0": [{"goal_velocity": 0.03}],
    "InvertedPendulum-v5": [{"reset_noise_scale": 0.15, "frame_skip": 1}],
    "InvertedDoublePendulum-v5": [{"healthy_reward": 7.3, "reset_noise_scale": 0.02, "frame_skip": 2}],
    "Reacher-v5": [{"reward_dist_weight": 1.7, "reward_control_weight": 0.1, "frame_skip": 3}],
    "Pusher-v5": [
        {"reward_near_weight": 0.3, "reward_dist_weight": 1.3, "reward_control_weight": 0.07},
        {"xml_file": "pusher.xml"},
    ],
    "Swimmer-v5": [
        {
            "forward_reward_weight": 1.5,
            "ctrl_cost_weight": 0.003,
            "reset_noise_scale": 0.2,
            "exclude_current_positions_from_observation": False,
        }
    ],
    "Hopper-v5": [
        {
            "forward_reward_weight": 1.1,
            "ctrl_cost_weight": 0.01,
            "healthy_reward": 0.7,
            "healthy_state_range": [-4.0, 4.0],
            "healthy_z_range": [0.5, INF],
            "healthy_angle_range": [-0.6, 0.5],
            "reset_noise_scale": 0.03,
            "exclude_current_positions_from_observation": False,
        },
        {"terminate_when_unhealthy": False, "frame_skip": 6},
    ],
    "Walker2d-v5": [
        {
            "forward_reward_weight": 1.1,
            "ctrl_cost_weight": 0.01,
            "healthy_reward": 0.7,
            "healthy_z_range": [0.6, 1.7],
            "healthy_angle_range": [-0.6, 0.5],
            "reset_noise_scale": 0.03,
            "exclude_current_positions_from_observation": False,
        },
        {"xml_file": "walker2d.xml", "terminate_when_unhealthy": False},
    ],
    "HalfCheetah-v5": [
        {
            "forward_reward_weight": 1.7,
            "ctrl_cost_weight": 0.03,
            "reset_noise_scale": 0.3,
            "exclude_current_positions_from_observation": False,
        },
        {"frame_skip": 2},
    ],
    "Ant-v5": [
        {
            "forward_reward_weight": 1.3,
            "ctrl_cost_weight": 0.3,
            "contact_cost_weight": 0.002,
            "healthy_reward": 0.6,
            "main_body": "front_left_leg",
            "healthy_z_range": [0.3, 0.9],
            "contact_force_range": [-3.0, 2.0],
            "reset_noise_scale": 0.05,
            "exclude_current_positions_from_observation": False,
        },
        {"include_cfrc_ext_in_observation": False, "terminate_when_unhealthy": False, "main_body": 3},
    ],
    "Humanoid-v5": [
        {
            "forward_reward_weight": 1.5,
            "ctrl_cost_weight": 0.07,
            "contact_cost_weight": 3e-6,
            "contact_cost_range": [0.01, 2.0],
            "healthy_reward": 3.0,
            "healthy_z_range": [0.7, 1.6],
            "reset_noise_scale": 0.03,
            "exclude_current_positions_from_observation": False,
        },
        {
            "terminate_when_unhealthy": False,
            "include_cinert_in_observation": False,
            "include_cfrc_ext_in_observation": False,
        },
        {"include_cvel_in_observation": False, "include_qfrc_actuator_in_observation": False},
    ],
    "HumanoidStandup-v5": [
        {
            "uph_cost_weight": 1.3,
            "ctrl_cost_weight": 0.03,
            "impact_cost_weight": 2e-6,
            "impact_cost_range": [0.02, 5.0],
            "reset_noise_scale": 0.03,
            "exclude_current_positions_from_observation": False,
        },
        {
            "include_cinert_in_observation": False,
            "include_cvel_in_observation": False,
            "include_qfrc_actuator_in_observation": False,
            "include_cfrc_ext_in_observation": False,
        },
    ],
    "FetchReach-v4": [{"reward_type": "dense"}],
    "FetchPickAndPlaceDense-v4": [{"reward_type": "sparse"}],
}


# Models of Gymnasium, and a time step in seconds with which their simulations diverge, but not beyond float32.
UNSTABLE = {
    "InvertedDoublePendulum-v5": ("inverted_double_pendulum.xml", 0.3),
    "Walker2d-v5": ("walker2d_v5.xml", 0.1),
    "HalfCheetah-v5": ("half_cheetah.xml", 0.1),
    "Humanoid-v5": ("humanoid.xml", 0.03),
}


def with_time_step(model, seconds, folder):
    """The path of a copy of one of Gymnasium's models in `folder`, with another time step."""
    text = Path(gym.__file__).with_name("envs").joinpath("mujoco", "assets", model).read_text()
    changed, count = re.subn(r'timestep="[^"]*"', f'timestep="{seconds}"', text)
    assert count == 1, model
    path = Path(folder, f"{seconds}_{model}")
    path.write_text(changed)
    return str(path)


def toml(options):
    """Options as TOML text, in which strings, numbers and lists are written as in JSON, except infinity."""
    return "".join(f"{key} = {json.dumps(value).replace('Infinity', 'inf')}\n" for key, value in options.items())


def random_actions(space, seed, steps):
    """One action per row, as float32. With every other seed the actions exceed the bounds by half."""
    rng = np.random.default_rng(10_000 + seed)
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=(steps, 1)).astype(np.float32)
    reach = 1.5 if seed % 2 else 1.0
    return (rng.uniform(space.low, space.high, size=(steps, *space.shape)) * reach).astype(np.float32)


def grasp(obs):
    """An action of a Fetch robot: the gripper moves above the object, down to it, and with closed fingers to the goal."""
    goal, grip, to_object = obs[3:6], obs[6:9], obs[12:15]
    if np.linalg.norm(to_object[:2]) > 0.02 and to_object[2] < -0.03:
        towards, fingers = to_object + [0.0, 0.0, 0.05], 1.0
    elif np.linalg.norm(to_object) > 0.02:
        towards, fingers = to_object, 1.0
    else:
        towards, fingers = goal - grip, -1.0
    return np.float32([*np.clip(10.0 * towards, -1.0, 1.0), fingers])


def gymnasium_trace(env, seed, actions):
    """The records of envs/examples/trace.rs, one per element.

    Random actions of a Fetch robot hardly ever touch the object. With every third seed, `grasp` replaces them in `actions`.
    """
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    grasps = seed % 3 == 1 and re.match("Fetch(Push|Slide|Pick)", env.spec.id)
    obs, _ = env.reset(seed=seed)
    records = [b"\0" + bits(obs)]
    for action in actions:
        if grasps:
            action[:] = grasp(obs)
        obs, reward, terminated, truncated, info = env.step(int(action[0]) if discrete else action)
        flags = [terminated, truncated, info.get("is_success", False)]
        outcome = np.float64(reward).astype("<f8").tobytes() + bytes(map(bool, flags))
        records.append(b"\1" + bits(obs) + outcome)
        if terminated or truncated:
            obs, _ = env.reset()
            records.append(b"\0" + bits(obs))
    return records


def bits(obs):
    return np.asarray(obs).astype("<f4").tobytes()


def explain(theirs, ours, obs_len):
    """The first difference and the total number of differing values; `None` if there is no difference."""
    names = [f"obs[{i}]" for i in range(obs_len)]
    at, differing, first, step = 0, 0, None, 0
    for record in theirs:
        step += record[0]
        mine = ours[at : at + len(record)]
        at += len(record)
        if mine == record:
            continue
        if len(mine) < len(record) or mine[0] != record[0]:
            return f"step {step}: episodes end at different steps"
        tail = [] if record[0] == 0 else ["reward", "flags"]
        for name, a, b in zip(names + tail, split(record, obs_len), split(mine, obs_len), strict=True):
            if a.tobytes() != b.tobytes():
                differing += 1
                first = first or f"step {step}: {name} is {a!r} in Gymnasium, {b!r} here"
    if at != len(ours):
        return f"there are {len(ours) - at} bytes left over"
    return first and f"{first}; {differing} numbers differ in all"


def split(record, obs_len):
    parts = list(np.frombuffer(record, "<f4", obs_len, 1))
    if record[0] == 1:
        parts += [np.frombuffer(record, "<f8", 1, 1 + 4 * obs_len)[0], np.frombuffer(record, "u1", 3, 9 + 4 * obs_len)]
    return parts


def check_the_checker():
    """Checks the comparison itself: it must find and name a single flipped bit anywhere."""
    theirs = [b"\0" + bits([1.0, 2.0]), b"\1" + bits([3.0, 4.0]) + np.float64(5.0).tobytes() + bytes([0, 1, 0])]
    same = b"".join(theirs)
    assert explain(theirs, same, 2) is None
    for at, name in [(1, "obs[0]"), (5, "obs[1]"), (17, "obs[1]"), (18, "reward"), (26, "flags"), (28, "flags")]:
        flipped = bytearray(same)
        flipped[at] ^= 1
        found = explain(theirs, bytes(flipped), 2)
        assert found and name in found and "1 numbers differ" in found, (at, found)
    assert explain(theirs, same[:-1], 2) and explain(theirs, same + b"\0", 2)


def main():
    check_the_checker()
    parser = argparse.ArgumentParser(prog="cargo xtask parity", description="Compares our environments with Gymnasium's.")
    parser.add_argument("trace", help=argparse.SUPPRESS)
    parser.add_argument("--ids", nargs="+", metavar="ID", help="only these, instead of all that both sides have")
    parser.add_argument("--seeds", type=int, default=10, help="random seeds per id and set of options")
    parser.add_argument("--steps", type=int, default=2000, help="steps per seed")
    arguments = parser.parse_args()

    register_robotics()
    trace = str(Path(arguments.trace).resolve())
    listed = subprocess.run([trace, "--list"], capture_output=True, text=True, check=True).stdout.split()
    shared = [env_id for env_id in listed if env_id in gym.registry]
    unknown = [env_id for env_id in arguments.ids or [] if env_id not in shared]
    if unknown:
        parser.error(f"not an id that both sides have: {', '.join(unknown)}; there are {', '.join(shared)}")
    print(f"Gymnasium {gym.__version__}, Gymnasium-Robotics {gymnasium_robotics.__version__}", end=", ")
    print(f"NumPy {np.__version__}, MuJoCo {mujoco.__version__}")
    warnings = []
    # Otherwise each is printed and written into a file of the current folder.
    mujoco.set_mju_user_warning(warnings.append)

    if fuse_norms():
        print("norms of NumPy are not fused on this machine: those of two or three numbers are replaced by fused ones")
    failures = 0
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
        [trace], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ours:
        # MuJoCo's Python bindings write a file into the current folder when they fail.
        os.chdir(folder)
        action_file, out_file = Path(folder, "actions"), Path(folder, "trace")
        for env_id in arguments.ids or shared:
            unstable = [{"xml_file": with_time_step(*model, folder)} for model in [UNSTABLE.get(env_id)] if model]
            for options in [{}, *OPTIONS.get(env_id, []), *unstable]:
                began, episodes, numbers, problem = time.monotonic(), 0, 0, None
                env = make(env_id, **options)
                warnings.clear()  # Those about the model.
                obs_len = int(np.prod(env.observation_space.shape))
                for seed in range(arguments.seeds):
                    actions = random_actions(env.action_space, seed, arguments.steps)
                    records = gymnasium_trace(env, seed, actions)
                    action_file.write_bytes(actions.astype("<f4").tobytes())
                    job = {"id": env_id, "options": toml(options), "seed": seed}
                    job |= {"actions": str(action_file), "out": str(out_file)}
                    print(json.dumps(job), file=ours.stdin, flush=True)
                    answer = ours.stdout.readline().strip()
                    problem = explain(records, out_file.read_bytes(), obs_len) if answer == "ok" else answer
                    if problem:
                        problem = f"seed {seed}: {problem}"
                        break
                    episodes += sum(record[0] == 0 for record in records)
                    numbers += len(records) * obs_len + arguments.steps
                env.close()
                if options in unstable and not warnings:
                    problem = problem or "MuJoCo gave no warning, so that nothing was compared after one"
                given = "with " + toml(options).strip().replace("\n", ", ") if options else "with its defaults"
                seconds = f"{time.monotonic() - began:.1f} s"
                if problem:
                    failures += 1
                    print(f"DIFFERS  {env_id} {given}: {problem}", flush=True)
                else:
                    print(f"equal    {env_id} {given}: {numbers} numbers, {episodes} episodes, {len(warnings)} warnings, {seconds}", flush=True)
        ours.stdin.close()
        os.chdir("/")
    if failures:
        sys.exit(f"{failures} comparisons found a difference")


if __name__ == "__main__":
    main()
