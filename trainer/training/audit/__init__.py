"""Whether the ranks compute what they should: one recomputes what another did, now and then."""

from trainer.training.audit.auditor import Auditor, Corrupted

__all__ = ["Auditor", "Corrupted"]
