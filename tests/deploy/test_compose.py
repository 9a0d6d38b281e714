"""The compose file: its shape, and the commands in it."""

from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from leadpay.cli import app

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
SERVICE: Final = {
    "type": "object",
    "required": ["image", "restart", "healthcheck"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "restart": {"enum": ["always"]},
        "command": {"type": "string"},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+s$"},
        "environment": TEXTS,
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": r"^\w+:/"}},
        "depends_on": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"condition": {"const": "service_healthy"}}},
        },
        "healthcheck": {
            "type": "object",
            "required": ["test", "interval"],
            "additionalProperties": False,
            "properties": {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": {"type": "string"}},
                "interval": {"type": "string", "pattern": r"^\d+s$"},
                "retries": {"type": "integer"},
            },
        },
    },
}
"""The part of the Compose specification that the file uses."""


def test_the_file_has_the_shape_of_a_compose_file() -> None:
    """Every service is restarted and checked, ports are open to this machine only, volumes are declared."""
    schema = {
        "type": "object",
        "required": ["services"],
        "properties": {"services": {"type": "object", "additionalProperties": SERVICE}},
    }
    jsonschema.validate(COMPOSE, schema)
    used = {one.partition(":")[0] for service in COMPOSE["services"].values() for one in service.get("volumes", ())}
    assert used == set(COMPOSE["volumes"])
    assert all(
        set(service.get("depends_on", ())) <= set(COMPOSE["services"]) for service in COMPOSE["services"].values()
    )


@pytest.mark.parametrize("service", ["receive", "work"])
def test_its_commands_are_ours(service: str) -> None:
    """A wrong option would restart it for ever."""
    command = COMPOSE["services"][service]["command"]
    _, bound, *_ = app.parse_args(command.split(), exit_on_error=False, print_error=False)
    assert bound.arguments["host"] == "0.0.0.0"  # noqa: S104 - within a container


def test_the_image_has_every_extra_that_the_services_need() -> None:
    """The command, PostgreSQL and metrics."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert "leadpay[cli,metrics,postgres]" in text
    assert 'ENTRYPOINT ["leadpay"]' in text
