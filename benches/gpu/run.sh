#!/usr/bin/env bash
# Runs the rehearsal with the libtorch of this machine's PyTorch. Arguments go to the program: `run.sh --help`.
# SAC_PYTHON is the Python that has PyTorch, instead of python3.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${SAC_PYTHON:-python3}
# Looked up and not imported: an import takes seconds, and may fail for reasons that do not matter here.
found=$("$python" - <<'PYTHON'
import glob
import importlib.metadata
import importlib.util
import os
import sys

spec = importlib.util.find_spec("torch")
if spec is None or spec.origin is None:
    sys.exit(f"error: {sys.executable} has no PyTorch; SAC_PYTHON names another Python")
version = importlib.metadata.version("torch")
if not version.startswith("2.11."):
    sys.exit(f"error: the binary is built for PyTorch 2.11, and {sys.executable} has {version}")
torch = os.path.dirname(spec.origin)
folders = [os.path.join(torch, "lib")]
if not os.path.exists(os.path.join(folders[0], "libtorch_cuda.so")):
    sys.exit(f"error: {torch} is PyTorch without CUDA")
nvidia = importlib.util.find_spec("nvidia")
packages = list(nvidia.submodule_search_locations or []) if nvidia else []
for package in [os.path.join(os.path.dirname(torch), "nvidia"), *packages]:
    folders += [folder for folder in sorted(glob.glob(os.path.join(package, "*", "lib"))) if folder not in folders]
print(version)
print(":".join(folders))
PYTHON
) || exit 2

export SAC_REHEARSAL_TORCH=${found%%$'\n'*}
export LD_LIBRARY_PATH=${found#*$'\n'}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec "$here/sac-gpu-rehearsal" "$@"
