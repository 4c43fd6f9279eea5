"""A run by its folder, its URL, or the name of the release that trains it."""

from pathlib import Path

from trainer.errors import ConfigError
from trainer.urls import looks_like_a_url


def run_folder(name: str, namespace: str | None = None) -> str:
    """The folder of a run: the name itself, where it is a URL, a path or a folder here; else that of the
    release. Raises ConfigError where it is none of these."""
    if "/" in name or looks_like_a_url(name) or Path(name).is_dir():
        return name
    from trainer.cluster.commands import run_url

    try:
        return run_url(name, namespace)
    except ConfigError as error:
        raise ConfigError(
            f"{error.problem}; and there is no folder {name!r} here",
            f"Name the folder or the URL of a run, or a release. {error.remedy}",
        ) from None
