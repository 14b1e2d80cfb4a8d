"""What cannot be answered is an exception with a line that helps, and the model goes on."""

import errno
import io
import os
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
    "no picture's bytes": (b"abc", mobileone.Error, "not a picture"),
    "no bytes": (b"", mobileone.Error, "empty"),
    "no picture's file": (io.BytesIO(b"abc"), mobileone.Error, "not a picture"),
    "text": (io.StringIO("abc"), TypeError, "binary mode"),
    "an address": ("https://example.org/cat.jpg", ValueError, "urllib.request.urlopen(url).read()"),
    "an address in capitals": (["HTTP://EXAMPLE.ORG/cat.jpg"], ValueError, "EXAMPLE.ORG"),
    "bytes as an array": (np.zeros(8, np.uint8), mobileone.Error, "[8]: expected"),
    "missing file": ("missing.jpg", FileNotFoundError, "missing.jpg"),
    "missing file in a list": ([PICTURE, "missing.jpg"], FileNotFoundError, "picture 1 of the list: No such file"),
    "file as a folder": (f"{__file__}/a.jpg", OSError, "Not a directory"),
    "folder": ("/", IsADirectoryError, "folder"),
    "no width": (PIL.Image.new("RGB", (0, 5)), mobileone.Error, "0x5"),
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
    "missing file": (("missing.safetensors",), {}, FileNotFoundError, "no such file"),
    "empty name": (("",), {}, FileNotFoundError, "no such file"),
    "folder": ((PICTURES[0].parent,), {}, mobileone.Error, "images"),
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
    "no labels": (("digits",), {"device": "cpu", "labels": "missing.txt"}, FileNotFoundError, "missing.txt"),
    "labels' folder": (("digits",), {"device": "cpu", "labels": "/"}, IsADirectoryError, "'/'"),
    "few labels": (("digits",), {"device": "cpu", "labels": __file__}, mobileone.Error, "test_refused.py"),
    "few names": (("digits",), {"device": "cpu", "labels": ["a"] * 10}, mobileone.Error, "10 names for a model of 11"),
    "no names": (("digits",), {"device": "cpu", "labels": []}, mobileone.Error, "0 names"),
    "names of numbers": (("digits",), {"labels": ["a", 3]}, TypeError, "class 1 is of type int"),
    "unordered names": (("digits",), {"labels": {"a", "b"}}, TypeError, "not set"),
    "names of bytes": (("digits",), {"labels": b"abc"}, TypeError, "not bytes"),
    "labels of nothing": (("digits",), {"labels": 3}, TypeError, "not int"),
    "a name missing": (("digits",), {"labels": {0: "a", 2: "c"}}, mobileone.Error, "no name for class 1, of 0 to 2"),
    "names from 2": (("digits",), {"labels": {2: "a", 3: "b"}}, mobileone.Error, "labels: the numbers begin at 2"),
    "few numbers": (("digits",), {"labels": {0: "a"}}, mobileone.Error, "labels: 1 names for a model of 11"),
    "a name twice": (("digits",), {"labels": {0: "a", "0": "b"}}, mobileone.Error, "several names for class 0"),
    "a word as number": (("digits",), {"labels": {"one": "b"}}, mobileone.Error, "'one' is not the number of a class"),
    "one stride": (("digits",), {"strides": [2]}, mobileone.Error, "strides [2]: expected 1 or 2 for the stem"),
    "strides of text": (("digits",), {"strides": "2,2"}, mobileone.Error, "strides '2,2': expected"),
    "strides for another": (("digits",), {"strides": (2, 2)}, mobileone.Error, "strides: expected 4 after the stem's, one per stage"),
    "a long stride": (("digits",), {"strides": [3] * 5}, mobileone.Error, "strides: a stride is 1 or 2, found 3"),
    "a large epsilon": (("digits",), {"bn_eps": 5}, mobileone.Error, "epsilon is a number above 0 and at most 0.1"),
    "epsilon of text": (("digits",), {"bn_eps": "1e-3"}, TypeError, ""),
    "other weights": (("digits",), {"weights": "ema"}, mobileone.Error, "holds no averaged weights"),
    "weights of a number": (("digits",), {"weights": 3}, TypeError, ""),
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


def test_errors_of_files_are_python_s_too(digits):
    for ask, name in [(digits, "missing.jpg"), (mobileone.Model, "missing.safetensors")]:
        with pytest.raises(FileNotFoundError) as caught:
            ask(name)
        error = caught.value
        assert isinstance(error, mobileone.Error) and type(error) is mobileone.FileNotFoundError
        assert (error.errno, error.filename) == (errno.ENOENT, name) and "such file" in error.strerror
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error)
    with pytest.raises(IsADirectoryError) as caught:
        digits(["/"])
    assert caught.value.errno == errno.EISDIR and caught.value.filename == "/"
    # What is not a fault of the system's is not one here.
    with pytest.raises(mobileone.Error) as caught:
        digits(__file__)
    assert type(caught.value) is mobileone.Error


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(digits, tmp_path):
    file = tmp_path / "secret.jpg"
    file.write_bytes(PICTURES[0].read_bytes())
    file.chmod(0)
    with pytest.raises(PermissionError) as caught:
        digits(file)
    assert isinstance(caught.value, mobileone.Error) and caught.value.filename == str(file)


class Broken:
    """A file whose reading fails."""

    def read(self):
        raise ConnectionResetError("the line is cut")


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_one_bad_picture_does_not_lose_a_list(batch, tmp_path):
    model = mobileone.Model("digits", device="cpu", batch=batch)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(PICTURES[0].read_bytes()[:2000])
    bad = [
        ("missing.jpg", FileNotFoundError),
        (cut, mobileone.Error),
        (b"abc", mobileone.Error),
        (None, TypeError),
        (Broken(), ConnectionResetError),
        (np.zeros((1, 70_000, 3), np.uint8), mobileone.Error),
        (PIL.Image.new("F", (8, 8)), mobileone.Error),
        ("http://example.org/a.jpg", ValueError),
    ]
    given, expected = [], []
    for at, (picture, kind) in enumerate(bad):
        given += [PICTURES[at], picture]
        expected += [model(PICTURES[at]), kind]
    for order in (1, -1):
        found = model(given[::order], errors="return")
        assert len(found) == len(given)
        for one, wanted in zip(found, expected[::order]):
            if isinstance(wanted, type):
                assert isinstance(one, wanted) and "of the list" not in str(one)
            else:
                assert [top.label for top in one] == [top.label for top in wanted]
                for top, other in zip(one, wanted):
                    assert abs(top.probability - other.probability) <= 1e-6
    # By default the first of them ends the call, and all may be bad.
    with pytest.raises(FileNotFoundError, match="picture 1 of the list"):
        model(given)
    kinds = [type(one) for one in model([picture for picture, _ in bad], errors="return")]
    assert len(kinds) == len(bad) and all(issubclass(kind, wanted) for kind, (_, wanted) in zip(kinds, bad))
    assert isinstance(model("missing.jpg", errors="return"), FileNotFoundError)
    assert model(PICTURES[0], errors="return") == model(PICTURES[0])
    with pytest.raises(mobileone.Error, match='errors "ignore": expected raise or return'):
        model(PICTURES[0], errors="ignore")


def test_what_ends_a_program_ends_a_call(digits):
    class Interrupted:
        def read(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digits([Interrupted()], errors="return")


def test_errors_are_exceptions():
    assert issubclass(mobileone.Error, Exception) and mobileone.Error.__module__ == "mobileone"
