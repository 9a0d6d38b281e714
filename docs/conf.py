"""How the documentation is made; nothing here needs the internet."""  # noqa: INP001 - Sphinx finds it here

import builtins
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
from cyclopts import App
from docutils import nodes
from docutils.parsers.rst import Directive
from rich.console import Console
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext import napoleon

from leadpay import __version__
from leadpay.cli import app as command

project = "leadpay"
author = "The leadpay maintainers"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"leadpay {__version__}"
html_copy_source = False

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
add_module_names = False

nitpick_ignore_regex = [
    # Other people's names: their pages would have to be fetched.
    (
        r"py:.*",
        r"(_?asyncio|collections|contextlib|datetime|decimal|enum|importlib|pathlib|sqlite3|types|uuid)(\.\w+)+",
    ),
    (r"py:.*", r"(aiohttp|attrs?|cattrs|opentelemetry|_?pytest)(\.\w+)+"),
    (r"py:class", r"Converter"),
    # Type variables.
    (r"py:class", r"leadpay\.(\w+\.)+[A-Z]"),
]


class Google(napoleon.GoogleDocstring):
    """Docstrings in which a colon separates names from their meaning, and nothing else: types are in the signatures."""

    def _consume_returns_section(self, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:  # noqa: ARG002
        return [("", "", self._dedent(self._consume_to_next_section()))]


def _read_google(app: Sphinx, _: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    # As if of a function: napoleon takes what stands before the colon in an attribute's docstring for its type.
    lines[:] = Google(lines, napoleon.Config(), app, "function", name, obj, options).lines()


def _show_defaults(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, _: Any) -> Any:  # noqa: ARG001, PLR0917 - what Sphinx calls
    """Write the defaults of attrs classes as values, where autodoc finds attrs' own code."""
    if signature is None or not attrs.has(obj):
        return None
    for field in attrs.fields(obj):
        default = "..." if callable(field.default) or isinstance(field.default, attrs.Factory) else repr(field.default)
        signature = signature.replace(f"attr_dict['{field.name}'].default", default)
    return signature.replace("= NOTHING", "= ..."), None


def _leave_builtins_alone(app: Sphinx, tree: nodes.document) -> None:  # noqa: ARG001 - what Sphinx calls
    """Keep the ``object`` and ``type`` of an annotation from being taken for fields of ours with these names."""
    for reference in tree.findall(addnodes.pending_xref):
        if hasattr(builtins, reference.get("reftarget", "")):
            reference.attributes.pop("refspecific", None)


class CommandHelp(Directive):
    """``command-help``: what ``--help`` prints, for the command and all below it."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Make a section for each."""
        made: list[nodes.Node] = []
        for path in _commands(command, ("leadpay",)):
            name = " ".join(path)
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(text=name)
            section += nodes.literal_block(text=_help(path[1:]), language="text")
            made.append(section)
        return made


def _commands(app: App, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name in app:
        if not name.startswith("-"):
            yield from _commands(app[name], (*path, name))


def _help(path: tuple[str, ...]) -> str:
    printed = io.StringIO()
    command.help_print(list(path), console=Console(file=printed, width=100))
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def setup(app: Sphinx) -> dict[str, Any]:
    """Add what this documentation needs."""
    app.add_directive("command-help", CommandHelp)
    app.connect("doctree-read", _leave_builtins_alone)
    app.connect("autodoc-process-signature", _show_defaults)
    app.connect("autodoc-process-docstring", _read_google)
    return {"parallel_read_safe": True}
