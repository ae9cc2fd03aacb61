"""A process that steps environments for the trainer, which sent this script.

Requests come through its standard input and answers go through its standard output, which are pipes to the trainer. Both are
taken away from the environments: what they print goes to standard error, which the trainer captures. Steps are announced and
their numbers are exchanged in shared memory. `spaces.py` stands in front of this file.
"""

import importlib
import json
import mmap
import os
import random
import select
import struct
import sys
import threading
import time
import traceback

import gymnasium

# A request: what, the number of the environment, and the length of the JSON behind it. An answer: what, and a length.
REQUEST = struct.Struct("<BxHI")
ANSWER = struct.Struct("<BxxxI")
STEP, JSON, RESET = 0, 1, 2
STEPPED, DONE, FAILED = 0, 1, 2
STEPPED_ANSWER = ANSWER.pack(STEPPED, 0)
# Words in shared memory, 8 bytes each; those that the worker writes are in a cache line of their own.
REQUESTED, TRAINER_SLEEPS, ANSWERED, WORKER_SLEEPS = 0, 1, 8, 9
# Above this is the number of the request, and below it what it is: 40 bits are enough for any run.
COUNT = 1 << 24
IN_PIPE = COUNT - 1
# Below this bit is the number of the environment.
RESETS = 1 << 16
# Time for which a request is polled for before the process sleeps, if the last came within it: a few times as long as waking
# the process takes.
POLL_S = 200e-6
# Looks into memory between looks at the clock: about 3 µs.
LOOKS = range(50)
# A sleeping process looks again after so long.
LOOK_AGAIN_MS = 100
# Taking it is a memory barrier: a word that was written is seen by others before the next one is read.
FENCE = threading.Lock()

forked = False

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


class Hosted:
    """An environment and its rows in shared memory."""

    def __init__(self, env):
        self.env = env
        self.observation, self.write = observations(env.observation_space)
        self.action, self.read = actions(env.action_space)
        self.is_reset = False
        # The state of its generator before the last reset, if that had no seed.
        self.generator_before = None
        spec = getattr(env, "spec", None)
        unwrapped = getattr(env, "unwrapped", env)
        self.description = {
            "observation": self.observation,
            "action": self.action,
            "time_limit": getattr(spec, "max_episode_steps", None),
            "entry": f"{type(unwrapped).__module__}.{type(unwrapped).__qualname__}",
            "about": (type(unwrapped).__doc__ or "").strip().split("\n\n")[0],
            "stack": str(env),
        }

    def map(self, memory, layout):
        dtype = np.uint8 if self.observation.get("dtype") == "u8" else np.float32
        self.row = np.frombuffer(memory, np.float32, layout["actions"], layout["action"])
        self.out = np.frombuffer(memory, dtype, layout["observations"], layout["observation"])
        # Faster than an array for single numbers.
        self.end = memoryview(memory)[layout["end"] : layout["end"] + 16].cast("d")

    def reset(self, seed=None, generator=None):
        if generator is not None:
            self.unwrapped_generator().bit_generator.state = decoded(generator)
        self.generator_before = None
        if seed is None:
            # With this, the episode can be played again.
            generator = self.unwrapped_generator()
            if generator is not None:
                self.generator_before = generator.bit_generator.state
            result = self.env.reset()
        else:
            random.seed(seed)
            np.random.seed(seed & 0xFFFFFFFF)
            result = self.seeded(seed)
        leave_if_forked()
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
            raise Refused(
                f"reset returned {described(result)}, expected (observation, info): this looks like the interface of gym "
                "before 0.26; update the environment, or convert it with the package shimmy"
            )
        self.write(result[0], self.out)
        self.is_reset = True

    def seeded(self, seed):
        try:
            return self.env.reset(seed=seed)
        except (OverflowError, ValueError):
            # NumPy's older generators, which dm_control has, take seeds of 32 bits.
            if seed < 1 << 32:
                raise
            return self.env.reset(seed=seed & 0xFFFFFFFF)

    def unwrapped_generator(self):
        generator = getattr(getattr(self.env, "unwrapped", self.env), "np_random", None)
        return generator if isinstance(generator, np.random.Generator) else None

    def step(self):
        result = self.env.step(self.read(self.row))
        leave_if_forked()
        try:
            obs, reward, terminated, truncated, _ = result
        except (TypeError, ValueError):
            raise Refused(
                f"step returned {described(result)}, expected (observation, reward, terminated, truncated, info): four "
                "values are the interface of gym before 0.26; update the environment, or convert it with the package shimmy"
            ) from None
        self.write(obs, self.out)
        if type(reward) is not float:
            reward = number(reward)
        self.end[0] = reward
        if terminated is not False or truncated is not False:
            self.end[1] = flag(terminated, "terminated") + 2 * flag(truncated, "truncated")
        else:
            self.end[1] = 0.0

    def render(self):
        if not self.is_reset:
            self.env.reset(seed=0)
        picture = self.env.render()
        if isinstance(picture, list) and picture:
            picture = picture[-1]
        picture = np.asarray(picture)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4):
            mode = getattr(self.env, "render_mode", None)
            raise Refused(
                f"render() returned {described(picture)} with render_mode {mode!r}, expected an array of rows, columns and "
                'three colours as uint8; set env.kwargs = { render_mode = "rgb_array" }'
            )
        rows, columns = picture.shape[:2]
        return {"height": rows, "width": columns}, np.ascontiguousarray(picture[:, :, :3]).tobytes()


