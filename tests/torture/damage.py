"""Ways to damage bytes: change, cut, duplicate, splice them, and set absurd numbers."""

import random
from collections.abc import Sequence

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(originals: Sequence[bytes], generator: random.Random) -> bytes:
    """Return one of the originals, damaged in one to three ways."""
    data = bytearray(generator.choice(originals))
    for _ in range(generator.choice((1, 1, 2, 3))):
        generator.choice(WAYS)(data, originals, generator)
    return bytes(data)


def _flip_bits(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    for _number in range(generator.choice((1, 2, 8, 64))):
        if data:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def _overwrite(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    start = generator.randrange(len(data) + 1)
    length = generator.choice((1, 4, 16, 256))
    data[start : start + length] = generator.randbytes(length)


def _edit_header(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    for _number in range(generator.choice((1, 2, 4))):
        place = generator.randrange(min(len(data), 200) + 1)
        data[place : place + 1] = bytes([generator.choice((0, 1, 0x7F, 0x80, 0xFF))])


def _set_number(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    reach = generator.choice((64, 1024, len(data) + 1))
    place = generator.randrange(min(len(data), reach) + 1)
    length = generator.choice((2, 4))
    value = generator.choice(EXTREMES) % (1 << 8 * length)
    data[place : place + length] = value.to_bytes(length, generator.choice(("big", "little")))


def _cut(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    del data[generator.randrange(len(data) + 1) :]


def _leave_out(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    start = generator.randrange(len(data) + 1)
    del data[start : start + generator.choice((1, 2, 100, 5000))]


def _blank(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    start = generator.randrange(len(data) + 1)
    length = min(len(data) - start, generator.choice((8, 512, 4096)))
    data[start : start + length] = bytes(length)


def _double(data: bytearray, _: Sequence[bytes], generator: random.Random) -> None:
    start = generator.randrange(len(data) + 1)
    data[start:start] = data[start : start + generator.choice((4, 64, 4096))]


def _splice(data: bytearray, originals: Sequence[bytes], generator: random.Random) -> None:
    other = generator.choice(originals)
    del data[generator.randrange(len(data) + 1) :]
    data += other[generator.randrange(len(other)) :]


WAYS = (
    _flip_bits, _overwrite, _edit_header, _set_number, _cut, _leave_out, _blank, _double, _splice,
)  # fmt: skip
