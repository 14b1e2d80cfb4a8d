"""What a model answers, in every form that it is asked."""

import copy
import io
import json
import pickle
import types
import urllib.request
import warnings
import zipfile

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from conftest import IMAGES, PICTURES, shown

import mobileone


def test_reads_the_pictures(device):
    model = mobileone.Model("digits", device=device)
    found = model(PICTURES)
    assert [top[0].label for top in found] == [shown(path) for path in PICTURES]
    assert all(len(top) == 5 for top in found)
    for top in found:
        probabilities = [one.probability for one in top]
        assert probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-5
        assert all(model.labels[one.index] == one.label for one in top)


def test_outputs_by_name(device):
    model = mobileone.Model("digits", device=device, batch=2)
    assert model.outputs == {"features": (256,), "logits": (11,)}
    for given in (PICTURES[:3], PICTURES[0], model.preprocess(PICTURES[:3])):
        found = model.run(given)
        assert list(found) == ["features", "logits"]
        for name, method in [("features", model.features), ("logits", model.logits)]:
            assert found[name].dtype == np.float32 and np.array_equal(found[name], method(given)), name
    # Another order, and less.
    assert list(model.run(PICTURES[0], ["logits", "features"])) == ["logits", "features"]
    assert list(model.run(PICTURES[0], outputs=("logits",))) == ["logits"]
    assert model.run(PICTURES[0], []) == {}
    # What the model is opened for decides what comes back.
    logits = model.logits(PICTURES)
    model = mobileone.Model("digits", device=device, batch=2, outputs=["probabilities"])
    assert model.outputs == {"probabilities": (11,)}
    probabilities = model.run(PICTURES)["probabilities"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.allclose(probabilities, exponentials / exponentials.sum(axis=1, keepdims=True), atol=1e-5)
    assert [top[0].index for top in model(PICTURES)] == list(probabilities.argmax(axis=1))
    for ask, name in [(model.logits, "logits"), (model.features, "features")]:
        with pytest.raises(mobileone.Error, match=rf'"{name}": the model was opened for probabilities \(outputs=\)'):
            ask(PICTURES[0])
    with pytest.raises(mobileone.Error, match='"stride8": the model was opened for probabilities'):
        model.run(PICTURES[0], ["stride8"])
    with pytest.raises(mobileone.Error, match='"stride8", only features, logits, probabilities'):
        mobileone.Model("digits", device=device, outputs=["logits", "stride8"])
    with pytest.raises(TypeError):
        mobileone.Model("digits", device=device, outputs="logits")
    # The best classes alone.
    model = mobileone.Model("digits", device=device, outputs=[])
    assert model.outputs == {} and model.run(PICTURES[0]) == {}
    assert model(PICTURES[0])[0].label == shown(PICTURES[0])


class Named:
    """What os.fspath() takes, and nothing else."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


class Pipe:
    """What can be read, and nothing else."""

    def __init__(self, data):
        self.data = data

    def read(self):
        data, self.data = self.data, b""
        return data


def written(data):
    file = io.BytesIO()
    file.write(data)
    return file


def member(data):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", data)
    return zipfile.ZipFile(archive).open("a.png")


def test_every_form_of_a_picture_is_the_same(digits, tmp_path):
    image = PIL.Image.open(PICTURES[0]).convert("RGB")
    png = tmp_path / "picture.png"
    image.save(png)
    array = np.asarray(image)
    data = png.read_bytes()
    opaque = np.concatenate([array, np.full_like(array[..., :1], 255)], axis=-1)
    forms = {
        "path": png,
        "text": str(png),
        "a path's like": Named(png),
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(b"?" + data)[1:],
        "file": open(png, "rb"),
        "file without a buffer": open(png, "rb", buffering=0),
        "BytesIO": io.BytesIO(data),
        "BytesIO that was written": written(data),
        "pipe": Pipe(data),
        "response of requests": types.SimpleNamespace(content=data, text="?"),
        "response of urllib": urllib.request.urlopen(png.as_uri()),
        "member of a zip file": member(data),
        "PIL": image,
        "RGB": array,
        "RGBA": opaque,
        "PIL RGBA": image.convert("RGBA"),
        "rows apart": np.pad(array, ((0, 0), (0, 3), (0, 0)))[:, :-3],
        "columns reversed twice": array[:, ::-1].copy()[:, ::-1],
        "Fortran": np.asfortranarray(array),
        "read-only": np.frombuffer(array.tobytes(), np.uint8).reshape(array.shape),
    }
    # A pipe gives what it has once.
    once = ["pipe", "response of urllib"]
    expected = digits.logits(png)
    assert expected.shape == (len(digits.labels),) and expected.dtype == np.float32
    for name, form in forms.items():
        assert np.array_equal(digits.logits(form), expected), name
        if name not in once:
            assert digits(form) == digits(png), name
    for name in once:
        del forms[name]
    many = digits.logits(list(forms.values()))
    assert many.shape == (len(forms), len(digits.labels)) and (many == expected).all()
    stack = digits.logits(np.stack([array, array[::-1]]))
    assert np.array_equal(stack[0], expected) and not np.array_equal(stack[1], expected)
    assert np.array_equal(digits.logits((image,)), expected[None])


def test_what_comes_back_can_be_pickled(digits):
    top = digits(PICTURES[0])
    assert pickle.loads(pickle.dumps(top)) == top == copy.deepcopy(top)


def test_one_number_is_both_sides():
    assert mobileone.Model("digits", device="cpu", size=64).size == (64, 64)


def test_of_large_pictures_only_what_is_read_is_copied(device):
    """Another picture before it leaves nothing behind in the next one, however both lie in memory."""
    model = mobileone.Model("digits", device=device)
    random = np.random.default_rng(5)
    for height, width in [(480, 640), (540, 960), (901, 400), (3, 500)]:
        rgb = random.integers(0, 256, (height, width, 3), np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(rgb).save(file, "BMP")
        expected = model.logits(file)
        other = random.integers(0, 256, (width, height, 3), np.uint8)
        rgba = np.dstack([rgb, np.full((height, width), 255, np.uint8)])
        for form in [rgb, rgba, PIL.Image.fromarray(rgb), PIL.Image.fromarray(rgba), rgb[:, ::-1].copy()[:, ::-1]]:
            model.logits(other)
            assert np.array_equal(model.logits(form), expected), (height, width, type(form))


def test_images_of_pil_wherever_their_pixels_lie(digits, tmp_path):
    rgba = np.random.default_rng(6).integers(0, 256, (2100, 2500, 4), np.uint8)
    small, rgb = rgba[:300, :400].copy(), rgba[:300, :400, :3].copy()
    expected = {mode: digits.logits(array) for mode, array in [("all", rgba), ("RGBA", small), ("RGB", rgb)]}
    PIL.Image.fromarray(rgb).save(tmp_path / "a.bmp")
    images = {
        "in another's memory": (PIL.Image.fromarray(small), "RGBA"),
        "in blocks": (PIL.Image.fromarray(rgba).copy(), "all"),
        "in its own": (PIL.Image.fromarray(small).copy(), "RGBA"),
        "part of a larger one": (PIL.Image.fromarray(rgba[..., :3].copy()).crop((0, 0, 400, 300)), "RGB"),
        "not loaded": (PIL.Image.open(tmp_path / "a.bmp"), "RGB"),
        "another kind": (Lazy(PIL.Image.fromarray(rgb)), "RGB"),
    }
    for name, (image, same) in images.items():
        assert np.array_equal(digits.logits(image), expected[same]), name
    # Rows with gaps between them.
    core = PIL.Image.core
    core.set_alignment(64)
    try:
        image = PIL.Image.fromarray(rgb[:, :399].copy()).copy()
        assert np.array_equal(digits.logits(image), digits.logits(rgb[:, :399].copy()))
    finally:
        core.set_alignment(1)
    # Blocks smaller than a part.
    size = core.get_block_size()
    core.set_block_size(4096 * 4)
    try:
        image = PIL.Image.fromarray(rgb).copy()
        assert np.array_equal(digits.logits(image), expected["RGB"])
    finally:
        core.set_block_size(size)


class Lazy:
    """An image without Arrow's interface, as those of an older PIL."""

    def __init__(self, image):
        self.image = image

    def __getattr__(self, name):
        if name == "__arrow_c_array__":
            raise AttributeError(name)
        return getattr(self.image, name)

    def crop(self, box):
        return Lazy(self.image.crop(box))


def test_exif_of_pil(digits, tmp_path):
    """A file is turned upright; an image of PIL as it stands, or as the file where that is wanted."""
    pixels = np.asarray(PIL.Image.open(PICTURES[1]).convert("RGB"))
    pixels = np.ascontiguousarray(pixels[:, 20:])
    for orientation in range(1, 9):
        file = tmp_path / f"{orientation}.png"
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        PIL.Image.fromarray(pixels).save(file, exif=exif)
        upright = digits.logits(np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(file))))
        assert np.array_equal(digits.logits(file), upright), orientation
        assert np.array_equal(digits.logits(PIL.Image.open(file)), digits.logits(pixels)), orientation
        image = PIL.Image.open(file)
        assert np.array_equal(digits.logits(image, exif=True), upright), orientation
        assert digits([image], exif=True) == [digits(file)]
        assert np.array_equal(digits.preprocess(image, exif=True), digits.preprocess(file))
        assert np.array_equal(digits.features(image, exif=True), digits.features(file))
        # What was turned before is not turned twice.
        turned = PIL.ImageOps.exif_transpose(image)
        assert np.array_equal(digits.logits(turned, exif=True), upright), orientation
        assert np.array_equal(upright, digits.logits(pixels)) == (orientation == 1)
    # Without EXIF data, and where there is no image of PIL, it changes nothing.
    plain = PIL.Image.fromarray(pixels)
    for form in (plain, pixels, file.read_bytes()):
        assert np.array_equal(digits.logits(form, exif=True), digits.logits(form))


