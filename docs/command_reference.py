"""The directive ``command-reference``: a section for each command, with an anchor for each option."""  # noqa: INP001 - an extension of this documentation only

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

from cyclopts import App
from cyclopts.argument import Argument
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from leadpay.cli import app as command

BUILT_IN = ("-", "--")
"""What cyclopts adds to each command: help and version."""


class CommandReference(Directive):
    """Describes the command and all commands below it, from the same objects that ``--help`` prints."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Make one section for each command."""
        return [describe(app, " ".join(path)) for path, app in commands(command, ("leadpay",))]


def commands(app: App, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], App]]:
    """List a command and the commands below it, with their full names."""
    yield path, app
    for name in app:
        if not name.startswith("-"):
            yield from commands(app[name], (*path, name))


def describe(app: App, name: str) -> nodes.section:
    """Make the section of one command: what it does, its commands, its options."""
    section = nodes.section(ids=[nodes.make_id(name)], names=[nodes.fully_normalize_name(name)])
    section += nodes.title(text=name)
    section += paragraphs(app.help)
    if below := [path for path, _ in commands(app, (name,)) if len(path) == 2]:  # noqa: PLR2004 - a direct child
        section += nodes.paragraph("", "Commands: ", *links(" ".join(path) for path in below))
    if app.default_command is not None:
        arguments = app.assemble_argument_collection(parse_docstring=True)
        section += nodes.definition_list("", *(describe_argument(argument, name) for argument in arguments))
    return section


def paragraphs(text: str) -> list[nodes.Node]:
    """Split a help text; a part with indented lines keeps its lines."""
    description = inspect.cleandoc(text).partition("\nArgs:\n")[0].strip()
    return [
        nodes.literal_block(text=part, language="text") if "\n  " in part else nodes.paragraph(text=part)
        for part in description.split("\n\n")
    ]


def links(names: Iterator[str]) -> Iterator[nodes.Node]:
    """Link to the sections of commands, separated by commas."""
    for number, name in enumerate(names):
        if number:
            yield nodes.Text(", ")
        yield nodes.reference("", "", nodes.literal(text=name), refid=nodes.make_id(name))


def describe_argument(argument: Argument, name: str) -> nodes.definition_list_item:
    """Make the entry of one option or argument, with an anchor such as ``leadpay-serve-port``."""
    positional = argument.index is not None
    names = [argument.name.lstrip("-").upper()] if positional else argument.names
    anchor = nodes.make_id(f"{name} {argument.name}")
    term = nodes.term("", "", nodes.reference("", "", nodes.literal(text=", ".join(names)), refid=anchor), ids=[anchor])
    about = [f"{(argument.parameter.help or '').rstrip('.')}."]
    if choices := argument.get_choices():
        about.append(f"One of: {', '.join(choices)}.")
    if argument.parameter.env_var:
        about.append(f"Environment variable: {', '.join(argument.parameter.env_var)}.")
    if argument.required:
        about.append("Required.")
    elif argument.field_info.default not in {None, False, (), inspect.Parameter.empty}:
        about.append(f"Default: {argument.field_info.default}.")
    return nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph(text=" ".join(about))))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
