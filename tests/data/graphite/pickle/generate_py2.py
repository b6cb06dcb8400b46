# -*- coding: utf-8 -*-
"""Writes frames_py2.tsv (id, frame in hex) with CPython 2.7: python2.7 generate_py2.py
Then run generate.py, which takes them in."""

import cPickle
import pickle

NAME = "servers.web01.cpu"
SHARED = (NAME, (1700000000, 1.5))
DATA = [
    SHARED,
    SHARED,
    (u"servers.web02.cpu", (1700000000L, 2)),
    (u"caf\u00e9;\u65e5=\U0001f600", (1700000000.5, 2.5)),
    ("caf\xc3\xa9", (1, 2)),
    ("\xff", (1, 2)),
    ("it's", ("17", "1.5")),
    ("a\nb", (1, 2)),
    ("back\\slash\"", (-1, 2 ** 63 - 1)),
    (NAME, (1700000000, 2 ** 64)),
    (NAME, (1700000000, True)),
    (NAME, (1700000000, float("nan"))),
    (NAME, (1700000000, 1e300)),
    [NAME, [1700000000, 70000]],
    ("x" * 300, (1700000000, -70000)),
]
with open("frames_py2.tsv", "w") as out:
    for protocol in range(3):
        for module in (pickle, cPickle):
            frame = module.dumps(DATA, protocol)
            out.write("%s-py2-p%d\t%s\n" % (module.__name__, protocol, frame.encode("hex")))
