"""Proof that a message comes from a pod of the same Job: HMAC-SHA256 (RFC 2104) with the gang's key.

The Job's UID is part of each signature. So the terminating pods of an uninstalled release and the pods of the
next release of that name do not accept each other's messages, even if both have the same key.
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
"""The UID of the Job, the same in all its pods; part of the plan of a prediction job."""


@dataclass(frozen=True)
class GangKey:
    """`secret`: what the gang's pods share, "" if they share nothing; `job`: the UID of their Job."""

    secret: str = ""
    job: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "GangKey":
        """Reads TRAINER_GANG_KEY and TRAINER_JOB_UID; "" for a variable that is not set."""
        return cls(environment.get(KEY, ""), environment.get(JOB, ""))

    @property
    def is_shared(self) -> bool:
        """Whether all pods of the gang, and no others, have this key."""
        return bool(self.secret or self.job)

    def gang(self, coordinator: str) -> str:
        """An identifier of the gang, the same in all its pods: from the Job, else from key and coordinator.

        `coordinator`: "" if there are no other pods. Without any of these the identifier is random.
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
        """Whether `signature` is the signature of the parts."""
        return hmac.compare_digest(signature.encode(), self.sign(*parts).encode())
