"""The command `sac`."""

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command that `sys.argv` names, and ends the process with its exit code."""
    from . import _sac

    # Ctrl-C is for the command, which writes a checkpoint, and not for the interpreter.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = _sac.cli(["sac", *sys.argv[1:]])
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
