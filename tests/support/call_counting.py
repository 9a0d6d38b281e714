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
        """Note a call; resuming a coroutine is not another one, and reading a field is part of reading its model."""
        code = frame.f_code
        is_ours = code.co_filename.startswith(_PACKAGE) and code.co_name not in _NOT_FUNCTIONS
        if event == "call" and is_ours and not self._is_within_reader(frame):
            self._frames[frame] = None

    @staticmethod
    def _is_within_reader(frame: FrameType) -> bool:
        """Tell whether a compiled function of ``leadpay/converter.py`` called this, directly or not."""
        caller = frame.f_back
        while caller is not None and caller.f_code.co_filename != "<string>":
            caller = caller.f_back if caller.f_code.co_filename.startswith(_PACKAGE) else None
        return caller is not None

    @staticmethod
    def _file(frame: FrameType) -> str:
        return frame.f_code.co_filename.removeprefix(_PACKAGE)


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
