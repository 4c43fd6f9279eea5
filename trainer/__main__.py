"""The command `trainer`. Signals are handled, and the first line is printed, before anything else is
imported."""

import sys

from trainer import interrupts


def main() -> None:
    """See trainer/main.py."""
    interrupts.install(sys.argv[1:])
    from trainer.cli.first_sign import announce

    announce(sys.argv[1:])
    from trainer.main import main as run

    run()


if __name__ == "__main__":
    main()
