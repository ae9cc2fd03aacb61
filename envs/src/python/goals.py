"""Goals of an environment: where they lie in its observations, and what steps earn with others.

`spaces.py` stands in front of this file.
"""

GOAL_PARTS = {"achieved_goal": "achieved", "desired_goal": "desired", "observation": "observation"}


def goals_of(env):
    """The goals of an environment; `None` if it has none, or cannot say what a step earns with another goal."""
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or set(space.spaces) != set(GOAL_PARTS):
        return None
    achieved, desired = space["achieved_goal"], space["desired_goal"]
    if not all(isinstance(goal, spaces.Box) for goal in (achieved, desired)) or achieved.shape != desired.shape:
        return None
    compute_reward = attribute(env, "compute_reward")
    return Goals(space, compute_reward, attribute(env, "compute_terminated")) if callable(compute_reward) else None


def attribute(env, name):
    """An attribute of the outermost wrapper that has it, or `None`."""
    while env is not None:
        if name in vars(env) or hasattr(type(env), name):
            return getattr(env, name)
        env = vars(env).get("env")
    return None


class Goals:
    """`layout`, as JSON, and the methods of an environment that know what goals earn."""

    def __init__(self, space, compute_reward, compute_terminated):
        self.achieved, self.desired = space["achieved_goal"], space["desired_goal"]
        self.compute_reward = compute_reward
        self.compute_terminated = compute_terminated if callable(compute_terminated) else None
        self.layout, at = {}, 0
        for key, inner in keys_and_spaces(space):
            end = at + int(spaces.flatdim(inner))
            self.layout[GOAL_PARTS[key]] = {"start": at, "end": end}
            at = end

    def outcomes(self, count, data):
        """Rewards as float64 and terminations as bytes, of `count` steps.

        `data` has the goals that they achieved and those that are asked for, as float32, and whether each of them
        terminated, as bytes. An environment without `compute_terminated` leaves these as they are.
        """
        size = int(np.prod(self.achieved.shape))
        numbers = np.frombuffer(data, np.float32, 2 * count * size).reshape(2, count, size)
        terminated = np.frombuffer(data, np.uint8, count, numbers.nbytes)
        achieved, desired = (
            goals.reshape(count, *space.shape).astype(space.dtype)
            for goals, space in zip(numbers, (self.achieved, self.desired))
        )
        # As Stable-Baselines3 calls it by default: what an info says is not kept.
        infos = [{} for _ in range(count)]
        rewards = np.asarray(self.compute_reward(achieved, desired, infos))
        if rewards.shape != (count,) or rewards.dtype.kind not in "fiub":
            raise Refused(
                f"compute_reward returned {described(rewards)} for {count} goals of shape {self.achieved.shape}, expected "
                f"{count} rewards: hindsight asks for many at once, as arrays whose first axis counts them"
            )
        if self.compute_terminated is not None:
            rows = zip(achieved, desired, infos)
            ends = [flag(self.compute_terminated(*row), "compute_terminated") for row in rows]
            terminated = np.array(ends, np.uint8)
        return np.ascontiguousarray(rewards, np.float64).tobytes() + terminated.tobytes()
