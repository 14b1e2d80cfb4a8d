"""What several tests need: models, pictures, the command."""

import os
import subprocess
from pathlib import Path

import pytest

import mobileone

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ROOT / "demo" / "images"
PICTURES = sorted(IMAGES.glob("*.jpg"))
# What a picture shows begins its name.
DIGITS = "zero one two three four five six seven eight nine".split()


def shown(path):
    """The label that belongs to a picture of demo/images."""
    word = path.name.split("-")[0]
    return str(DIGITS.index(word)) if word in DIGITS else word


def has_vulkan():
    return any(device.backend == "vulkan" for device in mobileone.devices())


@pytest.fixture(params=["cpu", "vulkan"])
def device(request):
    if request.param == "vulkan" and not has_vulkan():
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail("no Vulkan device, and REQUIRE_GPU=1: install mesa-vulkan-drivers")
        pytest.skip("no Vulkan device: install mesa-vulkan-drivers")
    return request.param


@pytest.fixture(scope="session")
def digits():
    return mobileone.Model("digits", device="cpu")


@pytest.fixture(scope="session")
def command():
    """The command `mobileone`, run with these arguments."""
    path = os.environ.get("MOBILEONE")
    if not path:
        pytest.skip("MOBILEONE does not name the command: cargo build --bin mobileone")

    def run(*args):
        done = subprocess.run([path, *map(str, args)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def save(path, name, array):
    """A safetensors file with one tensor of float32."""
    import json

    header = {name: {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}}
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + array.astype("<f4").tobytes())


def load(path, name):
    """The tensor `name` of float32 of a safetensors file."""
    import json

    import numpy as np

    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])[name]
    assert entry["dtype"] == "F32"
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[8 + length :][begin:end], "<f4").reshape(entry["shape"])
