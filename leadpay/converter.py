"""JSON <-> models, built on attrs and cattrs. Nothing is coerced, and fields that we don't know are kept.

What loses nothing is tolerated: a field with a default may be missing or null (arrays are then empty, and
``updated_at`` is ``created_at``), a number of seconds may be a string of digits, a time may be a leap second, and a
text may hold what is no valid Unicode. A wrong type of an amount, an ID, a status or a direction is an error.

Each type of field has one rule: a function that takes a JSON value and returns what the model stores, or raises
TypeError or ValueError with the reason. ``_rule`` finds the rule of a type. A model's rule is one function that checks
its fields, reads them and keeps unknown ones. It is compiled from source once, as attrs and cattrs compile theirs; for
``Agent`` the source is::

    def read(data):
        if type(data) is not dict: check_object(data)
        model = new()
        present = 1
        value = data['routing_number']
        model.routing_number = value if type(value) is str else read_routing_number(value)
        model._unknown_fields = None if len(data) == present else unknown_fields(data)
        model.__class__ = cls
        return model

If a rule raises, ``_faults`` applies the same rules one by one and lists everything that is wrong.

msgspec parses and writes the JSON: it keeps integers of any size exact, which orjson turns into floats. What it refuses
though it is JSON (half of a surrogate pair, ``1e400``) goes through Python's own ``json``.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from math import isfinite
from operator import attrgetter
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec

from leadpay import drift
from leadpay.enums import OLDER_SPELLINGS, EventType, OpenEnum
from leadpay.errors import MalformedResponseError, Problem
from leadpay.models import (
    EXPECTED,
    MAX_AMOUNT,
    AccountNumberEvent,
    Event,
    InstantPaymentEvent,
    Model,
    ObjectId,
    Seconds,
)

if TYPE_CHECKING:
    from cattrs import Converter

M = TypeVar("M", bound=Model)
E = TypeVar("E", bound=OpenEnum)
F = TypeVar("F", bound=Callable[..., Any])

MAX_DIGITS: Final = 4000
"""Most digits of an integer that is read as one: Python refuses longer ones, since the time grows with their square."""

MAX_ID: Final = 255
"""Longest ID, and longest type of an event, that is read: databases must be able to index it."""

ALTERNATIVE_KEYS: Final[Mapping[str, str]] = {"account_number": "account number"}
"""Keys of the bank's description, and other spellings of them on the bank's pages, which are read as the same field."""

_INSTANT_PAYMENT: Final = "instant_payment."
_ACCOUNT_NUMBER: Final = "account_number."
_ID: Final = re.compile(rf"[!-~]{{1,{MAX_ID}}}")
_PAYMENT_ID: Final = re.compile(r"instant_payment_\w+", re.ASCII)
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_LEAP_SECOND: Final = re.compile(r"(.*[0-9]{2}:?[0-9]{2}:?)60((?:[.,][0-9]+)?(?:[zZ]|[+-][0-9:]+))", re.ASCII)

_JSON_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    Decimal: "a number out of range",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _cached(function: F) -> F:
    """Do what ``functools.cache`` does, and keep the function's type."""
    return cast("F", cache(function))


# JSON


def encode(data: Any) -> bytes:
    """Write data as JSON in UTF-8, without spaces.

    Raises:
        TypeError: JSON has no such type.
    """
    try:
        return msgspec.json.Encoder(enc_hook=_without_subclass, decimal_format="number").encode(data)
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(data, separators=(",", ":"), default=str).encode()


def _without_subclass(value: Any) -> Any:
    """Convert an instance of a subclass, such as a template's safe string, to the plain string or integer."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def decode(body: bytes) -> Any:
    """Read JSON in UTF-8.

    Raises:
        ValueError: it isn't JSON, or is nested more deeply than Python's stack.
    """
    try:
        return _decoder()(body)
    except (RecursionError, ValueError):  # msgspec's DecodeError is a ValueError
        pass
    try:
        return _tolerant_decoder().decode(str(body, "utf-8", "surrogateescape"))
    except (RecursionError, ValueError):
        # Without its cause, which may quote what was read.
        raise ValueError("must be JSON in UTF-8") from None


@cache
def _decoder() -> Callable[[bytes], Any]:
    from msgspec.json import Decoder  # noqa: PLC0415 - as in _encoder

    return Decoder().decode


@cache
def _tolerant_decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_refuse_constant)


def _number(text: str) -> Any:
    """Read a number exactly where Python's int or float can hold it, else as a Decimal, which comes back out."""
    if text.lstrip("-").isdigit():
        return int(text) if len(text) <= MAX_DIGITS else Decimal(text)
    number = float(text)
    try:
        return number if isfinite(number) else Decimal(text)
    except ArithmeticError:  # the exponent has too many digits even for a Decimal
        return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# JSON -> models