def test_modes_of_pil(digits):
    image = PIL.Image.open(PICTURES[3])
    grey = np.asarray(image.convert("L"))
    rgb = np.stack([grey] * 3, axis=-1)
    expected = digits.logits(rgb)
    wide = PIL.Image.fromarray(grey.astype(np.uint16) * 257)
    assert wide.mode == "I;16"
    assert np.array_equal(digits.logits(wide), expected)
    assert np.array_equal(digits.logits(image.convert("L")), expected)
    palette = image.convert("P")
    assert np.array_equal(digits.logits(palette), digits.logits(palette.convert("RGB")))
    # Alpha is laid over white, as it is in files.
    alpha = np.linspace(0, 255, grey.size).astype(np.uint8).reshape(grey.shape)
    rgba = np.dstack([rgb, alpha])
    wide = rgb.astype(int) * alpha[..., None] + 255 * (255 - alpha[..., None].astype(int))
    over = ((wide + 127) // 255).astype(np.uint8)
    assert np.array_equal(digits.logits(rgba), digits.logits(over))
    assert np.array_equal(digits.logits(PIL.Image.fromarray(rgba)), digits.logits(over))
    assert not np.array_equal(digits.logits(rgba), expected)


def test_alpha_in_a_file_and_in_memory_are_the_same(digits, tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (90, 70, 4), np.uint8)
    opaque, unfilled, at_the_edge, at_the_end = (rgba.copy() for _ in range(4))
    opaque[..., 3] = 255
    # Never filled in, it is ignored; but one pixel counts, also where the network does not read it.
    for array in (unfilled, at_the_edge, at_the_end):
        array[..., 3] = 0
    at_the_edge[0, 0, 3] = at_the_end[-1, -1, 3] = 9
    white = np.full_like(rgba, 255)
    file = tmp_path / "alpha.png"
    for name, array, same in [
        ("random", rgba, None),
        ("unfilled", unfilled, opaque),
        ("at the edge", at_the_edge, white),
        ("at the end", at_the_end, white),
    ]:
        image = PIL.Image.fromarray(array)
        image.save(file)
        expected = digits.logits(file)
        assert same is None or np.array_equal(expected, digits.logits(same)), name
        for form in (array, array[:, ::-1].copy()[:, ::-1], image, image.copy(), Lazy(image), PIL.Image.open(file)):
            assert np.array_equal(digits.logits(form), expected), (name, type(form))
        assert np.array_equal(digits.logits(np.stack([array, opaque]))[0], expected), name
        assert np.array_equal(digits.logits(PIL.Image.open(file), exif=True), expected), name
    grey = PIL.Image.fromarray(unfilled).convert("LA")
    grey.save(file)
    assert np.array_equal(digits.logits(grey), digits.logits(file))
    assert np.array_equal(digits.logits(grey), digits.logits(grey.convert("L")))
    # What is transparent in a GIF was meant so.
    palette = PIL.Image.new("P", (70, 90), 3)
    palette.putpalette(bytes(range(30)))
    palette.save(tmp_path / "a.gif", transparency=3)
    expected = digits.logits(tmp_path / "a.gif")
    assert np.array_equal(expected, digits.logits(white))
    assert np.array_equal(digits.logits(PIL.Image.open(tmp_path / "a.gif")), expected)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_give_what_one_gives(device, batch):
    model = mobileone.Model("digits", device=device, batch=batch)
    assert 1 <= model.batch <= batch
    together = model.logits(PICTURES)
    for path, row in zip(PICTURES, together):
        assert np.abs(model.logits(path) - row).max() <= 2e-6 * np.abs(row).max(), path.name


def test_values_are_what_preprocess_gives(device):
    model = mobileone.Model("digits", device=device, batch=4)
    x = model.preprocess(PICTURES)
    assert x.shape == (len(PICTURES), *model.size, 3) and x.dtype == np.float32
    assert np.array_equal(model.preprocess(PICTURES[2]), x[2])
    expected = model.logits(x)
    assert np.array_equal(model.logits(PICTURES), expected)
    assert np.array_equal(model.logits(x[5]), expected[5])
    nchw = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    assert np.array_equal(model.logits(nchw.transpose(0, 2, 3, 1)), expected)
    assert np.array_equal(model.logits(x[::2]), expected[::2])
    # An array whose elements do not lie where their type wants them.
    odd = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    assert not odd.flags.aligned
    assert np.array_equal(model.logits(odd), expected)


def test_features(device):
    model = mobileone.Model("digits", device=device, size=(64, 64))
    x = np.random.default_rng(1).standard_normal((3, 64, 64, 3)).astype(np.float32)
    features = model.features(x)
    assert features.shape == (3, 256) and features.dtype == np.float32
    assert np.array_equal(model.features(x[1]), features[1])
    assert len({row.tobytes() for row in features}) == 3


def test_what_a_model_says_of_itself(digits):
    assert digits.name and digits.size == (80, 80) and digits.batch == 1 and digits.dtype == "f32"
    assert digits.labels[3] == "3" and len(digits.labels) == 11
    assert digits.device.backend == "cpu" and digits.device.kind == "CPU"
    assert digits.device.name in repr(digits)
    assert digits.device in mobileone.devices() or "thread" in str(digits.device)
    one = mobileone.Model("digits", device="cpu", threads=1)
    assert str(one.device) == "CPU, 1 thread"
    top = digits(PICTURES[0])[0]
    assert repr(top).startswith("Top(label=\"") and f"index={top.index}" in repr(top)


def test_devices():
    devices = mobileone.devices()
    assert devices[-1].backend == "cpu"
    assert all(isinstance(feature, str) for device in devices for feature in device.features)


def test_top_k():
    every = mobileone.Model("digits", device="cpu", top_k=10**9)
    assert len(every(PICTURES[0])) == 11
    assert abs(sum(top.probability for top in every(PICTURES[0])) - 1) < 1e-5
    assert len(mobileone.Model("digits", device="cpu", top_k=1)(PICTURES[0])) == 1


def test_labels_of_a_file(tmp_path):
    names = [f"name {at}" for at in range(11)]
    file = tmp_path / "names.txt"
    file.write_text("\n".join(names))
    model = mobileone.Model("digits", device="cpu", labels=file)
    assert model.labels == names and model(PICTURES[0])[0].label in names


def test_labels_of_a_list(tmp_path):
    names = [f"name {at}" for at in range(11)]
    for given in [
        names,
        tuple(names),
        np.array(names),
        iter(names),
        dict(enumerate(names)),
        {str(at): name for at, name in reversed(list(enumerate(names)))},
        {name: at for at, name in reversed(list(enumerate(names)))},
    ]:
        assert mobileone.Model("digits", device="cpu", labels=given).labels == names, type(given)
    # Numbers from 1 on are taken as in a file, which is a warning.
    with pytest.warns(UserWarning, match="labels: its numbers are 1 to 11"):
        model = mobileone.Model("digits", device="cpu", labels=dict(enumerate(names, 1)))
    assert model.labels == names
    model = mobileone.Model("digits", device="cpu", labels=names)
    assert model(PICTURES[0])[0].label == names[model(PICTURES[0])[0].index]


def test_a_file_of_weights(tmp_path, digits):
    weights = IMAGES.parents[1] / "src" / "sample" / "digits.safetensors"
    for spec in (weights, str(weights)):
        model = mobileone.Model(spec, device="cpu")
        assert np.array_equal(model.logits(PICTURES[0]), digits.logits(PICTURES[0]))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights.read_bytes())
    assert np.array_equal(mobileone.Model(folder, device="cpu").logits(PICTURES[0]), digits.logits(PICTURES[0]))


