"""The programs of `examples/python`, each from its beginning to its end."""

import importlib.util
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


def test_all_programs_are_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PROGRAMS)


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
