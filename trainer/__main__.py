"""The command `trainer`. Signals are handled before anything else is imported."""

import sys

from trainer import interrupts


def main() -> None:
    """See trainer/cli.py."""
    interrupts.install(sys.argv[1:])
    from trainer.cli import main as run

    run()


if __name__ == "__main__":
    main()
