#!/usr/bin/env python3
"""Writes ks.tsv: D and p of pairs of samples, by scipy. Needs scipy; `generate.py > ks.tsv`.

Each row is: n, m, D, p exact (or - where n m > 10,000), p by Kolmogorov's distribution with Stephens'
correction, and the two samples as whole numbers. Small ranges make ties.
"""

import math
import random

import scipy
from scipy import stats

SEED = 20261125
PAIRS = 1000


def stephens(n, m, d):
    root = math.sqrt(n * m / (n + m))
    return float(stats.kstwobign.sf((root + 0.12 + 0.11 / root) * d))


def sample(rng, size, span, shift):
    return [rng.randrange(span) + shift for _ in range(size)]


def main():
    rng = random.Random(SEED)
    print(f"# scipy {scipy.__version__}, ks_2samp and kstwobign; generate.py, seed {SEED}")
    for number in range(PAIRS):
        # Every tenth pair is beyond what is counted out.
        most = 140 if number % 10 == 0 else 60
        n, m = rng.randint(1, most), rng.randint(1, most)
        if number % 10 == 0:
            n, m = rng.randint(101, 140), rng.randint(101, 140)
        if number % 4 == 0:
            m = n
        span = rng.choice([1, 2, 5, 20, 1000])
        shift = rng.choice([0, 0, 1, span // 3])
        a, b = sample(rng, n, span, 0), sample(rng, m, span, shift)
        found = stats.ks_2samp(a, b, method="exact")
        d = float(found.statistic)
        exact = repr(float(found.pvalue)) if n * m <= 10_000 else "-"
        words = lambda values: " ".join(map(str, values))
        print(n, m, repr(d), exact, repr(stephens(n, m, d)), words(a), words(b), sep="\t")


main()
