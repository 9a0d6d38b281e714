"""Randomness that is always the same."""

from random import Random


class FixedRandom(Random):
    """Gives one number for ever."""

    def __init__(self, value: float = 0.5) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        """Give it."""
        return self._value
