"""Audits: now and then each rank recomputes the gradients of another."""

from trainer.training.audit.auditor import Auditor, Corrupted

__all__ = ["Auditor", "Corrupted"]
