"""A few steps on few pictures: the set is seeded, the loss falls, training resumes exactly, the files are right.

    MOBILEONE=../target/debug/mobileone python test_train.py        # under a minute; pytest runs it too

MOBILEONE is the program that must read the files; without it that part says that it is skipped.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, safe_open

import data
import model as models
import train

torch.set_num_threads(1)
cv2.setNumThreads(1)


def test_pictures():
    pictures, labels = data.chunk(("train", 3, data.SIZE, 0, 60))
    again, same = data.chunk(("train", 3, data.SIZE, 0, 60))
    assert (pictures == again).all() and (labels == same).all(), "the same seed gives the same set"
    assert pictures.shape == (60, data.SIZE, data.SIZE, 3) and pictures.dtype == np.uint8
    seen = {path for split in ("train",) for family in data.families(split) for path in family}
    assert not seen & {path for family in data.families("validation") for path in family}, "a font on both sides"


def test_scale_branch():
    """The faster scale branch computes what Conv2d does."""
    for groups, channels in ((1, 3), (16, 16)):
        conv = torch.nn.Conv2d(channels, 16, 1, stride=2, groups=groups, bias=False)
        x = torch.randn(2, channels, 9, 9)
        want = conv(x)
        conv.__class__ = models.ScaleConv
        assert torch.allclose(conv(x), want, atol=1e-6)


def test_training():
    parts = data.chunk(("primer", 0, 64, 0, 64)), data.chunk(("train", 0, 64, 0, 128))
    set_ = tuple(np.concatenate(part) for part in zip(*parts))
    rounds = (train.Round(epochs=3, pictures=128, drawn=64, sizes=(32,)),
              train.Round(epochs=1, pictures=128, drawn=64, sizes=(64,), height=0.3, nothing=1.5))
    recipe = train.Recipe(rounds=rounds, primer=64, batch=16, branches=2, ema=0.9)
    sets = lambda index: (set_ if index == 0 else parts[1], set_)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        _, _, whole = train.train(recipe, sets, bar=False)
        try:  # interrupted between the rounds
            train.train(recipe, lambda index: sets(index) if index == 0 else 1 / 0, folder, bar=False)
        except ZeroDivisionError:
            pass
        model, ema, history = train.train(recipe, sets, folder, bar=False)
        timeless = lambda rows: [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
        assert timeless(history) == timeless(whole), "an interrupted run goes on as if it had not been"
        assert history[-1]["loss"] < history[0]["loss"] - 0.05, history
        *_, resumed = train.train(recipe, sets, folder, bar=False)
        assert resumed == history, "a finished run is not trained again"

        models.save(ema, folder / "train.safetensors", {})
        models.export(ema, folder / "fused.safetensors", {})
        names = {k: tuple(v.shape) for k, v in load_file(folder / "fused.safetensors").items()}
        assert names["stem.reparam_conv.weight"] == (16, 3, 3, 3) and names["stem.reparam_conv.bias"] == (16,)
        assert names["stages.0.0.reparam_conv.weight"] == (16, 1, 3, 3)
        assert names["stages.0.1.reparam_conv.weight"] == (32, 16, 1, 1)
        assert names["head.fc.weight"] == (11, 256)
        assert len(names) == 2 * (1 + 2 * sum(models.DEPTHS) + 1)
        assert all(v.dtype == torch.float16 for v in load_file(folder / "fused.safetensors").values())
        assert (folder / "fused.safetensors").stat().st_size <= 400_000
        with safe_open(folder / "fused.safetensors", "pt") as file:
            assert json.loads(file.metadata()["mobileone"])["labels"] == data.LABELS
        read_by_the_program(folder / "train.safetensors", folder / "fused.safetensors")
        want = models.predict(ema, set_[0])
        for file, most in ("train.safetensors", 1e-6), ("fused.safetensors", 1e-2):
            got = models.predict(models.open_model(folder / file)[0], set_[0])
            error = ((got - want).norm() / want.norm()).item()
            assert error <= most, f"{file}: relative error {error}"


def read_by_the_program(*files):
    program = os.environ.get("MOBILEONE")
    if not program:
        print("SKIPPED: MOBILEONE names no program to read the files with")
        return
    for file in files:
        said = json.loads(subprocess.run([program, "info", file, "--json"], stdout=subprocess.PIPE, check=True).stdout)
        assert (said["classes"], said["stem"], said["input"]) == (11, 16, [1, 3, data.SIZE, data.SIZE]), said
        assert said["parameters"] == sum(p.numel() for p in models.fuse(models.build()).parameters()), said


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print(name, "ok")
