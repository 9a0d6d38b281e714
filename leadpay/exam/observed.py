"""What handlers have done, as a sum: so that a run's part is the difference of what was there before and after it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from leadpay.exam.lives import KNOWN_WORD, UNKNOWN_WORD

Effects: TypeAlias = Counter[str]
"""What was added, each thing with its number; numbers of your own are summed up."""

_SHOWN: Final = 3


def effects(before: Any, after: Any, ids: Iterable[str]) -> Effects:
    """Subtract one observation from a later one, with this run's IDs replaced.

    Args:
        before: any nesting of mappings, sequences and simple values.
        after: the same thing later.
        ids: the IDs of the run's events and payments, in the order in which they occur.
    """
    numbered = {text: f"<id {number}>" for number, text in enumerate(ids)}
    # The longest first: an ID may be a part of another.
    names = dict(sorted(numbered.items(), key=lambda item: -len(item[0])))
    found: Effects = Counter()
    _add(found, "", after, 1, names)
    _add(found, "", before, -1, names)
    return Counter({key: count for key, count in found.items() if count})


def describe_difference(plain: Effects, other: Effects) -> str:
    """Say in a line what one run did more, or less, than the plain one."""
    more = [f"{other[key] - plain[key]:+d} of {key}" for key in sorted({*plain, *other}) if other[key] != plain[key]]
    return "; ".join(more[:_SHOWN]) + ("; ..." if len(more) > _SHOWN else "")


def _add(found: Effects, path: str, value: Any, sign: int, names: Mapping[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, one in value.items():
            _add(found, f"{path}.{_text(key, names)}".lstrip("."), one, sign, names)
    elif isinstance(value, list | tuple | AbstractSet):
        for one in value:
            if isinstance(one, Mapping | list | tuple | AbstractSet):
                # A row counts as a whole: rows that differ in one column are different rows.
                inner: Effects = Counter()
                _add(inner, "", one, 1, names)
                found[f"{path}[{', '.join(f'{key}={count}' for key, count in sorted(inner.items()))}]"] += sign
            else:
                found[f"{path}[{_text(one, names)}]"] += sign
    elif isinstance(value, int) and not isinstance(value, bool):
        found[f"{path} (a number)"] += sign * value
    else:
        found[f"{path}={_text(value, names)}"] += sign


def _text(value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, datetime | date):
        return "<time>"
    text = str(value)
    for name, placeholder in names.items():
        text = text.replace(name, placeholder)
    return text.replace(UNKNOWN_WORD, KNOWN_WORD)
