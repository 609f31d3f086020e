"""Changes of bytes and of JSON, drawn from a seeded source: the same each time, of every kind that has done harm."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    7,
    255,
    511,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
TEXTS = (
    *("", "\0", "x" * 100_000, "../../etc/passwd", "/etc/passwd", "nbd:127.0.0.1:1", "json:{}", "ssh://localhost/x"),
    *(
        "fd:3",
        "a\nb",
        "a\x1b[2Jb",
        "\ud800",
        "\uffff",
        "é" * 250,
        "%s%n",
        "<x/>",
        "-",
        ".",
        "..",
        "a:b",
        "vda",
        "disks/x",
    ),
)
_ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**70, 10**400, -(2**63), 0.5, float("nan"), float("inf")),
    *([], {}, [[]], [None], {"": ""}, "0", ["x"] * 1000),
)


def drawing(seed: int) -> random.Random:
    """Return what draws the same each time."""
    return random.Random(seed)  # noqa: S311 — nothing is to be kept secret


def mutate_bytes(data: bytes, draw: random.Random, *, head: int = 512) -> bytes:
    """Return some bytes with a few of them changed, most often near the beginning, or cut, or longer."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = (
            draw.randrange(max(1, min(head, len(changed))))
            if draw.random() < 0.8
            else draw.randrange(len(changed) or 1)
        )
        match draw.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << draw.randrange(8)
            case 1 | 2:
                number = struct.pack(draw.choice(("<I", ">I", "<Q", ">Q")), draw.choice(NUMBERS) % 2**32)
                at -= at % len(number)
                changed[at : at + len(number)] = number
            case 3:
                number = struct.pack(draw.choice(("<Q", ">Q")), draw.choice(NUMBERS))
                at -= at % 8
                changed[at : at + 8] = number
            case 4:
                del changed[draw.randrange(len(changed) or 1) :]
            case 5:
                changed[at : at + 64] = draw.choice((bytes(64), b"\xff" * 64, draw.randbytes(64)))
            case _:
                text = draw.choice(TEXTS).encode(errors="surrogatepass")[:600]
                changed[at : at + len(text)] = text
    return bytes(changed)


def mutate_json(value: Any, draw: random.Random) -> Any:
    """Return a value of JSON with a few of its parts odd, gone, twice, or too deep."""
    changed = copy.deepcopy(value)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(changed))
        if not places:
            return odd(draw)
        holder, key = draw.choice(places)
        match draw.randrange(6):
            case 0 | 1 | 2:
                holder[key] = odd(draw)
            case 3:
                del holder[key]
            case 4 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 4:
                holder[str(odd(draw))[:50]] = copy.deepcopy(holder[key])
            case _:
                other_holder, other_key = draw.choice(places)
                holder[key] = copy.deepcopy(other_holder.get(other_key) if isinstance(other_holder, dict) else None)
    return changed


def odd(draw: random.Random) -> Any:
    """Return a value that hardly ever belongs where it is put."""
    if draw.random() < 0.4:
        return draw.choice(TEXTS)
    if draw.random() < 0.1:
        deep: Any = 0
        for _ in range(draw.choice((40, 200))):
            deep = [deep]
        return deep
    return draw.choice(_ODD)


def write_json(value: Any, draw: random.Random) -> bytes:
    """Return a value as a text, now and then one that is no JSON any more."""
    text = json.dumps(value).encode()
    return mutate_bytes(text, draw, head=len(text)) if draw.random() < 0.2 else text


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: what holds it, and where."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        found += [(each, key) for key in keys]
        waiting += [each[key] for key in keys]
    return found
