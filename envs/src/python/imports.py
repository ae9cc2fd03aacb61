"""What the worker needs, or a word about what is missing."""

import json
import struct


def give_up(problem):
    text = json.dumps({"message": problem, "option": "python", "data": 0}).encode()
    os.write(PIPES[1], struct.pack("<BxxxI", 2, len(text)) + text)
    os._exit(0)


for package in ("numpy", "gymnasium"):
    try:
        __import__(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        give_up(
            f"{sys.executable} has no package {package}; install it with `{sys.executable} -m pip install {package}`, or "
            "name another interpreter with env.python"
        )

import gymnasium

version = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in gymnasium.__version__.split(".")[:2])
if version < (0, 29):
    give_up(
        f"{sys.executable} has gymnasium {gymnasium.__version__}, expected at least 0.29; update it with "
        f'`{sys.executable} -m pip install --upgrade "gymnasium>=0.29"`'
    )
