#!/usr/bin/env python3
"""Writes frames.jsonl: pickle frames made by CPython (or by hand, where Python 3 no longer writes
an opcode), each with what CPython reads back.  Run in this folder: python3 generate.py

One JSON object a line:
  id        what it is
  frame     the frame without its 4-byte length, hex
  want      [[name, time, value] or null, ...]: what carbon takes; null = this element is left out.
            Integers are JSON numbers, floats {"f": the 8 bytes, big-endian, hex}
  error     instead of want: the reason why the whole frame is refused
"""

import json
import pickle
import pickletools
import struct

FRAMES = []


def number(n):
    # As carbon: float(n), but integers that fit 64 bits are kept.
    if isinstance(n, (str, bytes)):
        text = n.decode() if isinstance(n, bytes) else n
        # Coco takes a text for an integer if it is plain digits; the number is the same.
        n = int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    n = int(n) if isinstance(n, bool) else n
    if isinstance(n, int) and -(2**63) <= n < 2**63:
        return n
    n = float(n)
    if n != n or n in (float("inf"), float("-inf")):
        raise ValueError(n)
    return {"f": struct.pack(">d", n).hex()}


def want(data):
    rows = []
    for raw in data:
        try:
            name, (time, value) = raw
            name = name.decode("utf-8") if isinstance(name, bytes) else name
            name.encode("utf-8")
            if not name or any(c.isspace() or ord(c) < 32 or ord(c) == 127 for c in name):
                raise ValueError(name)
            rows.append([name, number(time), number(value)])
        except Exception:
            rows.append(None)
    return rows


def add(id, frame):
    # carbon reads Python 2's str as UTF-8; surrogates keep the bytes that are not.
    data = pickle.loads(frame, encoding="utf-8", errors="surrogateescape")
    FRAMES.append({"id": id, "frame": frame.hex(), "want": want(data)})


def refused(id, frame, error):
    FRAMES.append({"id": id, "frame": frame.hex(), "error": error})


class Evil:
    def __reduce__(self):
        return (print, ("built",))


class Plain:
    def __init__(self):
        self.name = "a"


NAME = "servers.web01.cpu"
SETS = {
    "one": [(NAME, (1700000000, 1.5))],
    "empty": [],
    "ints": [(NAME, (1700000000, n)) for n in (0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31,
             -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63))],
    "long": [(NAME, (1700000000, n)) for n in (2**63, -(2**63) - 1, 2**64 - 2**11, 2**80, -(2**80), 2**600)],
    "floats": [(NAME, (1700000000.25, f)) for f in (0.1, -0.0, 1e300, 5e-324, 1.7976931348623157e308, 1e16)],
    "not_finite": [(NAME, (1700000000, f)) for f in (float("nan"), float("inf"), float("-inf"), 1.0)],
    "now": [(NAME, (-1, 1)), (NAME, (-1.0, 2)), (NAME, ("-1", 3))],
    "texts": [(NAME, ("1700000000", "2.5")), (NAME, (1700000000, "7")), (NAME, (1700000000, " 8 ")),
              (NAME, (1700000000, "x")), (NAME, (1700000000, "1_0")), (NAME, (1700000000, "inf"))],
    "booleans": [(NAME, (1700000000, True)), (NAME, (1700000000, False)), (NAME, (1700000000, None))],
    "lists": [[NAME, [1700000000, 1.5]], (NAME, [1700000000, 2]), [NAME, (1700000000, 3)]],
    "tuple": ((NAME, (1700000000, 1)), (NAME, (1700000001, 2))),
    "names": [(n, (1700000000, 1)) for n in ("a;b=c;d=\u00e9", "\u65e5\u672c", "\U0001f600.x", "it's", 'q"q',
              "back\\slash", "\xe9", "", "a b", "a\tb", "a\nb", "a\u00a0b", "a\x00b", "a\x7fb", "x" * 300)],
    "shapes": [(NAME, (1700000000, 1)), NAME, (NAME,), (NAME, 1), (NAME, (1,)), (NAME, (1, 2, 3)), None, 5, {},
               {"a": 1}, {NAME: (1, 2)}, set(), (1, (1, 2)), (NAME, ({}, 2)), [], (), (NAME, (1700000001, 2))],
    "many": [("servers.web%02d.cpu.%d" % (i % 7, i), (1700000000 + i, i * 0.25)) for i in range(30)],
}
shared = (NAME, (1700000000, 1.5))
SETS["shared"] = [shared] * 50 + [(NAME, (1700000001, 2))] * 3

for protocol in range(6):
    for id, data in SETS.items():
        if protocol < 4 and id == "shapes":
            data = [e for e in data if not isinstance(e, set)]  # sets are imports before protocol 4
        add("%s-p%d" % (id, protocol), pickle.dumps(data, protocol))
        add("%s-p%d-optimized" % (id, protocol), pickletools.optimize(pickle.dumps(data, protocol)))
    add("pure-python-p%d" % protocol, pickle._dumps(SETS["many"][:50], protocol))
