"""The directive ``reason-reference``: a section for each enum, with each of its values explained."""  # noqa: INP001 - an extension of this documentation only

from itertools import groupby
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from leadpay.explanations import Explanation, every_explanation


class ReasonReference(Directive):
    """Describes every value from the same table that ``leadpay explain`` prints."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        """Make one section for each kind of value."""
        return [describe(kind, list(found)) for kind, found in groupby(every_explanation(), key=lambda one: one.kind)]


def describe(kind: str, found: list[Explanation]) -> nodes.section:
    """Make the section of one kind."""
    section = nodes.section(ids=[nodes.make_id(kind)], names=[nodes.fully_normalize_name(kind)])
    section += nodes.title(text=kind.capitalize())
    section += nodes.definition_list("", *map(describe_value, found))
    return section


def describe_value(one: Explanation) -> nodes.definition_list_item:
    """Make the entry of one value, with an anchor."""
    anchor = nodes.make_id(f"{one.kind} {one.code}")
    term = nodes.term("", "", nodes.literal(text=one.code), ids=[anchor])
    advice = [f"Who must act: {one.who}.", f"Try again: {one.try_again}."]
    if one.iso_code is not None:
        advice.append(f"ISO 20022: {one.iso_code} (by leadpay).")
    definition = nodes.definition("", nodes.paragraph(text=one.meaning), nodes.paragraph(text=" ".join(advice)))
    if one.for_customer:
        definition += nodes.paragraph("", "For the customer: ", nodes.emphasis(text=one.for_customer))
    return nodes.definition_list_item("", term, definition)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("reason-reference", ReasonReference)
    return {"parallel_read_safe": True}