def number(reward):
    array = np.asarray(reward)
    if array.shape != () or array.dtype.kind not in "fiub":
        raise Refused(f"the reward is {described(reward)}, expected one number; return float(reward)")
    return float(array)


def flag(value, what):
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return float(value)
    raise Refused(f"{what} is {described(value)}, expected True or False")


def described(value):
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}: {', '.join(type(x).__name__ for x in value[:6])}"
    return f"{type(value).__name__} {str(value)[:80]!r}"


def encoded(state):
    """The state of a generator as JSON: arrays become lists with their dtype."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, np.ndarray):
            return {"__array__": value.tolist(), "dtype": str(value.dtype)}
        return value.item() if isinstance(value, np.generic) else value

    return json.dumps(plain(state))


def decoded(text):
    def whole(found):
        return np.array(found["__array__"], dtype=found["dtype"]) if "__array__" in found else found

    return json.loads(text, object_hook=whole)


def explained(error):
    """An exception as the trainer shows it: without the frames of this script."""
    if isinstance(error, Wrong):
        return {"option": error.option, "message": str(error)}
    if isinstance(error, Refused):
        return {"message": str(error)}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    lines = "".join(traceback.format_exception(type(error), error, trace)).strip().split("\n")
    if len(lines) > 40:
        lines = [*lines[:8], f"  … {len(lines) - 38} lines …", *lines[-30:]]
    return {"message": "\n".join(lines)}


class Trainer:
    """The way to the trainer: pipes, and once memory is shared, words in it that both sides poll for a while.

    A request adds one to the count in the word `REQUESTED`. What is below the count is the number of the environment to be
    stepped, with `RESETS` to be reset without a seed, or `IN_PIPE`. An answer to the first two is the same count in
    `ANSWERED`, and below it whether they failed. A side that has stopped polling says so in its word `…_SLEEPS`, and is
    woken by a header in its pipe.
    """

    def __init__(self, requests, answers):
        self.requests, self.answers = requests, answers
        self.poll = select.poll()
        self.poll.register(requests, select.POLLIN)
        self.words = None
        self.seen = 0
        self.poll_s = 0.0
        self.is_quick = False

    def share(self, memory, polls):
        self.words = memoryview(memory).cast("Q")
        # The request to share it came through the pipe alone.
        self.seen = self.words[REQUESTED]
        self.poll_s = POLL_S if polls else 0.0

    def request(self):
        """Waits for a request: what, the number of its environment, and the content of JSON.

        Raises `EOFError` when the trainer is gone.
        """
        words, seen, began = self.words, self.seen, time.perf_counter()
        if self.is_quick:
            until = began + self.poll_s
            while time.perf_counter() < until:
                for _ in LOOKS:
                    if words[REQUESTED] > seen:
                        return self.announced()
        if words is None:
            return self.from_pipe()
        words[WORKER_SLEEPS] = 1
        with FENCE:
            pass
        # First, what woke the last sleep in vain is read, so that it does not pile up.
        wait_ms = 0
        try:
            while True:
                if self.poll.poll(wait_ms):
                    what, env, length = REQUEST.unpack(self.read(REQUEST.size))
                    if what == JSON:
                        # The trainer announces it after it has written it, perhaps after the answer.
                        self.seen = seen - seen % COUNT + COUNT + IN_PIPE
                        return JSON, env, json.loads(self.read(length))
                if words[REQUESTED] > seen:
                    return self.announced()
                wait_ms = LOOK_AGAIN_MS
        finally:
            words[WORKER_SLEEPS] = 0
            self.is_quick = time.perf_counter() - began < self.poll_s

    def announced(self):
        """The request that the word announces."""
        self.seen = self.words[REQUESTED]
        what = self.seen % COUNT
        if what < RESETS:
            return STEP, what, None
        return self.from_pipe() if what == IN_PIPE else (RESET, what - RESETS, None)

    def from_pipe(self):
        """The next request in the pipe."""
        while True:
            what, env, length = REQUEST.unpack(self.read(REQUEST.size))
            if what == JSON:
                return JSON, env, json.loads(self.read(length))
            if self.words is None:
                return what, env, None

    def read(self, length):
        data = b""
        while len(data) < length:
            more = os.read(self.requests, length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def done(self, failed=False):
        """Tells that a step or a reset without a seed has ended. Why it failed follows through the pipe."""
        words = self.words
        if words is not None:
            words[ANSWERED] = self.seen - self.seen % COUNT + failed
            with FENCE:
                pass
        if not failed and (words is None or words[TRAINER_SLEEPS]):
            os.write(self.answers, STEPPED_ANSWER)

    def answer(self, what, content, data=b""):
        if "message" in content:
            # Paths and names of files may hold bytes that are no text.
            content["message"] = content["message"].encode("utf-8", "replace").decode()
        text = json.dumps({**content, "data": len(data)}).encode()
        message = memoryview(ANSWER.pack(what, len(text)) + text + data)
        while message:
            message = message[os.write(self.answers, message) :]


def leave_if_forked():
    """Ends a copy of this process that an environment made and that came back here."""
    if forked:
        os._exit(1)


def serve(trainer):
    hosted = []
    while True:
        try:
            what, env, content = trainer.request()
        except EOFError:
            return
        try:
            if what == STEP:
                hosted[env].step()
                trainer.done()
                continue
            if what == RESET:
                hosted[env].reset()
                trainer.done()
                continue
            data, doing = b"", content["do"]
            if doing == "make":
                hosted.append(Hosted(make(content)))
                result = hosted[-1].description
            elif doing == "map":
                with open(content["file"], "r+b") as file:
                    memory = mmap.mmap(file.fileno(), content["size"])
                for one, layout in zip(hosted, content["layouts"]):
                    one.map(memory, layout)
                if content["words"]:
                    trainer.share(memory, content["polls"])
                result = {}
            elif doing == "reset":
                hosted[env].reset(content["seed"], content["generator"])
                result = {}
            elif doing == "generator":
                state = hosted[env].generator_before
                result = {"generator": None if state is None else encoded(state)}
            elif doing == "render":
                result, data = hosted[env].render()
            elif doing == "close":
                for one in hosted:
                    one.env.close()
                trainer.answer(DONE, {})
                return
            leave_if_forked()
            trainer.answer(DONE, result, data)
        except BaseException as error:  # also SystemExit: an environment must not end the process without a word
            leave_if_forked()
            if what != JSON:
                trainer.done(failed=True)
            trainer.answer(FAILED, explained(error))


def after_fork():
    """In a copy that an environment makes of this process: it must not hold the pipes open."""
    global forked
    forked = True
    for pipe in (worker.requests, worker.answers):
        try:
            os.close(pipe)
        except OSError:
            pass


worker = Trainer(*PIPES)
os.register_at_fork(after_in_child=after_fork)
serve(worker)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
