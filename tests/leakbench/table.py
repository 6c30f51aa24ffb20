#!/usr/bin/env python3
"""The detector of the agent beside every baseline, in one table.

    table.py [--seeds 501 502 503] [--n 300] [--own-n 150] [--sets SET ...] [--only NAME ...] [--baselines-n N]
             [--folder DIR] [--jobs 2]

Makes the series that are not in the folder yet, runs `cargo run --release -p heartline --example leak_replay` and the
baselines on each seed, pools them, and prints one table for generate.py's families and one for each set of
families.py, then the detector's figures by family. The baselines take most of an hour on all series; with
--baselines-n they run on the first so many of each seed, and `heartline, the same` is the detector on those.
"""
import argparse
import itertools
import os
import subprocess
import sys

import baselines as B
import families
import good_detector  # noqa: F401  (registers itself)
import score as S

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = "heartline"


def make(folder, which, seed, n):
    """Paths of a seed's series, with and without truth."""
    out, blind = (os.path.join(folder, f"{which}-{seed}-{n}.{end}") for end in ("jsonl", "blind.jsonl"))
    if not os.path.exists(blind):
        script = ["generate.py"] if which == "generator" else ["families.py", "--set", which]
        command = [sys.executable, os.path.join(HERE, script[0]), *script[1:], "--seed", str(seed), "--n", str(n)]
        subprocess.run([*command, "--out", out, "--blind", blind + ".part"], check=True)
        os.rename(blind + ".part", blind)
    return out, blind


def replay(blind, thresholds=()):
    """What the agent's detector says, as predictions by id; `thresholds` are `NAME=VALUE`."""
    out = blind.replace(".blind.jsonl", ".pred.jsonl")
    command = ["cargo", "run", "--quiet", "--release", "-p", "heartline", "--example", "leak_replay", "--"]
    command += [*thresholds, blind]
    with open(out, "w") as f:
        subprocess.run(command, cwd=HERE, stdout=f, check=True)
    return S.load_pred(out)


def first(path, count):
    """A file of the first series of a file."""
    out = path.replace(".jsonl", f".first-{count}.jsonl")
    with open(path) as whole, open(out, "w") as f:
        f.writelines(itertools.islice(whole, count))
    return out


def pooled(folder, which, seeds, n, todo, jobs, baselines_n):
    truth, preds = {}, {}
    for seed in seeds:
        path, blind = make(folder, which, seed, n)
        one, ours = S.load_truth(path), replay(blind)
        found = {OURS: (one, ours)}
        if todo:
            few = baselines_n is not None and baselines_n < n
            path = first(path, baselines_n) if few else path
            some = S.load_truth(path) if few else one
            found.update({name: (some, pred) for name, pred in B.run(path, todo, jobs).items()})
            if few:
                found[f"{OURS}, the same"] = (some, {k: ours[k] for k in some if k in ours})
        for name, (known, pred) in found.items():
            truth.setdefault(name, {}).update({f"{seed}/{k}": v for k, v in known.items()})
            preds.setdefault(name, {}).update({f"{seed}/{k}": v for k, v in pred.items()})
    return {name: S.score(truth[name], pred) for name, pred in preds.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seeds", type=int, nargs="+", default=[501, 502, 503])
    ap.add_argument("--n", type=int, default=300, help="series of each seed of generate.py")
    ap.add_argument("--own-n", type=int, default=150, help="series of each seed of each set of families.py")
    ap.add_argument("--sets", nargs="*", default=list(families.SETS), choices=families.SETS)
    ap.add_argument("--only", nargs="*", help="baselines by name; an empty list runs none")
    ap.add_argument("--baselines-n", type=int, help="series of each seed that the baselines run on; all by default")
    ap.add_argument("--folder", default=os.path.join(HERE, "series"))
    ap.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    a = ap.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    chosen = B.REGISTRY if a.only is None else {name: B.REGISTRY[name] for name in a.only}
    todo = [(name, cls, kw) for name, (cls, kw) in chosen.items()]
    for which in ["generator", *a.sets]:
        n = a.n if which == "generator" else a.own_n
        rows = pooled(a.folder, which, a.seeds, n, todo, a.jobs, a.baselines_n)
        print(f"\n{which}: seeds {a.seeds}, {n} series each", flush=True)
        B.table(sorted(rows.items(), key=lambda row: row[1]["f1"]))
        print(f"time to limit given for {rows[OURS]['ttl_n']} of {rows[OURS]['tp']} true alarms; by family:")
        for family, f in sorted(rows[OURS]["families"].items()):
            print(f"  {family:24s} {f['label']:8s} {f['alarmed']:4d} of {f['n']:4d} alarmed, {f['early']} too early")


if __name__ == "__main__":
    main()
