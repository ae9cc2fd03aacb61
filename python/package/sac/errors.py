"""Exceptions of the package."""

from __future__ import annotations

__all__ = ["ArgumentError", "ConfigError", "DivergedError", "EnvError", "Error", "RunError"]


class Error(Exception):
    """Any error of this package. `str(error)` says what is wrong, and mostly what to do about it.

    `checkpoint` is the folder of the last good checkpoint, for an error that ended a training and left one.
    """

    checkpoint: str | None

    def __init__(self, message: str, checkpoint: str | None = None):
        super().__init__(message)
        self.checkpoint = None if checkpoint is None else str(checkpoint)


class ConfigError(Error, ValueError):
    """Settings that are not valid. `problems` lists all of them, each with `key`, `value`, `problem` and `origin`."""

    problems: list[dict[str, str | None]]

    def __init__(self, message: str, problems: list[dict[str, str | None]] | None = None):
        super().__init__(message)
        self.problems = problems or []


class EnvError(Error):
    """An environment that does not exist, cannot be made, or fails. An exception of Python is its `__cause__`."""


class RunError(Error):
    """A folder that is no run, or whose run cannot do what was asked of it."""


class DivergedError(Error):
    """A training that ended because a learned value is not finite any more."""


class ArgumentError(Error, ValueError):
    """An argument that is not valid."""
