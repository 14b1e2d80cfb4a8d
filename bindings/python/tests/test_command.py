"""Beside the command: the same logits from the same library."""

import json

import numpy as np
import pytest
from conftest import PICTURES, load, save

import mobileone


@pytest.mark.parametrize("spec", ["digits", "random:s0"])
def test_logits_are_those_of_the_command(command, device, spec, tmp_path):
    model = mobileone.Model(spec, device=device, batch=2)
    x = np.random.default_rng(3).standard_normal((2, *model.size, 3)).astype(np.float32)
    save(tmp_path / "x.safetensors", "x", np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    files = "--input", tmp_path / "x.safetensors", "--output", tmp_path / "y.safetensors"
    command("run", "--model", spec, "--device", device, "--dtype", "f32", *files)
    expected, found = load(tmp_path / "y.safetensors", "logits"), model.logits(x)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    print(f"{spec} on {device}: relative L2 {error:.1e}, bits equal: {np.array_equal(found, expected)}")
    assert error <= 1e-6


def test_classes_are_those_of_the_command(command, device):
    said = command("classify", "--device", device, "--dtype", "f32", "--json", *PICTURES)
    found = mobileone.Model("digits", device=device)(PICTURES)
    for row, top in zip(json.loads(said)["results"], found):
        assert [one["label"] for one in row["top"]] == [one.label for one in top]
        for one, other in zip(row["top"], top):
            assert abs(one["probability"] - other.probability) <= 1e-6
