"""What cannot be answered is an exception with a line that helps, and the model goes on."""

import io
import pickle

import numpy as np
import PIL.Image
import pytest
from conftest import PICTURES

import mobileone

PICTURE = np.zeros((8, 8, 3), np.uint8)

# What is given to a model, the exception, and what its line says.
PICTURES_REFUSED = {
    "float32": (np.zeros((8, 8, 3), np.float32), mobileone.Error, "uint8"),
    "float64": (np.zeros((8, 8, 3)), mobileone.Error, "float64: expected uint8"),
    "int32": (np.zeros((8, 8, 3), np.int32), mobileone.Error, "int32: expected uint8"),
    "objects": (np.array([[[None] * 3]]), mobileone.Error, "object: expected uint8"),
    "two dimensions": (np.zeros((8, 8), np.uint8), mobileone.Error, "[8, 8]: expected [height, width, 3]"),
    "no dimension": (np.uint8(3) * np.ones((), np.uint8), (mobileone.Error, TypeError), ""),
    "two channels": (np.zeros((8, 8, 2), np.uint8), mobileone.Error, "[8, 8, 2]"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), mobileone.Error, "[3, 8, 8]"),
    "no rows": (np.zeros((0, 8, 3), np.uint8), mobileone.Error, "[0, 8, 3]"),
    "no columns": (np.zeros((8, 0, 3), np.uint8), mobileone.Error, "[8, 0, 3]"),
    "no pictures": (np.zeros((0, 8, 8, 3), np.uint8), mobileone.Error, "at least one"),
    "five dimensions": (np.zeros((1, 1, 8, 8, 3), np.uint8), mobileone.Error, "[1, 1, 8, 8, 3]"),
    "too many": (np.broadcast_to(np.uint8(3), (60_000, 60_000, 3)), mobileone.Error, "256 megapixels"),
    "too wide": (np.zeros((1, 70_000, 3), np.uint8), mobileone.Error, "65535"),
    "empty list": ([], mobileone.Error, "at least one"),
    "list in a list": ([[PICTURE]], TypeError, "not list"),
    "one bad in a list": ([PICTURE, np.zeros((8, 8))], mobileone.Error, "picture 1 of the list"),
    "None": (None, TypeError, "not NoneType"),
    "number": (3, TypeError, "not int"),
    "bytes": (b"abc", TypeError, "not bytes"),
    "missing file": ("missing.jpg", mobileone.Error, "missing.jpg"),
    "folder": ("/", mobileone.Error, "folder"),
    "no picture": (__file__, mobileone.Error, "not a picture"),
    "NUL in a path": ("a\0b", mobileone.Error, ""),
    "mode F": (PIL.Image.new("F", (8, 8)), mobileone.Error, "mode F"),
}


@pytest.mark.parametrize("case", PICTURES_REFUSED)
def test_pictures(digits, case):
    given, exception, says = PICTURES_REFUSED[case]
    before = digits.logits(PICTURES[0])
    with pytest.raises(exception) as caught:
        digits(given)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert np.array_equal(digits.logits(PICTURES[0]), before)


VALUES_REFUSED = {
    "wrong size": (np.zeros((1, 81, 80, 3), np.float32), "[n, 80, 80, 3]"),
    "NCHW": (np.zeros((1, 3, 80, 80), np.float32), "transpose(0, 2, 3, 1)"),
    "CHW": (np.zeros((3, 80, 80), np.float32), "transpose(1, 2, 0)"),
    "no pictures": (np.zeros((0, 80, 80, 3), np.float32), "at least 1"),
    "float16": (np.zeros((1, 80, 80, 3), np.float16), "float16: expected"),
    "big-endian": (np.zeros((1, 80, 80, 3), ">f4"), "expected"),
    "NaN": (np.full((80, 80, 3), np.nan, np.float32), "not finite"),
    "infinity": (np.full((2, 80, 80, 3), np.inf, np.float32), "not finite"),
}


