"""Proof that a message comes from a pod of the same Job: HMAC-SHA256 (RFC 2104) with the gang's key.

The Job's UID is part of each signature. So the pods of an uninstalled release that still terminate and those
of the next one under the same name do not take each other's messages, even where both have the same key.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

HEADER = "X-Trainer-Signature"
KEY = "TRAINER_GANG_KEY"
JOB = "TRAINER_JOB_UID"


@dataclass(frozen=True)
class GangKey:
    """`secret`: what the gang's pods share, "" where they share nothing; `job`: the UID of their Job."""

    secret: str = ""
    job: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "GangKey":
        """TRAINER_GANG_KEY and TRAINER_JOB_UID; "" for what is not set."""
        return cls(environment.get(KEY, ""), environment.get(JOB, ""))

    def gang(self, coordinator: str) -> str:
        """What the pods of one gang have in common and no others have: the Job, else key and coordinator.

        `coordinator`: "" where there are no other pods. Random where nothing is in common.
        """
        if self.job or not (self.secret and coordinator):
            return self.job or secrets.token_hex(8)
        return self.sign(coordinator.encode())[:32]

    def sign(self, *parts: bytes) -> str:
        """A signature of the parts in their order, in hexadecimal."""
        digest = hmac.new(self.secret.encode(), digestmod=hashlib.sha256)
        for part in (self.job.encode(), *parts):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        return digest.hexdigest()

    def verify(self, signature: str, *parts: bytes) -> bool:
        """Whether `signature` is that of the parts."""
        return hmac.compare_digest(signature.encode(), self.sign(*parts).encode())
