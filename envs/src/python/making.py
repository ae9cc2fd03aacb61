"""Makes an environment from an id, options and wrappers. `spaces.py` and `hosted.py` stand in front of this file."""

import importlib
import os
import sys

import gymnasium

# Packages that register environments, by the beginning of the id: what to import, what to install.
PROVIDERS = [
    (("Fetch", "HandReach", "HandManipulate", "AdroitHand", "FrankaKitchen"), "gymnasium_robotics", "gymnasium-robotics"),
    (("PointMaze", "AntMaze"), "gymnasium_robotics", "gymnasium-robotics"),
    (("MiniGrid-", "BabyAI-"), "minigrid", "minigrid"),
    (("MiniWorld-",), "miniworld", "miniworld"),
    (("ALE/",), "ale_py", "ale-py"),
    (("dm_control/",), "shimmy", '"shimmy[dm-control]"'),
    (("Meta-World/",), "metaworld", "metaworld"),
    (("highway-", "parking-", "merge-", "roundabout-"), "highway_env", "highway-env"),
    (("PandaReach", "PandaPush", "PandaSlide", "PandaPick", "PandaStack", "PandaFlip"), "panda_gym", "panda-gym"),
]
# Modules whose package has another name.
PACKAGES = {
    "Box2D": '"gymnasium[box2d]"',
    "PIL": "pillow",
    "ale_py": "ale-py",
    "cv2": "opencv-python",
    "mujoco": '"gymnasium[mujoco]"',
    "pygame": '"gymnasium[classic-control]"',
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class Wrong(Exception):
    """A wrong option, by its name."""

    def __init__(self, option, problem):
        super().__init__(problem)
        self.option = option


def explain_missing(error, own=None):
    """A missing module: where it was looked for, or the command that installs it."""
    module = (error.name or "").split(".")[0]
    if own is not None and own.split(".")[0] == module:
        return f"there is no module {error.name!r} in {os.getcwd()} nor in the packages of {sys.executable}"
    package = PACKAGES.get(module, module.replace("_", "-"))
    return f"{error}; install it with `{sys.executable} -m pip install {package}`"


def named(path, option):
    """What `package.module:name` names."""
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise Wrong(option, f"expected \"package.module:name\", found {path!r}")
    try:
        found = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except ModuleNotFoundError as error:
        raise Wrong(option, explain_missing(error, own=module)) from None
    except AttributeError:
        public = sorted(n for n in vars(found) if callable(getattr(found, n)) and not n.startswith("_"))[:12]
        raise Wrong(option, f"module {module!r} has no {name!r}; it has {', '.join(public)}") from None
    if not callable(found):
        raise Wrong(option, f"{path} is {type(found).__name__}, expected a class or function")
    return found


def make_gymnasium(spec, kwargs):
    env_id = spec["id"]
    provider = next((p for p in PROVIDERS if env_id.startswith(p[0])), None)
    if env_id not in gymnasium.registry and provider is not None:
        try:
            module = importlib.import_module(provider[1])
            # Some packages register when they are told to.
            if env_id not in gymnasium.registry and hasattr(gymnasium, "register_envs"):
                gymnasium.register_envs(module)
            if env_id not in gymnasium.registry and provider[1] == "gymnasium_robotics":
                module.register_robotics_envs()
        except ModuleNotFoundError as error:
            raise Wrong("id", explain_missing(error).replace(f"install {provider[1].replace('_', '-')}`", f"install {provider[2]}`")) from None
    try:
        modes = known_render_modes(env_id)
        if "render_mode" not in kwargs and "rgb_array" in modes:
            kwargs["render_mode"] = "rgb_array"
        limit = {} if spec["time_limit"] is None else {"max_episode_steps": spec["time_limit"]}
        return gymnasium.make(env_id, disable_env_checker=True, **limit, **kwargs)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DependencyNotInstalled) as error:
        raise Wrong("id", f"{type(error).__name__}: {error}") from None
    except ModuleNotFoundError as error:
        raise Wrong("id", explain_missing(error)) from None


def known_render_modes(env_id):
    spec = gymnasium.spec(env_id)
    entry = spec.entry_point
    if isinstance(entry, str):
        entry = gymnasium.envs.registration.load_env_creator(entry)
    return (getattr(entry, "metadata", None) or {}).get("render_modes", [])


def make(spec):
    for i, module in enumerate(spec["imports"]):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise Wrong("imports", explain_missing(error)) from None
    kwargs = dict(spec["kwargs"])
    try:
        if spec["callable"]:
            env = named(spec["id"], "id")(**kwargs)
        else:
            env = make_gymnasium(spec, kwargs)
    except TypeError as error:
        if "argument" not in str(error) or not spec["kwargs"]:
            raise
        raise Wrong("kwargs", f"the constructor refuses them: {error}") from None
    for i, path in enumerate(spec["wrappers"]):
        env = named(path, f"wrappers[{i}]")(env)
    for method in ("reset", "step", "observation_space", "action_space"):
        if not hasattr(env, method):
            raise Refused(f"it made {type(env).__name__}, which has no `{method}`; expected a gymnasium.Env")
    return env