@pytest.mark.parametrize("case", VALUES_REFUSED)
def test_values(device, case):
    given, says = VALUES_REFUSED[case]
    model = mobileone.Model("digits", device=device, batch=2)
    for ask in (model.logits, model.features):
        with pytest.raises(mobileone.Error) as caught:
            ask(given)
        assert says in str(caught.value)
    assert model.logits(PICTURES[0]).shape == (11,)


MODELS_REFUSED = {
    "missing file": (("missing.safetensors",), {}, mobileone.Error, "no such file"),
    "no weights": ((__file__,), {}, mobileone.Error, "test_refused.py"),
    "random": (("random:s9",), {}, mobileone.Error, "random:s0 to s4"),
    "device": (("digits",), {"device": "abacus"}, mobileone.Error, "abacus"),
    "empty device": (("digits",), {"device": ""}, mobileone.Error, "auto"),
    "dtype": (("digits",), {"dtype": "f64"}, mobileone.Error, "f32, f16 or f16-fast"),
    "f16 on the CPU": (("digits",), {"device": "cpu", "dtype": "f16"}, mobileone.Error, "f32"),
    "no threads": (("digits",), {"threads": 0}, mobileone.Error, "1 to 1024"),
    "many threads": (("digits",), {"threads": 10**6}, mobileone.Error, "1 to 1024"),
    "no batch": (("digits",), {"device": "cpu", "batch": 0}, mobileone.Error, "batch 0: expected a number from 1"),
    "negative batch": (("digits",), {"batch": -1}, mobileone.Error, "batch -1: expected a number from 1"),
    "negative threads": (("digits",), {"threads": -1}, mobileone.Error, "threads -1"),
    "three sizes": (("digits",), {"size": (80, 80, 3)}, mobileone.Error, "(height, width)"),
    "negative size": (("digits",), {"size": -80}, mobileone.Error, "size -80"),
    "no classes": (("digits",), {"top_k": 0}, mobileone.Error, "top_k"),
    "huge k": (("digits",), {"top_k": 2**70}, OverflowError, ""),
    "size 0": (("digits",), {"device": "cpu", "size": (0, 80)}, mobileone.Error, "0x80"),
    "huge size": (("digits",), {"device": "cpu", "size": (2**40, 80)}, mobileone.Error, "input size"),
    "no labels": (("digits",), {"device": "cpu", "labels": "missing.txt"}, mobileone.Error, "missing.txt"),
    "few labels": (("digits",), {"device": "cpu", "labels": __file__}, mobileone.Error, "test_refused.py"),
    "not a name": ((3,), {}, TypeError, ""),
    "unknown option": (("digits",), {"colour": "red"}, TypeError, "colour"),
}


@pytest.mark.parametrize("case", MODELS_REFUSED)
def test_models(case):
    args, options, exception, says = MODELS_REFUSED[case]
    with pytest.raises(exception) as caught:
        mobileone.Model(*args, **options)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_hub_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(mobileone.Error, match="HF_HUB_OFFLINE"):
        mobileone.Model("s0")


def test_a_huge_batch_is_cut():
    model = mobileone.Model("digits", device="cpu", batch=10**9)
    assert model.batch < 10**6
    assert model(PICTURES[0])


def test_an_image_whose_file_is_closed(digits):
    image = PIL.Image.open(PICTURES[0])
    image.close()
    with pytest.raises(ValueError):
        digits(image)
    cut = PIL.Image.open(io.BytesIO(PICTURES[0].read_bytes()[:-200]))
    with pytest.raises(OSError):
        digits(cut)


def test_a_file_that_is_cut_off(digits, tmp_path):
    file = tmp_path / "cut.jpg"
    file.write_bytes(PICTURES[0].read_bytes()[:-200])
    with pytest.raises(mobileone.Error, match="cut off"):
        digits(file)


def test_nothing_can_be_changed(digits):
    for name in ("batch", "labels", "anything"):
        with pytest.raises(AttributeError):
            setattr(digits, name, 1)
    with pytest.raises(TypeError):
        pickle.dumps(digits)
    with pytest.raises(TypeError):
        mobileone.Top()


def test_errors_are_exceptions():
    assert issubclass(mobileone.Error, Exception) and mobileone.Error.__module__ == "mobileone"
