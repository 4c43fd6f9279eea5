"""Data from a pickle without unpickling: nothing is imported, called or built, whatever the file says.

What a pickle would call becomes a `Call`, and only the two ways in which NumPy pickles an array are
understood, and only for numbers.
"""

import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.errors import DataError, one_line

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = re.compile(
    "INT|BININT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?STRING|(SHORT_)?BINBYTES8?|BYTEARRAY8"
    "|(SHORT_)?(BIN)?UNICODE8?"
)
_MARK = object()
_ARRAYS = frozenset(
    f"numpy.{core}.{name}"
    for core in ("core", "_core")
    for name in ("multiarray._reconstruct", "numeric._frombuffer")
)


@dataclass
class Call:
    """What a pickle would call: a name of Python's, the arguments, and the state that it would set."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = field(default=None)


def load_inert(where: str, data: bytes) -> Any:
    """The value in a pickle of plain values and NumPy arrays; texts are str, also those of Python 2.

    Raises DataError that names `where` for anything else.
    """
    try:
        value = _run(data)
        return (
            {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else _plain(value)
        )
    except Exception as error:
        # Bytes at random make the machine fail in many ways, IndexError and KeyError among them.
        reason = one_line(error)[:100]
        raise DataError(
            f"{where}: not a pickle of numbers and texts, or a damaged one ({reason})", "Download it again"
        ) from None


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def above_mark() -> list[Any]:
        place = next(place for place in range(len(stack) - 1, -1, -1) if stack[place] is _MARK)
        values = stack[place + 1 :]
        del stack[place:]
        return values

    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            pass
        elif name == "STOP":
            (value,) = stack
            return value
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append([] if name == "EMPTY_LIST" else ())
        elif name in ("DICT", "SETITEMS", "SETITEM"):
            values = [stack.pop(-2), stack.pop()] if name == "SETITEM" else above_mark()
            if name == "DICT":
                stack.append({})
            stack[-1].update(
                (_text(key), value) for key, value in zip(values[::2], values[1::2], strict=True)
            )
        elif name in ("LIST", "APPENDS", "APPEND"):
            values = [stack.pop()] if name == "APPEND" else above_mark()
            if name == "LIST":
                stack.append([])
            stack[-1].extend(values)
        elif name == "TUPLE":
            stack.append(tuple(above_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "GLOBAL":
            stack.append(Call(str(argument).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [Call(f"{stack[-2]}.{stack[-1]}")]
        elif name == "REDUCE":
            arguments = stack.pop()
            stack[-1] = _called(stack[-1].name, arguments)
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif _LITERALS.fullmatch(name):
            stack.append(argument)
        else:
            raise ValueError(f"holds {name}")
    raise ValueError("has no end")


def _called(name: str, arguments: tuple[Any, ...]) -> Any:
    if name == "_codecs.encode" and arguments[1] == "latin1":  # bytes, as Python 3 writes them for Python 2
        return arguments[0].encode("latin-1")
    return Call(name, arguments)


def _text(key: Any) -> Any:
    return key.decode("latin-1") if isinstance(key, bytes) else key


def _plain(value: Any) -> Any:
    """A `Call` that makes an array of numbers -> the array; anything else as it is."""
    if not isinstance(value, Call) or value.name not in _ARRAYS:
        return value
    if value.name.endswith("_frombuffer"):
        buffer, kind, shape, order = value.arguments
    else:
        _, shape, kind, fortran, buffer = value.state
        order = "F" if fortran else "C"
    if isinstance(buffer, str):  # Python 2 has one type for bytes and text
        buffer = buffer.encode("latin-1")
    dtype = np.dtype(kind.arguments[0])
    if kind.name != "numpy.dtype" or dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ValueError("an array of other things than numbers")
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError("an array of no shape")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)
