"""The programs of `examples/python`, each from its beginning to its end."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples/python"

# Arguments that make a program short, and packages that it needs beside this one.
PROGRAMS = {
    "custom_env.py": (["700"], []),
    "optuna_search.py": (["2", "500"], ["optuna"]),
    "compare_with_sb3.py": (["600"], ["stable_baselines3"]),
    "notebook.py": ([], ["matplotlib", "pandas"]),
}


# The other programs, which have tests of their own below.
OTHERS = {"to_tracker.py"}


def test_all_programs_are_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PROGRAMS) | OTHERS


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_ends_well(name, tmp_path):
    arguments, packages = PROGRAMS[name]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, EXAMPLES / name, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


# What the trackers' packages are asked to do, on stdout.
STAND_INS = {
    "wandb": """
class Run:
    def define_metric(self, *words, **more): print("metric", words, more)
    def log(self, metrics): print("log", metrics)
    def finish(self): print("finish")
def init(**more):
    print("init", more)
    return Run()
""",
    "mlflow": """
import contextlib
def set_experiment(name): print("experiment", name)
@contextlib.contextmanager
def start_run(**more):
    print("start", more)
    yield
def log_params(settings): print("params", settings)
def log_metrics(metrics, step): print("log", step, metrics)
""",
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib")
@pytest.mark.parametrize("tracker", STAND_INS)
def test_runs_are_copied_to_a_tracker(tracker, tmp_path):
    (tmp_path / f"{tracker}.py").write_text(STAND_INS[tracker])
    run = tmp_path / "E-v0/sac/first"
    run.mkdir(parents=True)
    (run / "config.toml").write_text("algo = 'sac'\n[train]\nseed = 3\n")
    (run / "metrics.jsonl").write_text('{"env_steps":5,"train/q_mean":-1.5,"train/std":null}\n{"env_steps":9}\n')
    command = [sys.executable, EXAMPLES / "to_tracker.py", tracker, run, "--project", "p"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for words in ("'algo': 'sac', 'train.seed': 3", "E-v0/sac/first", "'env_steps': 5, 'train/q_mean': -1.5}", "'env_steps': 9"):
        assert words in said
