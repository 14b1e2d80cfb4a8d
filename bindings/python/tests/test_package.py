"""The package: its stubs, its examples, what is in the wheel."""

import importlib.metadata
import importlib.util
import inspect
import json
import pydoc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import IMAGES, PICTURES, ROOT, shown

import mobileone

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(*args, cwd=None):
    done = subprocess.run([sys.executable, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_stubs_are_the_module(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not here: pip install mypy")
    run("-m", "mypy.stubtest", "mobileone", cwd=tmp_path)


def test_a_program_is_checked_by_its_types(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not here: pip install mypy")
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np, mobileone\n"
        "model = mobileone.Model('digits', batch=2)\n"
        "name: str = model('a.jpg')[0].label\n"
        "names: list[str] = [top[0].label for top in model(['a.jpg', 'b.jpg'])]\n"
        "logits = model.logits(np.zeros((1, 80, 80, 3), np.float32))\n"
        "width: int = logits.shape[1]\n"
        "import io, pathlib\n"
        "for form in (b'a', bytearray(b'a'), memoryview(b'a'), io.BytesIO(b'a'), open('a', 'rb'), pathlib.Path('a')):\n"
        "    best: str = model(form, exif=True)[0].label\n"
        "for found in model(['a.jpg', 'b.jpg'], errors='return'):\n"
        "    print(found if isinstance(found, Exception) else found[0].label)\n"
        "mobileone.Model('digits', labels=['a', 'b'])\n"
        "mobileone.Model('digits', labels={0: 'a'})\n"
        "mobileone.Model('digits', labels={'a': 0}, weights='raw', strides=(2, 2, 2, 2, 2), bn_eps=1e-3)\n"
        "lines: list[str] = model.notes\n"
        "model = mobileone.Model('digits', outputs=['probabilities'])\n"
        "channels: int = model.outputs['probabilities'][0]\n"
        "found = model.run('a.jpg', ['probabilities'])['probabilities'].shape[0]\n"
    )
    run("-m", "mypy", "--strict", program, cwd=tmp_path)
    program.write_text("import mobileone\nmobileone.Model('digits')(3)\n")
    with pytest.raises(AssertionError, match="call-overload"):
        run("-m", "mypy", "--strict", program, cwd=tmp_path)


def test_all_is_documented():
    for name in mobileone.__all__:
        thing = getattr(mobileone, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        if name == "Error":
            continue
        for member in vars(thing) if inspect.isclass(thing) else ():
            if not member.startswith("_"):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"
    assert Path(mobileone.__file__).with_name("py.typed").exists()


def test_help_says_what_a_call_takes():
    """`__call__` has a text of ours, and not Python's "Call self as a function."."""
    text = pydoc.plain(pydoc.render_doc(mobileone.Model))
    begin = text.index("__call__ = ")
    shown = text[begin : text.index("\n |\n |  __", begin) if "\n |\n |  __" in text[begin:] else None]
    for word in ["errors='raise'", "exif=False", "bytearray", "file object", "The best classes of a picture"]:
        assert word in shown, word
    assert "Call self as a function" not in text
    assert "The best classes" in inspect.getdoc(mobileone.Model.__call__)
    assert list(inspect.signature(mobileone.Model.__call__).parameters) == ["self", "pictures", "errors", "exif"]


def test_the_licences_are_in_the_wheel():
    files = {file.name: file for file in importlib.metadata.files("mobileone") if ".dist-info" in str(file)}
    for name in ["LICENSE-APACHE", "LICENSE-MIT"]:
        assert files[name].read_text() == (ROOT / name).read_text(), name


def test_classify_example():
    lines = run(EXAMPLES / "classify.py", "digits", *PICTURES).splitlines()
    assert len(lines) == len(PICTURES)
    for path, line in zip(PICTURES, lines):
        assert line.startswith(path.name) and line.split()[2] == shown(path), line


def test_ray_example(tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not here: pip install "ray[data]"')
    import PIL.Image

    folder, out = tmp_path / "pictures", tmp_path / "labels"
    shutil.copytree(IMAGES, folder)
    # Another size among them, as in any folder of photos.
    wide = PIL.Image.open(PICTURES[0])
    wide.resize((2 * wide.width, 2 * wide.height)).save(folder / PICTURES[0].name)
    # And files that are damaged, or no pictures at all, which cost their own lines only.
    (folder / "cut.jpg").write_bytes(PICTURES[1].read_bytes()[:2000])
    (folder / "text.png").write_text("no picture")
    run(EXAMPLES / "ray_batches.py", "digits", folder, out)
    rows = [json.loads(line) for file in sorted(out.glob("*.json*")) for line in file.read_text().splitlines()]
    refused = [row for row in rows if row["error"]]
    assert {Path(row["path"]).name for row in refused} == {"cut.jpg", "text.png"}
    assert all(row["label"] is None and row["probability"] is None for row in refused)
    named = [row for row in rows if not row["error"]]
    assert {Path(row["path"]).name: row["label"] for row in named} == {path.name: shown(path) for path in PICTURES}
    assert all(0 < row["probability"] <= 1 for row in named)