def structure(data: Any, cls: type[M]) -> M:
    """Read JSON data into a model, without coercion.

    Args:
        data: what a JSON parser made of the bank's bytes.
        cls: the model, such as ``InstantPayment``.

    Returns:
        The model. Unknown enum values and unknown fields are kept.

    Raises:
        MalformedResponseError: a field is missing or has the wrong type; ``problems`` has every path.
    """
    try:
        model = _reader(cls)(data)
    except (KeyError, TypeError, ValueError):
        pass
    else:
        if drift.notes.fresh:
            drift.locate(readable_id(data))
        return model
    faults = list(_faults(data, cls))
    error = MalformedResponseError([Problem(f"${fault.path}", fault.reason) for fault in faults], body=data)
    error.object_id, error.payment_id = readable_id(data), _readable_payment_id(data)
    for fault in faults:
        drift.note("type", cls.__name__, _INDEX.sub("[]", fault.path).removeprefix(".") or "$", fault.reason)
    drift.locate(error.object_id)
    raise error


def readable_id(data: Any) -> str | None:
    """Find the ID of an object that cannot be read otherwise; None if there is none that can be read."""
    found = data.get("id") if isinstance(data, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def _readable_payment_id(data: Any) -> str | None:
    """Find the payment that data is, or that an event's data is about."""
    candidates = readable_id(data), readable_id(data.get("object") if isinstance(data, dict) else None)
    return next((found for found in candidates if found is not None and _PAYMENT_ID.fullmatch(found)), None)


def read(body: bytes, cls: type[M]) -> M:
    """Read JSON into a model: ``structure`` of the decoded body.

    Raises:
        MalformedResponseError: as ``structure``.
        ValueError: it is not JSON in UTF-8.
    """
    return structure(decode(body), cls)


def structure_event(data: Any) -> Event:
    """Read JSON data into an event: an InstantPaymentEvent or an AccountNumberEvent if it is about one.

    Raises:
        MalformedResponseError: as ``structure``. An object of a kind that we don't know yet is kept as JSON data.
    """
    name = data.get("event") if isinstance(data, dict) else None
    if isinstance(name, str) and name.startswith(_INSTANT_PAYMENT):
        try:
            return structure(data, InstantPaymentEvent)
        except MalformedResponseError:
            if EventType(name).is_known:
                raise
    elif isinstance(name, str) and name.startswith(_ACCOUNT_NUMBER):
        # The bank's description requires no field of an account number, so one that lacks some is no error.
        with suppress(MalformedResponseError):
            return structure(data, AccountNumberEvent)
    return structure(data, Event)


def read_event(body: bytes) -> Event:
    """Read JSON into an event: ``structure_event`` of the decoded body.

    Raises:
        MalformedResponseError: as ``structure_event``.
        ValueError: it is not JSON in UTF-8.
    """
    return structure_event(decode(body))


# Rules of field types


def _must_be(wanted: str, value: object) -> TypeError:
    return TypeError(f"must be {wanted}, not {_JSON_NAMES.get(type(value), type(value).__name__)}")


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _must_be("a string", value)
    return value


def _object_id(value: Any) -> str:
    """Objects are stored by their IDs, which databases must be able to hold and to index."""
    if not _ID.fullmatch(_string(value)):
        raise ValueError(f"must be an ID of 1 to {MAX_ID} visible ASCII characters")
    return cast("str", value)


def _event_type(value: Any) -> str:
    """Events are stored by their types, too."""
    if not (_string(value).isprintable() and 0 < len(value) <= MAX_ID):
        raise ValueError(f"must have 1 to {MAX_ID} visible characters")
    return cast("str", value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _must_be("a boolean", value)
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _must_be("an integer", value)
    if not -MAX_AMOUNT - 1 <= value <= MAX_AMOUNT:
        raise ValueError("must be an integer of 64 bits")
    return value


def _seconds(value: Any) -> int:
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else _integer(value)


def _time(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except TypeError:
        raise _must_be("a string with a time", value) from None
    except ValueError:
        time = _unusual_time(value)
    if time.tzinfo is None:
        raise ValueError("must be a time with an offset from UTC")
    if not MINYEAR < time.year < MAXYEAR:  # the first and the last hours cannot be converted to another offset
        raise ValueError(f"must be a time in the years {MINYEAR + 1} to {MAXYEAR - 1}")
    return time


def _unusual_time(value: str) -> datetime:
    """Read a time with "t" and "z", or a leap second, which RFC 3339 allows and Python refuses.

    A leap second is the first one of the next minute, as in POSIX.
    """
    leap = _LEAP_SECOND.fullmatch(value)
    text = value if leap is None else f"{leap[1]}59{leap[2]}"
    try:
        return datetime.fromisoformat(text.upper()) + timedelta(seconds=leap is not None)
    except (OverflowError, ValueError):
        raise ValueError("must be a time in ISO 8601") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _must_be("an object", value)
    return value


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _must_be("an array", value)
    return value


def _strings(value: Any) -> dict[str, str]:
    return {key: _string(text) for key, text in _object(value).items()}


def _open_enum(cls: type[E]) -> Callable[[Any], E]:
    rule = _event_type if cls is EventType else _string

    def read(value: Any) -> E:
        made = cls(rule(value))
        if not made.is_known:
            drift.note("word", cls.__name__, str(made))
        return made

    return read


def _tuple(item: Any) -> Callable[[Any], tuple[Any, ...]]:
    rule = _rule(item)
    return lambda value: tuple([rule(element) for element in _array(value)])


_LEAVES: Final[Mapping[Any, Callable[[Any], Any]]] = {
    str: _string,
    ObjectId: _object_id,
    bool: _boolean,
    int: _integer,
    Seconds: _seconds,
    datetime: _time,
    Any: _object,  # the object of another product's event
    Mapping[str, str]: _strings,
}


@_cached
def _rule(hint: Any) -> Callable[[Any], Any]:
    if hint in _LEAVES:
        return _LEAVES[hint]
    if is_tuple(hint):
        return _tuple(get_args(hint)[0])
    return _open_enum(hint) if is_enum(hint) else _reader(hint)


# The rule of a model


class ModelField(NamedTuple):
    """A field that comes from the bank."""

    attribute: str
    key: str
    """The bank's name for it: ``return`` is a keyword in Python."""
    type: Any
    default: Any
    """What it is where it is missing or null; NOTHING if it must not be."""
    is_expected: bool
    """Whether it is drift if it is missing or null all the same."""

    @property
    def is_required(self) -> bool:
        """Whether it must not be missing or null."""
        return self.default is attrs.NOTHING


@_cached
def model_fields(cls: type[Model]) -> tuple[ModelField, ...]:
    """List the fields of a model that come from the bank."""
    attributes = {field.name: field for field in attrs.fields(cls)}
    fields = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if name != "_unknown_fields":
            type_ = next(part for part in get_args(hint) if part is not type(None)) if _is_optional(hint) else hint
            default, metadata = attributes[name].default, attributes[name].metadata
            is_expected = default is not None or metadata.get(EXPECTED, False)
            fields.append(ModelField(name, name.removesuffix("_"), type_, default, is_expected))
    return tuple(fields)


@_cached
def _reader(cls: type[M]) -> Callable[[Any], M]:
    source, names = _reader_source(cls)
    exec(source, names)  # noqa: S102 - made from our own class definitions, never from input
    return cast("Callable[[Any], M]", names["read"])


def _reader_source(cls: type[Model]) -> tuple[str, dict[str, Any]]:
    """Write the function that reads a model.

    Returns:
        The source, and the values of its global names.
    """
    fields = model_fields(cls)
    names: dict[str, Any] = {
        "check_object": _object,
        "new": _unfrozen(cls),
        "cls": cls,
        "unknown_fields": _unknown_fields(cls),
        "missing": _missing(cls),
        "with_usual_keys": _with_usual_keys,
        **{f"read_{field.attribute}": _rule(field.type) for field in fields},
    }
    lines = [
        "if type(data) is not dict: check_object(data)",
        "model = new()",
        f"present = {sum(field.is_required for field in fields)}",
    ]
    for field in fields:
        name, key, hint, default, _ = field
        if key in ALTERNATIVE_KEYS:
            lines.append(f"if {key!r} not in data: data = with_usual_keys(data)")
        lines.append(f"value = data[{key!r}]" if field.is_required else f"value = data.get({key!r})")
        stored = f"read_{name}(value)"
        # Most fields are strings and known enum values: those need no call.
        if hint is str:
            stored = f"value if type(value) is str else {stored}"
        elif hint is ObjectId:
            names["is_id"] = _ID.fullmatch
            stored = f"value if type(value) is str and is_id(value) else {stored}"
        elif is_enum(hint):
            names[f"known_{name}"] = _listed(hint)
            stored = f"known_{name}.get(value) or {stored}"
        if not field.is_required:
            factory = getattr(default, "factory", None)
            names[f"default_{name}"] = factory or default
            lines += ["if value is None:", f"    model.{name} = default_{name}{'(model)' * bool(factory)}"]
            if field.is_expected:
                lines.append(f"    missing({key!r})")
            lines += ["else:", f"    model.{name} = {stored}", "    present += 1"]
        else:
            lines.append(f"model.{name} = {stored}")
    lines += [
        "model._unknown_fields = None if len(data) == present else unknown_fields(data)",
        "model.__class__ = cls",
        "return model",
    ]
    return "def read(data):\n" + "".join(f"    {line}\n" for line in lines), names


def _listed(enum: type[OpenEnum]) -> dict[str, OpenEnum]:
    """Map each spelling of a listed value, the older ones too, to the value."""
    older = (enum(old) for old in OLDER_SPELLINGS)
    return {value.as_sent: value for value in (*enum, *older) if value.is_known}


def _unfrozen(cls: type[Model]) -> type[Model]:
    """Make a subclass without ``__init__`` whose attributes can be set.

    A frozen ``__init__`` sets each attribute through ``object.__setattr__``, which takes longer than all the rest of
    reading. An instance of this subclass is filled instead, and then becomes one of the real class.
    """
    body = {name: getattr(object, name) for name in ("__init__", "__setattr__", "__delattr__")}
    return type(cls.__name__, (cls,), {"__slots__": (), **body})


def _with_usual_keys(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename the keys that the bank's pages spell in another way."""
    usual = {other: key for key, other in ALTERNATIVE_KEYS.items() if key not in data}
    return {usual.get(key, key): value for key, value in data.items()}


def _unknown_fields(cls: type[Model]) -> Callable[[Mapping[str, Any]], dict[str, Any] | None]:
    """Make the function that finds the fields of JSON data that a model does not have, and notes them."""
    keys = frozenset(field.key for field in model_fields(cls))

    def find(data: Mapping[str, Any]) -> dict[str, Any] | None:
        found = {key: value for key, value in data.items() if key not in keys}
        for key in found:
            drift.note("field", cls.__name__, key)
        return found or None

    return find


def _missing(cls: type[Model]) -> Callable[[str], None]:
    return lambda key: drift.note("missing", cls.__name__, key)


# What is wrong


class _Fault(NamedTuple):
    """One value that breaks its rule."""

    path: str
    type: Any
    error: Exception

    @property
    def reason(self) -> str:
        """What to tell the user."""
        return "required field missing" if isinstance(self.error, KeyError) else str(self.error)


def _faults(value: Any, hint: Any, path: str = "") -> Iterator[_Fault]:
    """Apply the rules of a type and of everything inside it one by one, and list what is wrong."""
    rule = _object if is_model(hint) else _array if is_tuple(hint) else _rule(hint)
    try:
        rule(value)
    except (TypeError, ValueError) as error:
        yield _Fault(path, hint, error)
        return
    if is_tuple(hint):
        for index, element in enumerate(value):
            yield from _faults(element, get_args(hint)[0], f"{path}[{index}]")
    elif is_model(hint):
        value = _with_usual_keys(value)
        for field in model_fields(hint):
            inner = f"{path}.{field.key}"
            if field.key not in value and field.is_required:
                yield _Fault(inner, field.type, KeyError(field.key))
            elif field.is_required or value.get(field.key) is not None:
                yield from _faults(value[field.key], field.type, inner)


# cattrs


@cache
def make_converter() -> "Converter":
    """Make a cattrs converter with our rules, for your own classes that hold our models.

    It makes a class of yours that has an ``InstantPayment`` or a ``list[InstantPayment]`` from JSON data, and the data
    from the class. What is wrong is a ``cattrs.BaseValidationError``; ``cattrs.transform_error`` lists the paths.
    """
    from cattrs import Converter  # noqa: PLC0415 - reading our own models needs no converter

    converter = Converter()
    for leaf in (str, bool, int, datetime):
        converter.register_structure_hook(leaf, _leaf_hook(leaf))
    converter.register_structure_hook_factory(is_model, _model_hook)
    converter.register_structure_hook_factory(_is_list_or_tuple, lambda hint: _sequence_hook(hint, converter))
    converter.register_unstructure_hook(datetime, _format_time)
    converter.register_unstructure_hook(OpenEnum, attrgetter("as_sent"))
    converter.register_unstructure_hook_factory(is_model, lambda cls: _unstructure_hook(cls, converter))
    return converter


def unstructure(model: Model) -> dict[str, Any]:
    """Give back the JSON data of a model as it came in.

    Times come out in ISO 8601, perhaps in another form of the same instant, and nulls as missing fields.
    """
    data: dict[str, Any] = make_converter().unstructure(model)
    return data


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def is_model(hint: Any) -> bool:
    """Say whether the type of a field is one of our models."""
    return isinstance(hint, type) and issubclass(hint, Model)


def is_enum(hint: Any) -> bool:
    """Say whether the type of a field is an open enum."""
    return isinstance(hint, type) and issubclass(hint, OpenEnum)


def is_tuple(hint: Any) -> bool:
    """Say whether the type of a field is an array."""
    return get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis


def _is_list_or_tuple(hint: Any) -> bool:
    return get_origin(hint) is list or is_tuple(hint)


def _leaf_hook(leaf: type) -> Callable[[Any, Any], Any]:
    """Make a hook of a leaf's rule. cattrs calls it for subclasses of the leaf too, such as enums."""
    rule = _rule(leaf)
    return lambda value, cls: rule(value) if cls is leaf else cls(rule(value))


def _model_hook(cls: type[Model]) -> Callable[[Any, Any], Model]:
    from cattrs.errors import AttributeValidationNote, ClassValidationError  # noqa: PLC0415 - as in make_converter

    rule = _reader(cls)

    def hook(value: Any, _: Any) -> Model:
        try:
            return rule(value)
        except (KeyError, TypeError, ValueError):
            faults = list(_faults(value, cls))
        if not faults[0].path:
            raise faults[0].error  # it is no object; the class that holds it adds the path
        for fault in faults:
            name = fault.path.removeprefix(".")
            note = AttributeValidationNote(f"Structuring class {cls.__name__} @ attribute {name}", name, fault.type)
            fault.error.__notes__ = [note]
        raise ClassValidationError(
            f"While structuring {cls.__name__}",
            [fault.error for fault in faults],
            cls,  # pyright: ignore[reportCallIssue] - cattrs gives its groups a third argument
        )

    return hook


def _sequence_hook(hint: Any, converter: "Converter") -> Callable[[Any, Any], Any]:
    """Let cattrs read the elements, once it is sure that there is an array: cattrs takes any iterable."""
    elements: Any = GenericAlias(Sequence, get_args(hint)[:1])
    kind = get_origin(hint)
    return lambda value, _: kind(converter.structure(_array(value), elements))


def _format_time(time: datetime) -> str:
    text = time.isoformat()
    return text.removesuffix("+00:00") + "Z" if time.tzinfo is UTC else text


def _unstructure_hook(cls: type[Model], converter: "Converter") -> Callable[[Any], dict[str, Any]]:
    from cattrs.gen import make_dict_unstructure_fn, override  # noqa: PLC0415 - as in make_converter

    overrides: dict[str, Any] = {"_unknown_fields": override(omit=True)}
    for name, key, hint, default, _ in model_fields(cls):
        # JSON data stays as it is: to walk through what is nested deeply would exhaust the stack.
        hook = _same if hint in (Any, Mapping[str, str]) else None
        overrides[name] = override(rename=key, unstruct_hook=hook, omit_if_default=default is None)
    write = make_dict_unstructure_fn(cls, converter, **overrides)
    return lambda model: {**write(model), **model.unknown_fields}


def _same(data: Any) -> Any:
    return data
