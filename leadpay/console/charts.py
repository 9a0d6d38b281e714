"""Small charts as inline SVG, without a script: an area, its line, and a sentence for screen readers. Pure."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

WIDTH: Final = 300
HEIGHT: Final = 56

_CHART: Final = Markup(
    '<svg class="chart" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" aria-label="{label}">'
    '<path class="area" d="{area}"/><path class="line" d="{line}"/>'
    '<path class="axis" d="M0 {height}H{width}"/></svg>'
)


def area(values: Sequence[float], label: str) -> Markup:
    """Draw values from left to right, from zero to the largest.

    Args:
        values: not negative; one point each.
        label: what the chart shows, in one sentence.
    """
    top = max(values, default=0) or 1
    step = WIDTH / max(len(values) - 1, 1)
    points = [f"{index * step:.1f} {HEIGHT - 2 - (HEIGHT - 6) * value / top:.1f}" for index, value in enumerate(values)]
    line = f"M{'L'.join(points)}" if points else ""
    right = (len(values) - 1) * step
    closed = f"{line}L{right:.1f} {HEIGHT}L0 {HEIGHT}Z" if points else ""
    return _CHART.format(width=WIDTH, height=HEIGHT, label=label, area=closed, line=line)


def buckets(times: Sequence[float], start: float, end: float, count: int) -> list[int]:
    """Count times in equal parts of a range; times outside of it are left out."""
    counts = [0] * count
    width = (end - start) / count
    for time in times:
        if start <= time < end:
            counts[min(int((time - start) / width), count - 1)] += 1
    return counts
