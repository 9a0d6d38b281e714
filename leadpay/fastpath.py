"""From JSON to frozen models in two steps: what makes reading a webhook cheap.

msgspec reads and checks JSON faster than others only parse it, but not into frozen attrs classes: it can't call a field
``return``, and each field that isn't there takes it 0.3 us. So each model has a shape, a ``msgspec.Struct`` of the same
fields, and a generated function that moves a shape's values into the model. For an event of 1.2 KB that holds nine
models msgspec takes 2.7 us, moving 2.9, and the plain converter 41, where ``orjson.loads`` alone takes 4 (best of many
runs on one machine, Python 3.11). Two things make moving cheap:

- A frozen ``__init__`` stores each field through ``object.__setattr__``: 17 us more. So an unfrozen subclass, whose
  stores are single instructions, is filled, and then given its real class, which takes 0.1 us for each model.
- A model without a value is one for all: 0.2 us less, and less memory.

A shape knows one answer, yes. A field that it doesn't know ends in an exception; then the same is done with an open
shape and the data beside it, of which what is unknown is kept. Whatever else it does not expect ends in an exception
too, and the plain converter then decides, and explains with paths. Property tests hold all of them against each other.

To see what is generated: ``print(source(InstantPayment)[0])``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_type_hints

import attrs

from leadpay.models import MAX_AMOUNT, Model

if TYPE_CHECKING:
    from msgspec import Struct

M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=Callable[..., Any])


def wire_name(attribute: str) -> str:
    """Name a field as the bank does: ``return`` is a keyword in Python."""
    return attribute.removesuffix("_")


def field_types(cls: type[Model]) -> dict[str, Any]:
    """List the fields that come over the wire, with their types."""
    hints = get_type_hints(cls)
    return {a.name: hints[a.name] for a in attrs.fields(cls) if a.name != "_unknown_fields"}


def unknown_fields(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any] | None:
    """Pick the fields that a class doesn't know; None if there are none."""
    return {name: value for name, value in data.items() if name not in known} or None


def _cached(make: F) -> F:
    """Do what ``functools.cache`` does, which to a type checker takes no classes."""
    return cast("F", cache(make))


@_cached
def from_json(cls: type[M]) -> Callable[[bytes], M]:
    """Give the function that reads one class from JSON without unknown fields; it is made when it is first needed."""
    from msgspec.json import Decoder  # noqa: PLC0415 - a tenth of the time of `import leadpay`

    move, decode = _mover(cls), Decoder(shape(cls)).decode
    return lambda body: move(decode(body))


@_cached
def from_data(cls: type[M]) -> Callable[[Any], M]:
    """Give the function that reads one class from data that a JSON parser made, and keeps unknown fields."""
    from msgspec import ValidationError, convert  # noqa: PLC0415 - as in from_json

    move, exact = _mover(cls), shape(cls)
    move_and_keep, open_ended = _mover(cls, keep=True), shape(cls, is_open=True)

    def read(data: Any) -> M:
        try:
            return move(convert(data, exact))
        except ValidationError:
            return move_and_keep(convert(data, open_ended), data)

    return read


@_cached
def shape(cls: type[Model], *, is_open: bool = False) -> "type[Struct]":
    """Make the Struct that a model is read by: its fields under the bank's names, and others only if it is open."""
    from msgspec import defstruct  # noqa: PLC0415 - as in from_json

    fields = [
        (name, _wire_type(_without_none(hint), is_open) | None, None)
        if _may_be_none(hint)
        else (name, _wire_type(hint, is_open))
        for name, hint in field_types(cls).items()
    ]
    # Not tracked by the garbage collector, which needn't look at what lives for a microsecond.
    return defstruct(cls.__name__, fields, rename=wire_name, kw_only=True, forbid_unknown_fields=not is_open, gc=False)


