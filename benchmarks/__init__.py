"""How fast leadpay is, beside the floor of its own parts and beside what one would use instead.

``uv run --group bench python -m benchmarks`` runs all benchmarks, one file each, and prints a table.
"""
