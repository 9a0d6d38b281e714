"""``python -m leadpay`` and the ``leadpay`` command."""

import sys


def main() -> None:
    """Run the command, or print how to install what it needs."""
    try:
        from leadpay.cli import run  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        sys.exit("the leadpay command needs an extra: pip install 'leadpay[cli]'")
    run()


if __name__ == "__main__":
    main()
