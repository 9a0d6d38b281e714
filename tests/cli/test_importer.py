"""Importing the user's router."""

from pathlib import Path

import pytest

from leadpay.cli.importer import import_router
from leadpay.errors import ConfigurationError
from leadpay.webhooks.router import WebhookRouter


def test_a_router_is_imported_from_the_current_folder(handlers: str) -> None:
    """``MODULE:NAME`` names it."""
    assert isinstance(import_router(f"{handlers}:router"), WebhookRouter)


@pytest.mark.parametrize("path", ["nowhere:router", "handlers", "{}:other", "{}:missing", ":router"])
def test_a_wrong_path_is_a_configuration_error(handlers: str, path: str) -> None:
    """The message begins with what was wrong."""
    with pytest.raises(ConfigurationError, match=r"no module|must be MODULE:NAME|is not a WebhookRouter"):
        import_router(path.format(handlers))


def test_an_error_inside_the_module_is_not_hidden(handlers: str, tmp_path: Path) -> None:
    """A module that fails to import another module is not reported as missing."""
    (tmp_path / "broken_handlers.py").write_text("import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        import_router("broken_handlers:router")
