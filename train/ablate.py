"""The paper's ablations at this size: extra branches, annealed weight decay, averaged weights.

    python ablate.py            # run what is missing in ablations.jsonl, then print the table
    python ablate.py --table    # print the table alone

Every run is short and on small pictures: it compares, it does not compete. Interrupt and call again as
you like: a finished run is a line in ablations.jsonl and is not repeated.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import data
import train

RESULTS = Path(__file__).with_name("ablations.jsonl")
SEEDS = (0, 1, 2)
SIDE = 48  # of the pictures, in training and in validation
BASE = dict(primer=6000, rounds=(train.Round(epochs=6, pictures=24000, drawn=64, sizes=(SIDE,)),), ema=0.998)
# EMA on or off is read from every run: the same weights, averaged and not.
VARIANTS = {
    "no branches": dict(plain=True),
    "k = 1": dict(branches=1),
    "k = 4": dict(branches=4),
    "k = 4, constant decay": dict(branches=4, decay_end=train.Recipe.decay),
}


def table(rows):
    print("| | runs | top-1 | top-1, EMA | last loss | CPU seconds a run |\n| --- | --- | --- | --- | --- | --- |")
    for name in VARIANTS:
        mine = [r for r in rows if r["variant"] == name]
        if mine:
            def spread(key, digits=1):
                values = [r[key] for r in mine]
                wide = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
                return f"{statistics.mean(values):.{digits}f}{wide}"

            print(f"| {name} | {len(mine)} | {spread('top1')} | {spread('ema_top1')} | {spread('loss', 3)} | {spread('cpu_seconds', 0)} |")


def sets(cache):
    """A part of the first round's pictures behind a part of its primer, and half the validation set, at SIDE."""
    recipe, base = train.Recipe(), train.Recipe(**BASE)
    training, validation = train.drawn_sets(cache, recipe, 0)
    few = slice(recipe.primer - base.primer, recipe.primer + base.rounds[0].pictures)
    pictures, labels = (part[:3000] for part in validation)
    small = np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures])
    return tuple(part[few].copy() for part in training), (small, labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--cache", default="cache")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    if not args.table:
        both = sets(args.cache)
        for seed in SEEDS:
            for name, change in VARIANTS.items():
                if any(r["variant"] == name and r["seed"] == seed for r in rows):
                    continue
                started = time.process_time()
                last = train.train(train.Recipe(**(BASE | change), seed=seed), lambda _: both)[2][-1]
                figures = {key: last[key] for key in ("loss", "top1", "nothing", "ema_top1", "ema_nothing")}
                rows.append(dict(variant=name, seed=seed, cpu_seconds=round(time.process_time() - started), **figures))
                with RESULTS.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    table(rows)


if __name__ == "__main__":
    main()
