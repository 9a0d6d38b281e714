"""Charts are SVG, with a label for those who cannot see them."""

from leadpay.console.charts import HEIGHT, area, buckets


def test_an_area_goes_from_left_to_right() -> None:
    """The largest value is at the top; the label is escaped."""
    chart = area([0, 5, 10], "a <b> label")
    assert 'aria-label="a &lt;b&gt; label"' in chart
    assert f'd="M0.0 {HEIGHT - 2:.1f}L150.0 29.0L300.0 4.0"' in chart
    assert " style=" not in chart


def test_nothing_is_an_empty_chart() -> None:
    """One point, or none."""
    assert 'class="line" d=""' in area([], "empty")
    assert 'd="M0.0 4.0"' in area([3], "one")


def test_times_are_counted_in_parts() -> None:
    """What is outside of the range does not count."""
    assert buckets([0, 1, 9.99, 10, -1, 5], 0, 10, 2) == [2, 2]
