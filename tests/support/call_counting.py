"""Count the calls of leadpay's own functions in a piece of work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import leadpay

_PACKAGE = f"{Path(leadpay.__file__).parent}/"
_NOT_FUNCTIONS = {"<module>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
"""Code that has a frame of its own in some versions of Python, although it is no function."""


class CountedCalls:
    """The calls of leadpay's own functions, in their order."""

    def __init__(self) -> None:
        self._frames: dict[FrameType, None] = {}
        self._inside: set[FrameType] = set()
        """Rules of single fields, and what they call: to read a model is one step, however many fields it has."""

    def __len__(self) -> int:
        return len(self._frames)

    def __str__(self) -> str:
        """List the calls, one a line: what a failing test shows."""
        calls = [f"{self._file(frame)}: {frame.f_code.co_qualname}" for frame in self._frames]
        return "\n".join(["", *(f"{number:3} {call}" for number, call in enumerate(calls, 1))])

    @property
    def files(self) -> set[str]:
        """The files with a function that was called, such as ``client/executor.py``."""
        return {self._file(frame) for frame in self._frames}

    def observe(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call; resuming a coroutine is not another one."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_PACKAGE) or code.co_name in _NOT_FUNCTIONS:
            return
        if frame.f_back is not None and (frame.f_back in self._inside or _is_compiled(frame.f_back)):
            self._inside.add(frame)
        else:
            self._frames[frame] = None

    @staticmethod
    def _file(frame: FrameType) -> str:
        return frame.f_code.co_filename.removeprefix(_PACKAGE)


def _is_compiled(frame: FrameType) -> bool:
    """Say whether a frame is of the converter's compiled code, which calls the rules of a model's fields."""
    return frame.f_code.co_filename.startswith("<") and frame.f_globals.get("__name__") != "__main__"


@contextmanager
def counting_calls() -> Iterator[CountedCalls]:
    """Count every call in this thread, in other tasks too.

    Like this::

        with counting_calls() as calls:
            await work()
        assert len(calls) <= 25, calls
        assert len(calls.files) <= 9, calls.files
    """
    calls, before = CountedCalls(), sys.getprofile()
    sys.setprofile(calls.observe)
    try:
        yield calls
    finally:
        sys.setprofile(before)
