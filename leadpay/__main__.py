"""``python -m leadpay`` and the ``leadpay`` command."""


def main() -> None: ...
