"""Damage to files, by a seed."""

import random
from collections.abc import Iterator


def mutations(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` damaged copies: bytes flipped, runs overwritten, removed or doubled, ends cut off."""
    draw = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            _damage(damaged, draw)
        yield bytes(damaged)


def _damage(data: bytearray, draw: random.Random) -> None:
    if not data:
        return
    # Half of them near the beginning, where formats keep their headers.
    place = draw.randrange(min(len(data), draw.choice([len(data), 2048])))
    length = draw.choice([1, 2, 4, 8, 64])
    match draw.randrange(6):
        case 0:
            data[place] ^= 1 << draw.randrange(8)
        case 1:
            data[place : place + length] = draw.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * length
        case 2:
            data[place : place + length] = draw.randbytes(length)
        case 3:
            data[place : place + length] = b""
        case 4:
            data[place:place] = data[place : place + length]
        case 5 if draw.random() < 0.3:
            del data[place:]
