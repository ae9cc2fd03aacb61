"""One libtorch in the process, whether the package torch or this one comes first."""

import subprocess
import sys

import pytest

SCRIPT = """
import {first}
import {second}
import torch, sac, pathlib
import numpy as np

env = sac.make("Pendulum-v1")
run = sac.train("Pendulum-v1", steps=150, run_dir={run!r}, config="none", progress=False, train__warmup_env_steps=50,
                agent__body__hidden=[8], train__threads=1, eval__every="never")
policy = sac.load(run)
weights = [torch.from_numpy(values) for values in policy.state_dict().values()]
assert sum(float(w.double().sum()) for w in weights) != 0.0
x = torch.randn(8, 3, requires_grad=True)
(x @ x.T).sum().backward()
actions, _ = policy.predict(x.detach().numpy())
assert actions.shape == (8, 1) and torch.isfinite(torch.from_numpy(actions)).all()
maps = pathlib.Path("/proc/self/maps").read_text().splitlines()
for name in ("libtorch_cpu.so", "libc10.so"):
    files = {{line.split()[-1] for line in maps if line.endswith(name)}}
    assert len(files) == 1, files
    print(files.pop())
"""


def has_torch():
    try:
        import torch
    except ImportError:
        return False
    return hasattr(torch, "Tensor")


@pytest.mark.skipif(not has_torch(), reason="only the libraries of the package torch are here")
@pytest.mark.parametrize(("first", "second"), [("torch", "sac"), ("sac", "torch")])
def test_one_libtorch_serves_both(first, second, tmp_path):
    script = SCRIPT.format(first=first, second=second, run=str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("torch/lib") == 2
