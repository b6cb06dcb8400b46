"""whisper_read.py DIR: for each name of standard input that has a whisper file below DIR, writes
NAME, the time of its latest point and the value, separated by tabs."""

import os
import sys
import time

import whisper
from carbon.util import TaggedSeries

root = sys.argv[1]
now = int(time.time())
for name in sys.stdin.read().splitlines():
    # As carbon-cache does: names are normalised on receipt, tagged ones have a hashed path.
    stored = TaggedSeries.parse(name).path
    path = os.path.join(root, TaggedSeries.encode(stored, os.sep, hash_only=True) + ".wsp")
    if not os.path.exists(path):
        continue
    (start, end, step), values = whisper.fetch(path, now - 3600, now + 60)
    points = [(at, value) for at, value in zip(range(start, end, step), values) if value is not None]
    if points:
        print(name, points[-1][0], repr(points[-1][1]), sep="\t")
