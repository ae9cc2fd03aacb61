"""Training: `train`, `resume`, and the `Run` that they return."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from . import _sac, objects
from .errors import ArgumentError, RunError

__all__ = ["Run", "resume", "train"]

Callback = Callable[[dict[str, float]], "bool | None"]

# Arguments that stand for settings, as flags do on the command line.
SHORT = {
    "steps": "train.total_env_steps",
    "seed": "train.seed",
    "num_envs": "env.num_envs",
    "device": "train.device",
    "threads": "train.threads",
}


class Run:
    """The folder of a run.

    `path` is the folder. A run that `train` or `resume` returned also says how it ended: `env_steps`, `grad_steps`,
    `seconds`, `eval_mean_return`, `best_mean_return`, and `stopped`, whether the callback ended it.
    """

    def __init__(self, path: str | os.PathLike[str], summary: dict[str, Any] | None = None, env: Any = None):
        self.path = Path(path)
        if not (self.path / "config.toml").is_file():
            raise RunError(f"{self.path}: is not a run: it holds no config.toml")
        summary = summary or {}
        self.env_steps: int | None = summary.get("env_steps")
        self.grad_steps: int | None = summary.get("grad_steps")
        self.seconds: float | None = summary.get("seconds")
        self.eval_mean_return: float | None = summary.get("eval_mean_return")
        self.best_mean_return: float | None = summary.get("best_mean_return")
        self.stopped: bool = bool(summary.get("interrupted", False))
        self._env = env

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<sac.Run {self.path}>"

    def rows(self) -> list[dict[str, float]]:
        """The logged rows, as the callback got them."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def metrics(self) -> dict[str, np.ndarray]:
        """Every metric as an array with a number for each logged row; NaN where a row does not have it."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}

    def frame(self) -> Any:
        """The metrics as a pandas `DataFrame`, a row for each logged row, by env steps."""
        import pandas

        frame = pandas.DataFrame(self.metrics())
        return frame.set_index("env_steps") if "env_steps" in frame else frame

    def evaluations(self) -> dict[str, np.ndarray]:
        """The evaluations: env steps, mean return and so on, an array each. Columns that the task leaves empty are left out."""
        path = self.path / "eval.csv"
        if not path.is_file():
            return {}
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        names = [name for name in (lines[0] if lines else []) if any(line[name] for line in lines)]
        return {name: np.array([float(line[name] or "nan") for line in lines]) for name in names}

    def plot(self, names: str | list[str] | None = None, ax: Any = None) -> Any:
        """Draws metrics over env steps with matplotlib, by default the mean returns. Returns the axes."""
        import matplotlib.pyplot as plt

        metrics = self.metrics()
        if names is None:
            names = [name for name in ("rollout/ep_rew_mean", "eval/mean_reward") if name in metrics]
        names = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in names if name not in metrics]
        if unknown:
            raise ArgumentError(f"the run has no metric {unknown[0]!r}; it has {', '.join(metrics)}")
        if ax is None:
            _, ax = plt.subplots()
        for name in names:
            is_there = ~np.isnan(metrics[name])
            ax.plot(metrics["env_steps"][is_there], metrics[name][is_there], label=name)
        ax.set_xlabel("env steps")
        if names:
            ax.legend()
        return ax


def train(
    env: Any = None,
    algo: str | None = None,
    *,
    steps: int | None = None,
    seed: int | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    callback: Callback | None = None,
    num_envs: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    config: str | os.PathLike[str] | None = None,
    init_from: Any = None,
    env_options: dict[str, Any] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Run:
    """Trains an agent and returns its run.

    Args:
        env: an id (`"Pendulum-v1"`, `"py:FetchReach-v4"`), a `gymnasium.Env`, or a callable that makes one.
        algo: a preset (`sac algos` lists them); `"sac"` by default.
        steps: env steps to train, all environments together.
        seed: root of every random stream.
        run_dir: folder of the new run; by default `runs/<env>/<algo>/<utc>-s<seed>`.
        callback: called with each logged row and each evaluation, as a dict. `False` ends the run, after a checkpoint; so
            does an exception, which is raised again.
        num_envs: environments that are stepped together.
        device: `"cpu"`, `"cuda"`, `"cuda:N"` or `"auto"`.
        threads: threads of an update.
        config: an experiment file; `"none"` skips the one that ships for the environment.
        init_from: a run on the same spaces, with whose parameters this one begins.
        env_options: options of the environment, such as `{"time_limit": 500}`.
        progress: whether a progress bar is shown; by default in terminals and notebooks.
        **settings: any other setting: `agent__gamma=0.98`, `train={"batch_size": 128}` or `**{"eval.every": "never"}`.

    Ctrl-C ends the run after a checkpoint, and raises KeyboardInterrupt. `sac.resume(run_dir)` goes on with it.

    Raises:
        ConfigError: with all problems of the settings.
        EnvError: for an environment that cannot be made, or fails; a checkpoint was written then.
    """
    given = {"steps": steps, "seed": seed, "num_envs": num_envs, "device": device, "threads": threads}
    source = None
    all_settings = _settings(given, settings)
    options = dict(env_options or {})
    if env is None or isinstance(env, str):
        env_id = env
    elif (native := objects.native_of(env)) is not None:
        env_id, own = native
        options = {**own, **options}
    else:
        source = objects.source_of(env)
        env_id = source.id
        for key in ("kwargs", "imports", "python", "workers", "step_timeout_s"):
            if key in options:
                raise ArgumentError(f"env_options has {key!r}, which is for ids with py:, and env is an object")
        options = {**source.options, **options}
    if options:
        all_settings["env"] = _merged(all_settings.get("env", {}), options)
    _prepare_device(device)
    try:
        start = None if init_from is None else os.fspath(init_from)
        path = None if run_dir is None else os.fspath(run_dir)
        file = None if config is None else os.fspath(config)
        training = _sac.train(env_id, algo, file, all_settings, source, path, start)
        return _follow(training, callback, progress, env if source is not None else None)
    finally:
        if source is not None:
            source.close()


def resume(
    run: Any,
    *,
    steps: int | None = None,
    env: Any = None,
    callback: Callback | None = None,
    device: str | None = None,
    threads: int | None = None,
    branch: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Run:
    """Goes on with a run from its newest checkpoint, as if it had never stopped.

    Args:
        run: a `Run`, or its folder.
        steps: another end, in env steps since the beginning of the run.
        env: the environment object or callable, for a run that was trained on one.
        branch: a new folder for what follows; the run stays as it is.
        **settings: learning rates, `train__updates_per_env_step`, and what belongs to `eval`, `checkpoint` and `log`.

    The other arguments are those of `train`.
    """
    path = Path(os.fspath(run))
    given = {"steps": steps, "device": device, "threads": threads}
    env = env if env is not None else getattr(run, "_env", None)
    source = _source_for(path, env)
    _prepare_device(device)
    try:
        target = None if branch is None else os.fspath(branch)
        training = _sac.resume(os.fspath(path), _settings(given, settings), source, target)
        return _follow(training, callback, progress, env)
    finally:
        if source is not None:
            source.close()


def _source_for(path: Path, env: Any) -> objects.Source | None:
    """The environments of a run: those of an object if there is one, and those that the native half knows otherwise."""
    id = env_id_of(path)
    if env is not None and objects.native_of(env) is None:
        return objects.source_of(env, id)
    if id is not None and id.startswith("object:"):
        raise ArgumentError(
            f"{path}: this run was trained on an environment object ({id}); pass it or one like it as env=…"
        )
    return None


def env_id_of(path: Path) -> str | None:
    """The id in the configuration of a run, as far as it can be read without a TOML parser."""
    config = path / "config.toml"
    if not config.is_file():
        return None
    table = ""
    for line in config.read_text().splitlines():
        if line.startswith("["):
            table = line.strip()
        if table == "[env]" and line.startswith("id = "):
            return json.loads(line.removeprefix("id = "))
    return None


def _settings(given: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    all_settings = dict(settings)
    for name, value in given.items():
        if value is not None:
            all_settings[SHORT[name]] = value
    return all_settings


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **other}


def _prepare_device(device: str | None) -> None:
    """libtorch's CUDA half comes with the package torch."""
    if device is not None and str(device).startswith(("cuda", "auto")):
        import torch  # noqa: F401


