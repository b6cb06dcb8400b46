#!/usr/bin/env python3
"""Writes xxh3-keys.txt and xxh3.jsonl: placement by "xxh3" as README.md specifies it.

Written from README.md, not from the Rust code, and slow on purpose: every target is drawn for, priced and sorted for
every slot. Needs Python 3.8 or newer and the package xxhash. Run it in this folder; git must then show no change.
"""

import hashlib
import json
from fractions import Fraction

import xxhash

SLOT_BITS = 19
MASK64 = 2**64 - 1


def xxh3(data, seed):
    return xxhash.xxh3_64_intdigest(data, seed=seed)


def slot_of(key):
    return xxh3(key, 0) >> (64 - SLOT_BITS)


def draw(slot, target):
    a = xxh3(slot.to_bytes(8, "little"), 0) ^ xxh3(target, 1)
    b = xxh3(target, 2) | 1
    return ((a * b) >> 64) ^ ((a * b) & MASK64)


def neglog2(h):
    n = h + 1
    whole = n.bit_length() - 1
    mantissa = (n << 63) >> whole  # 2^63 <= mantissa < 2^64
    log = whole
    for _ in range(32):
        square = mantissa * mantissa
        bit = square >> 127
        log = log * 2 + bit
        mantissa = square >> (63 + bit)
    return (64 << 32) - log


def owners(slot, members, replicas):
    def cost(i):
        target, weight, _ = members[i]
        h = draw(slot, target.encode())
        return Fraction(neglog2(h), weight), -h, target.encode()

    def zone(i):
        name = members[i][2]
        return ("zone", name) if name is not None else ("alone", i)

    order = sorted(range(len(members)), key=cost)
    zones = {zone(i) for i in order}
    found = []
    while len(found) < replicas:
        used = {zone(i) for i in found}
        found.append(next(i for i in order if i not in found and (used == zones or zone(i) not in used)))
    return ".".join(map(str, found))


def escape(data):
    return "".join(chr(b) if 0x21 <= b <= 0x7E and b != 0x5C else f"\\x{b:02x}" for b in data)


def search(wanted):
    """The first of edge-0, edge-1, ... whose slot is the wanted one."""
    n = 0
    while slot_of(b"edge-%d" % n) != wanted:
        n += 1
    return b"edge-%d" % n


def keys():
    yield from [b"", b"\0", b" ", b"\n", b"\\", b"\\x41", b"a", b"A", b"\xff", b"\xc3\xa9", "é".encode() * 9]
    yield from [bytes(range(256)), b"\xfe\xff" * 40]
    # XXH3 takes another path for each of these lengths.
    yield from [b"k" * n for n in (3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 256, 1024, 1025, 6000)]
    yield from [search(0), search(2**SLOT_BITS - 1)]
    yield from [b"web-%02d.example.com" % i for i in range(40)]
    yield from [b"servers.dc%d.rack-%d.host-%d.cpu.user" % (i % 3, i % 7, i) for i in range(40)]
    yield from [b"cpu.load;dc=dc%d;host=db-%d" % (i % 2, i) for i in range(20)]


def rings():
    def plain(count):
        return [(f"store-{i}", 1, None) for i in range(count)]

    def mixed(count):
        zone = [None, "north", "south", "east", "west"]
        return [(f"10.0.0.{i}:2003", [1, 1, 2, 3, 100][i % 5], zone[i % 7 % 5]) for i in range(count)]

    three = [("a", 1, None), ("b", 2, None), ("c", 4, None)]
    yield "one", plain(1), 1
    yield "one-heavy-empty-id", [("", 100, "north")], 1
    for replicas in (1, 2, 3):
        yield f"three-{replicas}", plain(3), replicas
        yield f"three-weighted-{replicas}", three, replicas
    yield "three-reordered", plain(3)[::-1], 3
    yield "three-equal-weight-7", [(i, 7, z) for i, _, z in plain(3)], 3
    yield "three-one-zone", [(i, w, "north") for i, w, _ in plain(3)], 2
    yield "five-two-zones", [(f"s{i}", 1, "north" if i < 4 else "south") for i in range(5)], 3
    yield "five-zoned-and-alone", [(f"s{i}", 1 + i, "north" if i < 3 else None) for i in range(5)], 3
    yield "ids-as-they-come", [(i, 1, None) for i in ("\u00e9", "e\u0301", "", " ", "x" * 300)], 2
    yield "light-and-heavy", [("light", 1, None), ("heavy", 100, None)], 2
    for replicas in (1, 2, 3):
        yield f"sixty-four-{replicas}", plain(64), replicas
        yield f"sixty-four-mixed-{replicas}", mixed(64), replicas


def main():
    key_list = list(keys())
    with open("xxh3-keys.txt", "w", newline="\n") as out:
        out.writelines(escape(key) + "\n" for key in key_list)
    with open("xxh3.jsonl", "w", newline="\n") as out:
        for name, members, replicas in rings():
            slots = 1024
            table = "".join(owners(slot, members, replicas) + "\n" for slot in range(slots))
            ring = {
                "id": name,
                "replicas": replicas,
                "members": members,
                "slots": slots,
                "slots_sha256": hashlib.sha256(table.encode()).hexdigest(),
                "want": " ".join(owners(slot_of(key), members, replicas) for key in key_list),
            }
            out.write(json.dumps(ring, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
