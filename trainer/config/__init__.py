"""The configuration of a run: one YAML, checked strictly."""

from trainer.config.load import load, parse
from trainer.config.run_config import RunConfig

__all__ = ["RunConfig", "load", "parse"]