def _follow(training: Any, callback: Callback | None, progress: bool | None, env: Any) -> Run:
    """Waits for a training, hands rows to the callback, and shows progress."""
    interrupts, failure = 0, None
    with _bar(progress, training.total_env_steps) as show:
        while True:
            try:
                event = training.next()
                if event is None:
                    continue
                kind, value = event
                if kind == "done":
                    break
                if kind == "progress":
                    show(value)
                elif failure is None and callback is not None:
                    is_going_on, failure = _asked(callback, value)
                    if not is_going_on:
                        training.stop()
            except KeyboardInterrupt:
                interrupts += 1
                training.stop()
                if interrupts > 1:
                    # A step of an environment may never come to its end.
                    training.interrupt()
    try:
        summary = json.loads(training.summary())
    except Exception:
        if failure is not None:
            raise failure
        if interrupts:
            raise KeyboardInterrupt from None
        raise
    if failure is not None:
        raise failure
    if interrupts:
        raise KeyboardInterrupt
    return Run(training.run_dir, summary, env)


def _asked(callback: Callback, row: dict[str, float]) -> tuple[bool, Exception | None]:
    """Whether training goes on after a row, and what the callback raised: what was learned is saved first."""
    try:
        answer = callback(row)
    except Exception as error:
        return False, error
    return answer is None or bool(answer), None


class _bar:
    """A progress bar as a context, which is a function of the env steps."""

    def __init__(self, progress: bool | None, total: int):
        self._bar = None
        if progress is None:
            progress = sys.stderr.isatty() or "ipykernel" in sys.modules
        if not progress:
            return
        try:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit="step", unit_scale=True, leave=False)
        except ImportError:
            self._bar = _PlainBar(total)

    def __enter__(self) -> Callable[[int], None]:
        return self._show

    def _show(self, env_steps: int) -> None:
        if self._bar is not None:
            self._bar.update(env_steps - self._bar.n)

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class _PlainBar:
    """What is shown where tqdm is not installed: one line that is written again."""

    def __init__(self, total: int):
        self.n, self._total, self._shown = 0, total, -1

    def update(self, steps: int) -> None:
        self.n += steps
        percent = 100 * self.n // max(self._total, 1)
        if percent != self._shown:
            self._shown = percent
            print(f"\r{percent:3d} % of {self._total:,} env steps", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)


def runs(folder: str | os.PathLike[str] = "runs") -> Iterator[Run]:
    """All runs below a folder, oldest first by name."""
    for config in sorted(Path(folder).rglob("config.toml")):
        yield Run(config.parent)
