"""What Python's door adds to a frame: the same pictures through the C library and through Python, in alternation.

    cargo build --release -p mobileone-c
    PROFILE=release bindings/python/test -k package     # leaves the package in target/python-*/
    target/python-*/bin/python benches/doors.py target/release/libmobileone.so s0.safetensors cpu

The least of the rounds of each, one thread, and what it takes beyond the C library, which is given RGBA bytes; of the
network's own input it is the same values.
"""

import ctypes
import sys
import time
from ctypes import byref, c_float, c_size_t, c_uint32, c_uint64, c_void_p, sizeof

import numpy as np
import PIL.Image

import mobileone

ROUNDS = 300
SIZES = [(224, 224), (640, 480), (1920, 1080)]
# Logits and features come back too, as they do to Python.
OUTPUTS = 1 | 4


def struct(*fields):
    return type("Struct", (ctypes.Structure,), {"_fields_": list(fields)})


Options = struct(
    *[(name, c_uint32) for name in "size dtype threads batch frames top_k outputs reserved".split()],
    ("cache", c_void_p),
)
Picture = struct(
    *[(name, c_uint32) for name in "size format width height".split()],
    ("bytes", c_void_p),
    ("length", c_size_t),
    ("stride", c_size_t),
    ("chroma", c_void_p),
    ("chroma_length", c_size_t),
    ("chroma_stride", c_size_t),
    ("crop", c_uint32 * 4),
    *[(name, c_uint32) for name in "rotation matrix range reserved".split()],
)
Top = struct(("index", c_uint32), ("probability", c_float))
Values = struct(("values", c_void_p), ("capacity", c_size_t), ("count", c_size_t))
Answer = struct(
    ("size", c_uint32),
    ("batch", c_uint32),
    *[(name, Values) for name in "top logits probabilities features".split()],
)


def open_library(path, model, device):
    """What classifies RGBA bytes of a size, and what gives the logits of values."""
    library = ctypes.CDLL(path)
    library.mobileone_last_error.restype = ctypes.c_char_p

    def call(name, *args):
        if getattr(library, name)(*args) != 0:
            sys.exit(f"{name}: {library.mobileone_last_error().decode()}")

    handles = [c_uint64() for _ in range(3)]
    call("mobileone_model_load", model.encode(), byref(handles[0]))
    call("mobileone_device_open", device.encode(), byref(handles[1]))
    options = Options(size=sizeof(Options), threads=1, outputs=OUTPUTS)
    call("mobileone_session_open", handles[0], handles[1], byref(options), byref(handles[2]))
    top, count = (Top * 5)(), c_size_t()

    def classify(rgba):
        height, width, _ = rgba.shape
        picture = Picture(
            size=sizeof(Picture), width=width, height=height, bytes=rgba.ctypes.data, length=rgba.nbytes
        )
        call("mobileone_classify", handles[2], byref(picture), top, 5, byref(count))

    scores = np.empty(100_000, np.float32)
    answer = Answer(size=sizeof(Answer), logits=Values(scores.ctypes.data, scores.size, 0))

    def logits(x):
        call("mobileone_run_tensor", handles[2], c_void_p(x.ctypes.data), c_size_t(x.size), byref(answer))

    return classify, logits


def alternate(given):
    """The least of the rounds of each call, in seconds."""
    least = [float("inf")] * len(given)
    for _ in range(ROUNDS):
        for at, (run, picture) in enumerate(given):
            begun = time.perf_counter()
            run(picture)
            least[at] = min(least[at], time.perf_counter() - begun)
    return least


def cells(least):
    """The first, and what the others take beyond it."""
    beyond = [f"{100 * (time / least[0] - 1):+.1f} % ({1e3 * time:.2f} ms)" for time in least[1:]]
    return " | ".join([f"{1e3 * least[0]:.2f} ms", *beyond])


def main(path, model, device):
    library, library_logits = open_library(path, model, device)
    python = mobileone.Model(model, device=device, threads=1)
    x = np.random.default_rng(1).standard_normal((*python.size, 3)).astype(np.float32)
    print("| input | C library | Python |\n| --- | --- | --- |")
    print(f"| values | {cells(alternate([(library_logits, x), (python.logits, x)]))} |\n")
    print("| picture | C library | RGB array | RGBA array | PIL |\n| --- | --- | --- | --- | --- |")
    for width, height in SIZES:
        rgb = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
        rgba = np.dstack([rgb, np.full((height, width, 1), 255, np.uint8)]).copy()
        given = [(library, rgba), (python, rgb), (python, rgba), (python, PIL.Image.fromarray(rgb))]
        print(f"| {width}×{height} | {cells(alternate(given))} |")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
