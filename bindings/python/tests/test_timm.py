"""PyTorch and timm judge the logits: the same weights, the same arrays."""

import numpy as np
import pytest

import mobileone

torch = pytest.importorskip("torch", reason="PyTorch is not here: pip install torch timm safetensors")
timm = pytest.importorskip("timm", reason="timm is not here: pip install timm safetensors")
from safetensors.torch import save_file  # noqa: E402  timm brings it


@pytest.fixture(scope="module")
def network():
    """MobileOne-S0 with random weights, its normalizations calibrated on noise, in float64."""
    torch.manual_seed(0)
    model = timm.create_model("mobileone_s0", pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = None  # the average over all batches
    torch.nn.init.normal_(model.get_classifier().weight, std=0.05)
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, 224, 224))
    return model.eval()


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "s0.safetensors"
    save_file(network.state_dict(), str(path))
    return path


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("size", [(224, 224), (96, 160)])
def test_logits_and_features(network, file, device, size):
    nchw = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
    wide = network.double()
    with torch.no_grad():
        maps = wide.forward_features(nchw.double())
        features = wide.forward_head(maps, pre_logits=True).numpy()
        logits = wide.forward_head(maps).numpy()
    model = mobileone.Model(file, device=device, size=size, batch=2)
    assert model.name == "MobileOne-S0" and len(model.labels) == 1000
    x = nchw.numpy().transpose(0, 2, 3, 1)
    errors = relative(model.logits(x), logits), relative(model.features(x), features)
    print(f"{model.device}, {size}: relative L2 of logits {errors[0]:.1e}, of features {errors[1]:.1e}")
    # Of all three networks alike, random as they are: a mixed-up batch is no small error.
    assert relative(logits[0], logits[1]) > 1e-2
    assert max(errors) <= 5e-5, errors


def test_preprocessing_is_that_of_timm(network, file):
    """A picture through timm's evaluation transform, and through ours."""
    import PIL.Image
    from conftest import PICTURES

    transform = timm.data.create_transform(**timm.data.resolve_data_config(network.pretrained_cfg))
    model = mobileone.Model(file, device="cpu")
    for path in PICTURES[:4]:
        image = PIL.Image.open(path).convert("RGB")
        expected = transform(image).numpy().transpose(1, 2, 0)
        assert np.abs(model.preprocess(image) - expected).max() <= 1e-5, path.name
