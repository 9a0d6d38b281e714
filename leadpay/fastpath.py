"""One generated function per class, from JSON data to a frozen model: what makes reading a webhook cheap.

Why generated: for a 1.5 KB webhook, one hook per field costs about three times as much, and a frozen ``__init__``
doubles it again (``benchmarks/webhook.py`` measures both). So a function fills an unfrozen twin, which has the same
slots, and then gives it its real class.

What is generated knows one answer, yes. Whatever it does not expect ends in an exception of any kind, and the plain
converter then decides, and explains with paths. A property test holds the two against each other.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar, get_args, get_type_hints

import attrs

from leadpay.enums import OpenEnum
from leadpay.models import Model

M = TypeVar("M", bound=Model)
Structure = Callable[[Any], Any]


class Unexpected(Exception):  # noqa: N818 - never leaves the converter
    """The data is not what the fast path knows."""


def wire_name(attribute: str) -> str:
    """Name a field as the bank does: ``return`` is a keyword in Python."""
    return attribute.removesuffix("_")


def field_types(cls: type[Model]) -> dict[str, Any]:
    """List the fields that come over the wire, with their types."""
    hints = get_type_hints(cls)
    return {a.name: hints[a.name] for a in attrs.fields(cls) if a.name != "_unknown_fields"}


class _Members(dict[str, OpenEnum]):
    """The values of an enum; one that is missing is made, and not kept."""

    def __init__(self, enum: type[OpenEnum]) -> None:
        super().__init__((member.value, member) for member in enum)
        self._enum = enum

    def __missing__(self, value: object) -> OpenEnum:
        if type(value) is not str:
            raise Unexpected
        return self._enum(value)


class Compiler:
    """Makes the functions, each when it is first needed."""

    def __init__(self) -> None:
        self._made: dict[type[Model], Structure] = {}

    def function(self, cls: type[Model]) -> Structure:
        """Give the function that structures one class."""
        try:
            return self._made[cls]
        except KeyError:
            made = self._made[cls] = self._make(cls)
            return made

    def _make(self, cls: type[Model]) -> Structure:
        names: dict[str, Any] = {"Unexpected": Unexpected, "real": cls, "twin": _twin(cls)}
        required = optional = ""
        count = 0
        for name, hint in field_types(cls).items():
            inner = _without_none(hint)
            lines = self._lines(name, inner, names)
            if inner is hint:
                count += 1
                required += f"    value = data[{wire_name(name)!r}]\n" + "".join(f"    {line}\n" for line in lines)
            else:
                optional += (
                    f"    value = data.get({wire_name(name)!r})\n    if value is None:\n        it.{name} = None\n"
                )
                optional += "    else:\n        seen += 1\n" + "".join(f"        {line}\n" for line in lines)
        names["known"] = frozenset(wire_name(name) for name in field_types(cls))
        source = (
            "def structure(data):\n"
            "    if type(data) is not dict: raise Unexpected\n"
            "    it = twin()\n"
            f"    seen = {count}\n"
            f"{required}{optional}"
            # Nulls also make the lengths differ; looking then finds nothing, and costs little.
            "    it._unknown_fields = None if len(data) == seen else unknown_fields(data, known)\n"
            "    it.__class__ = real\n"
            "    return it\n"
        )
        names["unknown_fields"] = unknown_fields
        exec(source, names)  # noqa: S102 - made from our own class definitions, never from input
        made: Structure = names["structure"]
        return made

    def _lines(self, name: str, hint: Any, names: dict[str, Any]) -> list[str]:
        """Write the statements that check ``value`` and store it."""
        if hint in (str, int, bool):
            return [f"if type(value) is not {hint.__name__}: raise Unexpected", f"it.{name} = value"]
        if hint is datetime:
            names["time"] = datetime.fromisoformat
            return ["value = time(value)", "if value.tzinfo is None: raise Unexpected", f"it.{name} = value"]
        if hint is Any:
            return ["if type(value) is not dict: raise Unexpected", f"it.{name} = value"]
        if isinstance(hint, type) and issubclass(hint, OpenEnum):
            names[f"of_{name}"] = _Members(hint)
            return [f"it.{name} = of_{name}[value]"]
        if isinstance(hint, type) and issubclass(hint, Model):
            names[f"of_{name}"] = self.function(hint)
            return [f"it.{name} = of_{name}(value)"]
        (item, _) = get_args(hint)  # all that is left is tuple[item, ...]
        names[f"of_{name}"] = _text if item is str else self.function(item)
        return [
            "if type(value) is not list: raise Unexpected",
            f"it.{name} = tuple([of_{name}(item) for item in value]) if value else ()",
        ]


def _twin(cls: type[Model]) -> type:
    """Make a class with the same layout that lets its slots be set."""
    base = cls.__bases__[0]
    bases = (base,) if base is Model else (_twin(base),)
    return type(cls.__name__, bases, {"__slots__": cls.__dict__["__slots__"], "__init__": object.__init__})


def _without_none(hint: Any) -> Any:
    """Take ``| None`` away."""
    rest = [part for part in get_args(hint) if part is not type(None)]
    return rest[0] if len(rest) == 1 and type(None) in get_args(hint) else hint


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Unexpected
    return value


def unknown_fields(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    """Pick the fields that a class doesn't know; None if there are none."""
    return {name: value for name, value in data.items() if name not in known} or None


COMPILER: Final = Compiler()
