"""Threads share a model; the GIL is released while it runs; processes that were forked are refused."""

import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import PICTURES

import mobileone


def test_other_threads_go_on_during_a_run():
    """A thread that counts in Python goes on counting while another is inside one single call."""
    model = mobileone.Model("random:s1", device="cpu", threads=1, batch=16)
    x = np.random.default_rng(0).standard_normal((model.batch, *model.size, 3)).astype(np.float32)
    model.logits(x)
    ticks, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    begun = time.perf_counter()
    model.logits(x)
    ended = time.perf_counter()
    stop.set()
    counter.join()
    # The middle half, in which nothing but the engine runs: a held GIL would leave it empty.
    quarter = (ended - begun) / 4
    inside = [tick for tick in ticks if begun + quarter < tick < ended - quarter]
    assert len(inside) >= 10, f"{len(inside)} ticks in {2 * quarter:.3f} s"


def test_an_array_may_be_written_to_during_a_run():
    """All of it is copied before the GIL is released for the first time."""
    model = mobileone.Model("digits", device="cpu", threads=1)
    x = np.random.default_rng(0).standard_normal((16, *model.size, 3)).astype(np.float32)
    expected = model.logits(x)
    begun = threading.Event()

    def work():
        begun.set()
        return model.logits(x)

    # No thread is made to give up the GIL: the other one goes on when the call releases it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(work)
            begun.wait()
            x[:] = np.nan
            assert np.array_equal(found.result(), expected)
    finally:
        sys.setswitchinterval(interval)


def test_threads_share_a_model(device):
    model = mobileone.Model("digits", device=device)
    expected = [model.logits(path) for path in PICTURES]
    order = [at for turn in range(4) for at in range(len(PICTURES))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: model.logits(PICTURES[at]), order))
    for at, logits in zip(order, found):
        assert np.array_equal(logits, expected[at])


def test_calls_of_two_threads_overlap():
    """Two threads are inside a call at once, which a held GIL would not let happen."""
    model = [mobileone.Model("random:s0", device="cpu", threads=1) for _ in range(2)]
    x = np.zeros((*model[0].size, 3), np.float32)
    calls = [], []
    both_begin = threading.Barrier(2)

    def work(at):
        both_begin.wait()
        for _ in range(20):
            begun = time.perf_counter()
            model[at].logits(x)
            calls[at].append((begun, time.perf_counter()))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    both = sum(max(0.0, min(b, d) - max(a, c)) for a, b in calls[0] for c, d in calls[1])
    inside = sum(b - a for a, b in calls[0])
    assert both > inside / 4, f"{both:.3f} s of {inside:.3f} s of one thread's calls were the other's too"


def forked(model, queue):
    try:
        model(PICTURES[0])
        queue.put("ran")
    except mobileone.Error as error:
        queue.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_is_refused(digits):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=forked, args=(digits, queue))
    process.start()
    said = queue.get(timeout=600)
    process.join()
    assert "forked" in said and digits(PICTURES[0])
