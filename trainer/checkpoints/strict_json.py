"""Plain values as strict JSON that preserves NaN and the infinities."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dumps(value: object) -> bytes:
    """`value` as JSON text in UTF-8; a float that JSON cannot represent becomes {"$float": "nan"}.

    NumPy scalars become Python numbers, tuples become lists. Raises TypeError, with the path, for any other
    type and for keys that are not strings or start with `$`.
    """
    return json.dumps(_encode(value, "state"), indent=1, allow_nan=False).encode()


def loads(data: bytes) -> Any:
    """The value of `dumps`. Raises ValueError for any other text."""
    return json.loads(data, object_hook=_decode)


def _encode(value: object, where: str) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, list | tuple):
        return [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"{where}: expected string keys without a leading $, received {key!r}")
        return {key: _encode(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where}: expected a JSON value, received {type(value).__name__}")


def _decode(document: dict[str, Any]) -> Any:
    return _FLOATS[document["$float"]] if "$float" in document else document
