#!/usr/bin/env python3
"""Leave one family out: what the detector is worth on a family that had no part in choosing its thresholds.

    leave_out.py [--seeds 1 2] [--n 200] [--own-n 100] [--draws 24] [--folder DIR]

Thresholds are drawn at random from wide ranges, each draw is run over all families of generate.py and all of our own,
and for each family the draw that does best on all the others judges it. The predictions of all families so left out
are pooled. `tests/leakbench/make leave_out` runs this with the Python that make keeps.
"""
import argparse
import math
import os
import random

import families
import score as S
import table

# lower end, upper end; each from one that alarms at much to one that alarms at little
RANGES = {
    "certain": (7.0, 14.0),
    "worth_a_word": (0.03, 0.10),
    "over_drawdown": (1.1, 2.0),
    "still_rising": (0.2, 0.6),
    "since_start": (0.6, 1.1),
    "since_start_great": (0.8, 1.5),
    "moving_load": (1.0, 2.0),
    "late": (0.3, 0.8),
    "late_great": (0.6, 1.2),
    "late_moving_load": (0.6, 2.5),
    "late_over_drawdown": (1.3, 3.0),
    "late_over_stairs": (0.0, 5.0),
    "late_even": (0.2, 0.7),
    "contradiction": (1.0, 8.0),
    "better_than.Plateau": (-1.0, 3.0),
    "better_than.Saturating": (-4.0, 1.0),
    "better_than.Logarithm": (-4.0, 1.0),
    "better_than.AgeLogarithm": (0.0, 4.0),
    "better_than.AgePower": (0.0, 3.0),
}
# what a page at night is allowed to be wrong
PRECISION = 0.98


def draws(count):
    rng = random.Random(1)
    return [[f"{name}={rng.uniform(*ends):.3f}" for name, ends in RANGES.items()] for _ in range(count)]


def worth(s):
    """F1, less what precision lacks, twice."""
    precision = 0.0 if math.isnan(s["precision"]) else s["precision"]
    return s["f1"] - 2.0 * max(PRECISION - precision, 0.0)


def only(series, wanted):
    return {name: one for name, one in series.items() if wanted(one["family"])}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    ap.add_argument("--n", type=int, default=200, help="series of each seed of generate.py")
    ap.add_argument("--own-n", type=int, default=100, help="series of each seed of each set of families.py")
    ap.add_argument("--draws", type=int, default=24)
    ap.add_argument("--folder", default=os.path.join(table.HERE, "series"))
    a = ap.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    own = [(which, a.own_n) for which in families.SETS if which != "cached"]
    truth, files = {}, []
    for which, n in [("generator", a.n), *own]:
        for seed in a.seeds:
            path, blind = table.make(a.folder, which, seed, n)
            truth.update({f"{which}/{seed}/{k}": v for k, v in S.load_truth(path).items()})
            files.append((f"{which}/{seed}", blind))
    runs = []
    for number, draw in enumerate(draws(a.draws)):
        pred = {f"{name}/{k}": v for name, blind in files for k, v in table.replay(blind, draw).items()}
        runs.append(pred)
        s = S.score(truth, pred)
        print(f"draw {number}: F1 {s['f1']:.3f}, precision {s['precision']:.3f}, {' '.join(draw)}", flush=True)
    pooled = {}
    for family in sorted({one["family"] for one in truth.values()}):
        others, left_out = only(truth, lambda it: it != family), only(truth, lambda it: it == family)
        best = max(range(len(runs)), key=lambda number: worth(S.score(others, runs[number])))
        pooled.update({k: runs[best].get(k, {}) for k in left_out})
        f = S.score(left_out, runs[best])["families"][family]
        print(f"  {family:26s} {f['label']:8s} by draw {best:2d}: {f['alarmed']:3d} of {f['n']:3d} alarmed, {f['early']} too early")
    for name, wanted in (("all families", lambda key: True), ("those of generate.py", lambda key: key.startswith("generator/")),
                         ("our own", lambda key: not key.startswith("generator/"))):
        s = S.score({k: v for k, v in truth.items() if wanted(k)}, pooled)
        print(f"{name}, each left out: F1 {s['f1']:.3f}, precision {s['precision']:.3f}, recall {s['recall']:.3f}, "
              f"{s['fa_per_1000h']:.2f} false alarms / 1,000 h, {s['series']} series")


if __name__ == "__main__":
    main()
