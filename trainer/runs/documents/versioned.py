"""JSON documents of a run's folder that have a version."""

import json
from typing import Any

from trainer.storage import Store


def dump_versioned(document: Any) -> bytes:
    """The JSON text."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def read_versioned(store: Store, key: str, version: int) -> Any:
    """The document; None where there is none of this version."""
    try:
        document = json.loads(store.get(key))
    except (FileNotFoundError, ValueError):
        return None
    return document if document.get("version") == version else None