for protocol in (3, 4, 5):
    add("bytes-p%d" % protocol, pickle.dumps([(b"a.b", (b"17", b"1.5")), (b"caf\xc3\xa9", (1, 2)), (b"\xff", (1, 2))], protocol))
cycle = [shared]
cycle.append(cycle)
add("cycle", pickle.dumps(cycle, 2))

for protocol in (0, 2, 4):  # over 1000 elements: several batches, several PEP 3154 frames
    data = [("servers.web%02d.cpu" % (i % 7), (1700000000 + i, i * 0.25)) for i in range(1100)]
    add("batches-p%d" % protocol, pickle.dumps(data, protocol))

# Written by CPython 2.7, see generate_py2.py.
with open("frames_py2.tsv") as lines:
    for line in lines:
        id, frame = line.split()
        add(id, bytes.fromhex(frame))

# By hand, as Python 2 would.
add("py2-p0", b"(lp0\n(S'a.b'\np1\n(I1700000000\nF1.5\ntp2\ntp3\na(S'a\\'\\x41\\n'\n(L1700000000L\nL5L\ntta(g1\n(I-1\nI01\ntta.")
add("py2-p1", b"]q\x00((U\x03a.bq\x01(J\x00\xf1Se G?\xf8\x00\x00\x00\x00\x00\x00tt(h\x01(K\x01K\x02tte.".replace(b" ", b""))
add("py2-p2", b"\x80\x02]q\x01(U\x03a.bq\x02J\x00\xf1SeG?\xf8\x00\x00\x00\x00\x00\x00\x86q\x03\x86q\x04T\x03\x00\x00\x00x.y\x8a\x01\x05K\x02\x86\x86e.")
add("py2-quotes", b"(S\"it's\"\n(I1\nI2\nttl.".replace(b"(S", b"((S", 1))
add("hand-list-of-mark", b"((Va\\u002eb\n(I1\nI2\ntt(X\x01\x00\x00\x00c(F1e3\nFnan\nttl.")
add("hand-pop-dup", b"]K\x010(K\x01K\x021(2000X\x01\x00\x00\x00aK\x01K\x02\x86\x86a.".replace(b"(2000", b""))
add("hand-after-stop", b"]" + b"." + b"cos\nsystem\n")
add("hand-long4", b"](X\x01\x00\x00\x00a\x8b\x02\x00\x00\x00\xff\x7f\x8b\x00\x00\x00\x00\x86\x86e.")

for protocol in range(6):
    refused("call-p%d" % protocol, pickle.dumps([Evil()], protocol), "forbidden_opcode")
    refused("object-p%d" % protocol, pickle.dumps([Plain()], protocol), "forbidden_opcode")
refused("global", b"cos\nsystem\n.", "forbidden_opcode")
refused("inst", b"(S'ls'\nios\nsystem\n.", "forbidden_opcode")
refused("persid", b"Pabc\n.", "forbidden_opcode")
refused("ext", b"\x82\x01.", "forbidden_opcode")
refused("buffer", b"\x80\x05\x97.", "forbidden_opcode")
good = pickle.dumps(SETS["one"], 2)
refused("cut", good[:-3], "truncated")
refused("no-stop", good[:-1], "truncated")
refused("nothing", b"", "truncated")
refused("unknown", b"\xff.", "unknown_opcode")
refused("protocol-6", b"\x80\x06].", "protocol")
refused("no-list", b"K\x01.", "not_a_list")
refused("text", b"U\x01a.", "not_a_list")
refused("append-to-int", b"K\x01K\x02a.", "not_a_list")
refused("underflow", b"\x86.", "stack_underflow")
refused("underflow-stop", b".", "stack_underflow")
refused("mark-under-tuple", b"K\x01(\x85.", "stack_underflow")
refused("no-mark", b"]e.", "stack_underflow")
refused("memo-unset", b"h\x07.", "bad_memo")
refused("memo-bomb", b"]r\xff\xff\xff\x7f.", "bad_memo")
refused("memo-text", b"]p-1\n.", "bad_memo")
refused("int-text", b"Ix\n.", "bad_number")
refused("string-quotes", b"S'a\n.", "bad_text")
refused("unicode-escape", b"V\\u12\n.", "bad_text")
refused("deep", b"(" * 9 + b"t" * 9 + b".", "too_deep")
refused("huge-length", b"X\xff\xff\xff\xffabc.", "truncated")
refused("huge-length8", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.", "truncated")

with open("frames.jsonl", "w") as out:
    for frame in FRAMES:
        out.write(json.dumps(frame) + "\n")
print(len(FRAMES), "frames")
