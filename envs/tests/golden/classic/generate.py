"""Golden traces of Gymnasium's classic control tasks, for `envs/tests/parity.rs`.

Usage: python generate.py > traces.json                       (gymnasium 1.4.0, numpy 2.4; small, committed)
       python generate.py --steps 20000 --seeds 8 > big.json  (not committed; then
       SAC_PARITY_TRACES=$PWD/big.json cargo test -p sac-envs --test all parity)

Every case resets once with a seed and goes on through episode ends with unseeded resets. Half of the random continuous
actions lie outside the action space, which the tasks clip; a discrete action is its index. Floats read back to the same
bits; observations and continuous actions are float32 and printed as the float64 of the same value.
"""

import argparse
import json

import gymnasium as gym
import numpy as np


def wild(scale):
    """Uniform within twice the bounds."""
    return lambda rng, obs, t: rng.uniform(-2 * scale, 2 * scale)


def pump(strength):
    """Always push the way the car rolls: reaches the goal."""
    return lambda rng, obs, t: strength if obs[1] >= 0 else -strength


def linger(rng, obs, t):
    """Pump, but brake on the right hill: reaches the wall on the left, now and then the goal."""
    push = 1.2 if obs[1] >= 0 else -1.2
    return -push if obs[0] > 0.1 and rng.random() < 0.9 else push


def any_of(count):
    """Discrete actions, uniformly."""
    return lambda rng, obs, t: rng.integers(count)


def hold_up(rng, obs, t):
    """Push the cart under the pole, now and then the wrong way: falls late and runs off the track."""
    right = obs[2] + 0.5 * obs[3] + 0.05 * obs[0] > 0
    return int(right) if rng.random() < 0.9 else int(not right)


def balance(rng, obs, t):
    """Always push the cart under the pole: lasts to the time limit."""
    return int(obs[2] + 0.5 * obs[3] + 0.05 * obs[0] + 0.1 * obs[1] > 0)


def pedal(wrong):
    """Drive the way the car rolls, except for a part of the steps: reaches the goal."""
    return lambda rng, obs, t: rng.integers(3) if rng.random() < wrong else (2 if obs[1] >= 0 else 0)


def pump_joint(wrong):
    """Turn the joint the way the first link swings, except for a part of the steps: reaches the line."""
    return lambda rng, obs, t: rng.integers(3) if rng.random() < wrong else (0 if obs[4] >= 0 else 2)


PENDULUM, CAR = "Pendulum-v1", "MountainCarContinuous-v0"
POLE, PEDALS, ACROBOT = "CartPole-v1", "MountainCar-v0", "Acrobot-v1"

# id, options, time limit, how to act
CASES = [
    (PENDULUM, {}, 15, wild(2.0)),
    (PENDULUM, {"g": 9.81}, 15, wild(1.0)),
    (PENDULUM, {}, 200, lambda rng, obs, t: 2.0 if obs[2] >= 0 else -2.0),
    (CAR, {}, 15, wild(1.0)),
    (CAR, {}, 999, pump(1.0)),
    (CAR, {}, 999, pump(1.5)),
    (CAR, {}, 999, pump(0.8)),
    (CAR, {"goal_velocity": 0.03}, 999, pump(1.0)),
    (CAR, {"goal_velocity": 0.07}, 300, pump(1.1)),
    (CAR, {}, 400, linger),
    (POLE, {}, 500, any_of(2)),
    (POLE, {"sutton_barto_reward": True}, 500, any_of(2)),
    (POLE, {}, 500, hold_up),
    (POLE, {"sutton_barto_reward": True}, 100, balance),
    (PEDALS, {}, 200, pedal(0.0)),
    (PEDALS, {"goal_velocity": 0.04}, 200, pedal(0.1)),
    (PEDALS, {"goal_velocity": 0.06}, 300, pedal(0.3)),
    (PEDALS, {}, 40, any_of(3)),
    (ACROBOT, {}, 500, pump_joint(0.1)),
    (ACROBOT, {}, 500, pump_joint(0.5)),
    (ACROBOT, {}, 40, any_of(3)),
]


def trace(env_id, options, time_limit, act, seed, steps):
    env = gym.make(env_id, max_episode_steps=time_limit, disable_env_checker=True, **options)
    rng = np.random.default_rng(1000 + seed)
    obs, _ = env.reset(seed=seed)
    events = [[numbers(obs)]]
    for t in range(steps):
        action = act(rng, obs, t)
        if isinstance(env.action_space, gym.spaces.Discrete):
            written = [float(action)]
        else:
            action = np.array([action], dtype=np.float32)
            written = numbers(action)
        obs, reward, terminated, truncated, _ = env.step(action)
        events.append([numbers(obs), written, float(reward), bool(terminated), bool(truncated)])
        if terminated or truncated:
            obs, _ = env.reset()
            events.append([numbers(obs)])
    return {"id": env_id, "options": options, "time_limit": time_limit, "seed": seed, "events": events}


def numbers(array):
    assert array.dtype == np.float32, array.dtype
    return [float(x) for x in array]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=130)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    versions = {"gymnasium": gym.__version__, "numpy": np.__version__}
    print('{"versions": ' + json.dumps(versions) + ', "cases": [')
    seeds = [0, 42, 2**31, 2**40 + 5, *range(100, 1000)][: arguments.seeds]
    cases = [(case, seed + i) for i, case in enumerate(CASES) for seed in seeds]
    for k, (case, seed) in enumerate(cases):
        # One event a line: a difference is then readable.
        case = trace(*case, seed, arguments.steps)
        events = ",\n ".join(json.dumps(event) for event in case.pop("events"))
        comma = "," if k + 1 < len(cases) else ""
        print(json.dumps(case)[:-1] + ', "events": [\n ' + events + "\n]}" + comma)
    print("]}")


if __name__ == "__main__":
    main()
