"""The systemd units: systemd reads them, and their commands can be run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from leadpay.cli import app

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="SYSTEMD-ANALYZE IS MISSING: the units were not tried")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_reads_the_unit(unit: Path, tmp_path: Path) -> None:
    """With a command and a user that are here."""
    text = unit.read_text(encoding="utf-8").replace("/opt/leadpay/bin/leadpay", sys.executable)
    copy = tmp_path / unit.name
    copy.write_text(text.replace("User=leadpay", "User=root"))
    done = subprocess.run([str(ANALYZE), "verify", str(copy)], capture_output=True, text=True, check=False)  # noqa: S603 - a fixed tool
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_its_command_is_one_of_ours(unit: Path) -> None:
    """A wrong option would restart it for ever."""
    [command] = re.findall(r"^ExecStart=/opt/leadpay/bin/leadpay (.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    _, bound, *_ = app.parse_args(command.split(), exit_on_error=False, print_error=False)
    assert bound.arguments["router"] == "handlers:router"
