"""Distributions as pip leaves them behind, made for one test."""

import sys
from importlib import invalidate_caches
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path
from textwrap import dedent

GROUP = "leadpay.handlers"


class Installed:
    """A folder of modules and their metadata, on the path while a test runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, points: dict[str, str], module: str = "", source: str = "") -> None:
        """Install a distribution with entry points, and perhaps a module."""
        about = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {place}\n" for name, place in points.items())
        (about / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")
        if module:
            (self.folder / f"{module}.py").write_text(dedent(source))
        invalidate_caches()

    def points(self) -> list[EntryPoint]:
        """Give all entry points, in no particular order."""
        found = [PathDistribution(path) for path in self.folder.glob("*.dist-info")]
        return [point for one in found for point in one.entry_points]

    def forget(self) -> None:
        """Unload its modules."""
        for path in self.folder.glob("*.py"):
            sys.modules.pop(path.stem, None)
