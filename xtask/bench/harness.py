"""What harness.c is, for engines that only Python reaches: the same arguments, the same lines in and out."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

COMPARED = 4096
NEAR = 1e-4
PART = 0.0005

clock = time.process_time if "PROCESSOR_TIME" in os.environ else time.perf_counter


def serve(open_engine, prepare=lambda batch: batch, most_batches=None, expected="expected.npy"):
    """`open_engine(folder, about, threads)` gives a function from a prepared batch to predictions. Batches are prepared
    outside of what is measured; `most_batches` bounds how many there are of a size. `expected` is of the first rows, or all."""
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    about = json.loads((folder / "about.json").read_text())
    rows, expected = np.load(folder / "rows.npy"), np.load(folder / expected)[:COMPARED]
    start = clock()
    predict = open_engine(folder, about, threads)
    load = clock() - start
    compared = len(expected)
    found = np.asarray(predict(prepare(rows[:compared])), dtype=np.float64).reshape(compared, -1)
    if found.shape[1] == 2 and expected.shape[1] == 1:
        # a binary classifier's column for each class
        found = found[:, 1:]
    off = np.abs(found - expected)
    say(load_ms=load * 1e3, compared=compared, differ=int((~(off <= NEAR)).any(axis=1).sum()), largest=float(off.max()))
    batches, position = {}, 0
    for line in sys.stdin:
        size, seconds = int(line.split()[0]), float(line.split()[1])
        if size not in batches:
            count = min(len(rows) // size, most_batches or len(rows))
            batches = {size: [prepare(rows[at * size:(at + 1) * size]) for at in range(count)]}
        of_size = batches[size]
        parts, calls, start = [], 1, clock()
        end = start
        while not parts or end - start < seconds:
            begun = end
            for _ in range(calls):
                predict(of_size[position % len(of_size)])
                position += 1
            end = clock()
            parts.append((end - begun) / calls)
            if end - begun < PART:
                parts, calls = [], calls * 2
        say(us=sorted(parts)[len(parts) // 4] * 1e6)


def say(**what):
    print(json.dumps(what), flush=True)