def source(cls: type[Model], *, keep: bool = False) -> tuple[str, dict[str, Any]]:
    """Write the function that moves a shape's values into its model.

    Args:
        cls: the model.
        keep: whether to keep the fields that only the data has.

    Returns:
        The source of ``move(shape)``, or of ``move(shape, data)``, and what its global names stand for.
    """
    types = field_types(cls)
    names: dict[str, Any] = {"new": _unfrozen(cls), "real": cls}
    lines = ["it = new()", *(f"it.{name} = {_moved(name, hint, names, keep)}" for name, hint in types.items())]
    if keep:
        names |= {"unknown_fields": unknown_fields, "known": frozenset(map(wire_name, types))}
    elif all(map(_may_be_none, types.values())):
        # Frozen, and thus one for all: related_objects is empty most often.
        names |= {"nothing": shape(cls)(), "empty": cls()}
        lines.insert(0, "if shape == nothing: return empty")
    lines += [
        f"it._unknown_fields = {'unknown_fields(data, known)' if keep else None}",
        "it.__class__ = real",
        "return it",
    ]
    return f"def move({'shape, data' if keep else 'shape'}):\n" + "".join(f"    {line}\n" for line in lines), names


def _moved(name: str, hint: Any, names: dict[str, Any], keep: bool) -> str:
    """Write what a field becomes: itself, or the model of the shape that it holds, or of each."""
    value = f"shape.{name}"
    inner, is_tuple = _inner(_without_none(hint))
    if inner is None:
        return value
    names[f"move_{name}"] = _mover(inner, keep=keep)
    if not is_tuple:
        data = f", data[{wire_name(name)!r}]" if keep else ""
        return f"{value} and " * _may_be_none(hint) + f"move_{name}({value}{data})"
    if keep:
        return f"tuple([move_{name}(one, its) for one, its in zip({value}, data[{wire_name(name)!r}])])"
    return f"tuple([move_{name}(one) for one in {value}]) if {value} else ()"


@_cached
def _mover(cls: type[M], *, keep: bool = False) -> "Callable[..., M]":
    text, names = source(cls, keep=keep)
    exec(text, names)  # noqa: S102 - made from our own class definitions, never from input
    move: Callable[..., M] = names["move"]
    return move


def _wire_type(hint: Any, is_open: bool) -> Any:
    """Say what a field holds in a shape."""
    from msgspec import Meta  # noqa: PLC0415 - as in from_json

    if hint is Any:
        return dict[str, Any]
    if hint is int:
        return Annotated[int, Meta(ge=-MAX_AMOUNT - 1, le=MAX_AMOUNT)]
    if hint is datetime:
        return Annotated[datetime, Meta(tz=True)]
    if get_args(hint):  # all that is left of generic types is tuple[item, ...]
        return tuple.__class_getitem__((_wire_type(get_args(hint)[0], is_open), ...))
    return shape(hint, is_open=is_open) if issubclass(hint, Model) else hint


def _inner(hint: Any) -> tuple[type[Model] | None, bool]:
    """Find the model that a field holds, if it does, and whether it holds a tuple of them."""
    is_tuple = bool(get_args(hint))
    item = get_args(hint)[0] if is_tuple else hint
    return (item if isinstance(item, type) and issubclass(item, Model) else None), is_tuple


def _unfrozen(cls: type[Model]) -> Any:
    """Make a subclass that lets its fields be set.

    Python sets a slot in one instruction only where ``__setattr__`` and ``__delattr__`` both are object's own. And it
    is a subclass without slots of its own, since its objects can then change to the real class without a look at them.
    """
    body: dict[str, Any] = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(cls.__name__, (cls,), {"__slots__": (), **body})


def _may_be_none(hint: Any) -> bool:
    return _without_none(hint) is not hint


def _without_none(hint: Any) -> Any:
    """Take ``| None`` away."""
    rest = [part for part in get_args(hint) if part is not type(None)]
    return rest[0] if len(rest) == 1 and type(None) in get_args(hint) else hint
