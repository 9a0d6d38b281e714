"""JSON data <-> models: our own cattrs converter, which coerces nothing and forgets nothing.

Stock cattrs turns ``null`` into ``"None"``, ``12.7`` into ``12`` and ``true`` into ``1``. For money that is a
defect, so every leaf here has a hook that checks its type. The plain converter below is the rule; the fast path
beside it (``fastpath.py``) gives the same values or gives way.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_origin

from leadpay.enums import EventType, OpenEnum
from leadpay.errors import MalformedResponseError, Problem
from leadpay.fastpath import field_types, from_data, from_json, unknown_fields, wire_name
from leadpay.models import MAX_AMOUNT, Event, InstantPaymentEvent, Model
from leadpay.wire import decode

if TYPE_CHECKING:
    from cattrs import Converter

M = TypeVar("M", bound=Model)

_INSTANT_PAYMENT: Final = "instant_payment."

_JSON_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    str: "a string",
    list: "an array",
    dict: "an object",
}


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
        return from_data(cls)(data)
    except Exception:  # noqa: BLE001 - whatever surprised the fast path, the plain one decides and explains
        return _structure_plainly(data, cls)


def read(body: bytes, cls: type[M]) -> M:
    """Read JSON into a model: what ``structure`` gives for its data, several times as fast.

    Raises:
        MalformedResponseError: as ``structure``.
        ValueError: it is not JSON in UTF-8.
    """
    try:
        return from_json(cls)(body)
    except Exception:  # noqa: BLE001 - as in structure
        return structure(decode(body), cls)


def read_event(body: bytes) -> Event:
    """Read JSON into an event: an InstantPaymentEvent wherever the object is an instant payment.

    Raises:
        MalformedResponseError: as ``structure``. An object of a kind that we don't know yet is no reason to fail.
        ValueError: it is not JSON in UTF-8.
    """
    try:
        event = from_json(InstantPaymentEvent)(body)
    except Exception:  # noqa: BLE001 - as in structure
        return structure_event(decode(body))
    return event if event.event.startswith(_INSTANT_PAYMENT) else structure_event(decode(body))


def structure_event(data: Any) -> Event:
    """Read JSON data into an event, as ``read_event`` does.

    Raises:
        MalformedResponseError: as ``structure``.
    """
    name = data.get("event") if isinstance(data, dict) else None
    if isinstance(name, str) and name.startswith(_INSTANT_PAYMENT):
        try:
            return structure(data, InstantPaymentEvent)
        except MalformedResponseError:
            if EventType(name).current.is_known:
                raise
    return _structure_plainly(data, Event)  # keeps the object as it is, where the fast path would copy it


def unstructure(model: Model) -> dict[str, Any]:
    """Give back the JSON data of a model as it came in.

    Times come out in ISO 8601, perhaps in another spelling of the same instant, and nulls as missing fields.
    """
    data: dict[str, Any] = make_converter().unstructure(model)
    return data


def _structure_plainly(data: Any, cls: type[M]) -> M:
    from cattrs import transform_error  # noqa: PLC0415 - only what goes wrong needs it

    try:
        return make_converter().structure(data, cls)
    except Exception as error:  # noqa: BLE001 - cattrs raises groups of whatever the hooks raise
        lines = transform_error(error, format_exception=lambda inner, _: _reason(inner))
        raise MalformedResponseError([_problem(line) for line in lines], body=data) from None


def _reason(error: BaseException) -> str:
    return "required field missing" if isinstance(error, KeyError) else str(error)


def _problem(line: str) -> Problem:
    reason, _, path = line.rpartition(" @ ")
    return Problem(re.sub(r"\breturn_(?=\.|$)", "return", path), reason)


@cache
def make_converter() -> "Converter":
    """Make the plain cattrs converter, for classes of your own that hold our models; made when first needed."""
    from cattrs import Converter  # noqa: PLC0415 - a tenth of the time of `import leadpay`

    converter = Converter()
    for leaf in (str, bool):
        converter.register_structure_hook(leaf, _exactly(leaf))
    converter.register_structure_hook(int, _integer)
    # By class too: cattrs would otherwise take an enum, which is a str, for plain text.
    converter.register_structure_hook(OpenEnum, _open_enum)
    converter.register_structure_hook(datetime, _time)
    converter.register_unstructure_hook(datetime, _spell_time)
    converter.register_structure_hook_func(lambda t: t is Any, _object)
    converter.register_unstructure_hook_func(_is_enum, str)
    converter.register_structure_hook_factory(_is_tuple, lambda t: _tuple(t, converter))
    converter.register_structure_hook_factory(_is_model, lambda cls: _read_model(cls, converter))
    converter.register_unstructure_hook_factory(_is_model, lambda cls: _write_model(cls, converter))
    return converter


def _is_model(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Model)


def _is_tuple(hint: Any) -> bool:
    origin: Any = get_origin(hint)
    return origin is tuple


def _is_enum(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, OpenEnum)


def _must_be(wanted: str, value: object) -> TypeError:
    return TypeError(f"must be {wanted}, not {_JSON_NAMES.get(type(value), type(value).__name__)}")


def _exactly(leaf: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, leaf):
            raise _must_be(_JSON_NAMES[leaf], value)
        return value

    return hook


def _integer(value: Any, _: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _must_be("an integer", value)
    if not -MAX_AMOUNT - 1 <= value <= MAX_AMOUNT:
        raise ValueError("must be an integer of 64 bits")
    return value


def _object(value: Any, _: Any) -> Any:
    if not isinstance(value, dict):
        raise _must_be("an object", value)
    return value


def _open_enum(value: Any, enum: Any) -> Any:
    if not isinstance(value, str):
        raise _must_be("a string", value)
    return enum(value)


def _time(value: Any, _: Any) -> datetime:
    if not isinstance(value, str):
        raise _must_be("a string with a time", value)
    try:
        time = _parse_time(value)
    except ValueError:
        raise ValueError("must be a time in ISO 8601") from None
    if time.tzinfo is None:
        raise ValueError("must be a time with an offset from UTC")
    return time


def _parse_time(text: str) -> datetime:
    """Read what the fast path reads as it does, and what else ISO 8601 allows."""
    from msgspec import ValidationError, convert  # noqa: PLC0415 - as in make_converter

    try:
        return convert(text, datetime)
    except ValidationError:
        return datetime.fromisoformat(text)


def _spell_time(time: datetime) -> str:
    text = time.isoformat()
    return text.removesuffix("+00:00") + "Z" if time.tzinfo is UTC else text


def _tuple(hint: Any, converter: "Converter") -> Callable[[Any, Any], Any]:
    from cattrs.errors import IterableValidationError, IterableValidationNote  # noqa: PLC0415 - as in make_converter

    item = get_args(hint)[0]

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise _must_be("an array", value)
        made, errors = [], []
        for index, element in enumerate(value):
            try:
                made.append(converter.structure(element, item))
            except Exception as error:  # noqa: BLE001 - gathered, so that every path is named
                error.__notes__ = [*getattr(error, "__notes__", []), IterableValidationNote(f"[{index}]", index, item)]
                errors.append(error)
        if errors:
            raise IterableValidationError(
                "while reading an array",
                errors,
                hint,  # pyright: ignore[reportCallIssue] - cattrs gives its groups a third argument
            )
        return tuple(made)

    return hook


def _read_model(cls: type[Model], converter: "Converter") -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override  # noqa: PLC0415 - as in make_converter

    types = field_types(cls)
    renamed: dict[str, Any] = {name: override(rename=wire_name(name)) for name in types if wire_name(name) != name}
    read = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=False, _unknown_fields=override(omit=True), **renamed
    )
    known = frozenset(wire_name(name) for name in types)

    def hook(value: Any, _: Any) -> Any:
        made = read(_object(value, cls), cls)
        object.__setattr__(made, "_unknown_fields", unknown_fields(value, known))
        return made

    return hook


def _write_model(cls: type[Model], converter: "Converter") -> Callable[[Any], dict[str, Any]]:
    from cattrs.gen import make_dict_unstructure_fn, override  # noqa: PLC0415 - as in make_converter

    types = field_types(cls)
    renamed: dict[str, Any] = {name: override(rename=wire_name(name)) for name in types if wire_name(name) != name}
    # JSON data stays as it is: to walk through what a stranger has nested deeply would exhaust the stack.
    as_it_is: dict[str, Any] = {name: override(unstruct_hook=_same) for name, hint in types.items() if hint is Any}
    write = make_dict_unstructure_fn(
        cls, converter, _cattrs_omit_if_default=True, _unknown_fields=override(omit=True), **renamed, **as_it_is
    )
    return lambda model: {**write(model), **model.unknown_fields}


def _same(data: Any) -> Any:
    return data