def damaged(path):
    """A picture whose last rows are missing: its data end early, and an end marker follows."""
    data = path.read_bytes()
    return data[: len(data) * 97 // 100] + b"\xff\xd9"


@pytest.mark.parametrize("batch", [1, 4])
def test_a_damaged_picture_is_a_warning(batch, tmp_path):
    model = mobileone.Model("digits", device="cpu", batch=batch)
    file = tmp_path / "damaged.jpg"
    file.write_bytes(damaged(PICTURES[0]))
    with pytest.warns(UserWarning, match=r"damaged\.jpg: .*is missing") as caught:
        found = model([PICTURES[1], file, PICTURES[2]])
    assert len(caught) == 1 and len(found) == 3 and all(found)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="picture 1 of the list: .*is missing"):
        model([PICTURES[1], file.read_bytes()])
    with pytest.warns(UserWarning, match="^picture: .*is missing"):
        model.preprocess(file.read_bytes())
    # Where warnings are errors, it is the picture's.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            model(file)
        found = model([PICTURES[1], file, PICTURES[2]], errors="return")
        assert isinstance(found[1], UserWarning) and found[0] and found[2]
        # The others say nothing.
        model(PICTURES)


def tensors():
    """The built-in model's tensors, in float32."""
    data = (IMAGES.parents[1] / "src" / "sample" / "digits.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            dtype = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
            array = np.frombuffer(data[8 + length :][begin:end], dtype).astype(np.float32)
            arrays[name] = array.reshape(entry["shape"])
    return arrays


def packed(arrays):
    """A safetensors file of float32, without metadata."""
    header, values = {}, b""
    for name, array in arrays.items():
        offsets = [len(values), len(values) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
        values += array.tobytes()
    header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + values


def with_channels(channels):
    """The built-in model for inputs of this many channels: the first ones of its stem's, or zeros after them."""
    arrays = tensors()
    stem = arrays["stem.reparam_conv.weight"]
    wide = np.zeros((stem.shape[0], channels, *stem.shape[2:]), np.float32)
    wide[:, : min(3, channels)] = stem[:, :channels]
    return packed({**arrays, "stem.reparam_conv.weight": wide})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(channels, batch, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(with_channels(channels))
    model = mobileone.Model(file, device="cpu", batch=batch, size=80)
    x = np.random.default_rng(7).standard_normal((3, 80, 80, channels)).astype(np.float32)
    together = model.logits(x)
    assert together.shape == (3, 11)
    for one, row in zip(x, together):
        assert np.abs(model.logits(one) - row).max() <= 2e-6 * np.abs(row).max()
    with pytest.raises(mobileone.Error, match=rf"\[n, 80, 80, {channels}\]"):
        model.logits(np.zeros((1, 80, 80, 3), np.float32))
    if channels == 1:
        grey = model.preprocess(PICTURES)
        assert grey.shape == (len(PICTURES), 80, 80, 1)
        for path, row in zip(PICTURES, model.logits(PICTURES)):
            expected = model.logits(PIL.Image.open(path).convert("L"))
            assert np.abs(expected - row).max() <= 2e-6 * np.abs(row).max()
    else:
        for ask in (model, model.logits, model.preprocess):
            with pytest.raises(mobileone.Error, match="4 channels, which no picture has"):
                ask(PICTURES[0])


def test_a_guess_is_a_warning(tmp_path):
    """The built-in file says everything; without its metadata, its strides are guessed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mobileone.Model("digits", device="cpu")
    file = tmp_path / "model.safetensors"
    file.write_bytes(with_channels(3))
    with pytest.warns(UserWarning, match="guess") as caught:
        mobileone.Model(file, device="cpu")
    assert all(warning.filename == __file__ for warning in caught)


def opened(file, **options):
    """The model in `file`, and the warnings that come with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = mobileone.Model(file, device="cpu", size=80, **options)
    return model, [str(warning.message) for warning in caught]


def says(lines, *words):
    return any(all(word in line for word in words) for line in lines)


def inputs():
    return np.random.default_rng(9).standard_normal((2, 80, 80, 3)).astype(np.float32)


def test_which_weights_of_a_file(digits, tmp_path):
    """Of an averaged and a raw network in one file, the averaged one is taken, and the note says so."""
    own, file = tensors(), tmp_path / "both.safetensors"
    shifted = {**own, "head.fc.bias": own["head.fc.bias"] + np.arange(11, dtype=np.float32)}
    raw = {f"state_dict.{name}": array for name, array in own.items()}
    file.write_bytes(packed({**raw, **{f"state_dict_ema.{name}": array for name, array in shifted.items()}}))
    expected = digits.logits(inputs())
    model, warned = opened(file)
    assert np.allclose(model.logits(inputs()), expected + np.arange(11), atol=1e-4)
    took = ['took "state_dict_ema", the averaged weights', "(weights=)"]
    assert says(model.notes, *took) and not says(warned, "took")
    for weights in ["raw", "state_dict"]:
        chosen, _ = opened(file, weights=weights)
        assert np.array_equal(chosen.logits(inputs()), expected) and not says(chosen.notes, "took"), weights
    chosen, _ = opened(file, weights="ema")
    assert np.array_equal(chosen.logits(inputs()), model.logits(inputs()))
    with pytest.raises(mobileone.Error, match='holds no network under "nosuch"'):
        opened(file, weights="nosuch")
    # Of two that nothing tells apart, one has to be chosen.
    other = {**own, "stem.reparam_conv.bias": own["stem.reparam_conv.bias"] + 1}
    first = {f"first.{name}": array for name, array in own.items()}
    file.write_bytes(packed({**first, **{f"second.{name}": array for name, array in other.items()}}))
    with pytest.raises(mobileone.Error, match=r"holds several networks.*\(weights=\)"):
        opened(file)
    assert np.array_equal(opened(file, weights="first")[0].logits(inputs()), expected)


def test_strides_that_a_file_does_not_show(digits, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(packed(tensors()))
    expected = digits.logits(inputs())
    model, warned = opened(file)
    assert says(warned, "strides 2,2,2,2,2", "guess", "(strides=)") and says(model.notes, "strides", "guess")
    for strides in [(2, 2, 2, 2, 2), [2] * 5, np.array([2] * 5)]:
        model, warned = opened(file, strides=strides)
        assert np.array_equal(model.logits(inputs()), expected) and not says(warned + model.notes, "strides")
    model, warned = opened(file, strides=(1, 2, 2, 2, 2))
    assert np.abs(model.logits(inputs()) - expected).max() > 0.1 and not says(warned, "strides")
    # What config.json says of them, be it of no use, does not count then.
    (tmp_path / "config.json").write_text('{"strides": {"stem": 7}}')
    with pytest.raises(mobileone.Error, match="strides.stem"):
        opened(file)
    assert np.array_equal(opened(file, strides=(2, 2, 2, 2, 2))[0].logits(inputs()), expected)


def test_epsilon_that_a_file_does_not_show(digits, tmp_path):
    """The built-in model with a normalization in its stem that does nothing where epsilon is 1e-3."""
    own, file = tensors(), tmp_path / "model.safetensors"
    weight, bias = own.pop("stem.reparam_conv.weight"), own.pop("stem.reparam_conv.bias")
    variance = np.full_like(bias, 1e-3)
    norm = {"weight": np.sqrt(variance + 1e-3), "bias": bias, "running_mean": 0 * bias, "running_var": variance}
    branch = {f"stem.conv_kxk.0.bn.{name}": array for name, array in norm.items()}
    file.write_bytes(packed({**own, "stem.conv_kxk.0.conv.weight": weight, **branch}))
    expected = digits.logits(inputs())
    model, warned = opened(file)
    assert says(warned, "epsilon is a guess", "(bn_eps=)")
    assert np.abs(model.logits(inputs()) - expected).max() > 0.1
    model, warned = opened(file, bn_eps=1e-3)
    assert np.allclose(model.logits(inputs()), expected, atol=1e-3) and not says(warned, "epsilon")
    (tmp_path / "config.json").write_text('{"bn_eps": "small"}')
    assert np.array_equal(opened(file, bn_eps=1e-3)[0].logits(inputs()), model.logits(inputs()))


def test_half_precision():
    from conftest import has_vulkan

    if not has_vulkan():
        pytest.skip("no Vulkan device: install mesa-vulkan-drivers")
    wide, half = (mobileone.Model("digits", device="vulkan", dtype=dtype) for dtype in ("f32", "f16"))
    a, b = wide.logits(PICTURES), half.logits(PICTURES)
    error = np.linalg.norm(a - b) / np.linalg.norm(a)
    assert 0 < error < 2e-2, error
