"""How the documentation is made; nothing here needs the internet."""  # noqa: INP001 - Sphinx finds it here

import builtins
import sys
from pathlib import Path
from typing import Any

import attrs
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext import napoleon

from leadpay import __version__

sys.path.insert(0, str(Path(__file__).parent))  # for command_reference and reason_reference

project = "leadpay"
author = "The leadpay maintainers"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = __version__

extensions = ["command_reference", "reason_reference", "myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"leadpay {__version__}"
html_copy_source = False
# The button copies the commands of a console block, without the prompt and without what they print.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

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
        r"(_?asyncio|collections|contextlib|datetime|decimal|enum|importlib|pathlib|random|sqlite3|types|uuid)(\.\w+)+",
    ),
    (r"py:.*", r"(aiohttp|attrs?|cattrs|opentelemetry|prometheus_client|_?pytest)(\.\w+)+"),
    (r"py:class", r"Converter"),
    # What a health check asks of its parts, which is described there.
    (r"py:class", r"leadpay\.health\.(Entered|Probed|Running)"),
    # Names that only type checkers import.
    (r"py:class", r"AnyEvent|AsyncCursor|Params|Query|QueryNoTemplate"),
    # Type variables.
    (r"py:class", r"leadpay\.(\w+\.)+[A-Z]"),
    (r"py:class", r"leadpay\.webhooks\.context\.(State|Connection)"),
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


def setup(app: Sphinx) -> dict[str, Any]:
    """Add what this documentation needs."""
    app.connect("doctree-read", _leave_builtins_alone)
    app.connect("autodoc-process-signature", _show_defaults)
    app.connect("autodoc-process-docstring", _read_google)
    return {"parallel_read_safe": True}
