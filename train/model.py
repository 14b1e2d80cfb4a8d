"""The tiny MobileOne: timm's own blocks at small widths, and the files it is kept in."""

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, safe_open, save_file
from timm.models.byobnet import ByobNet, ByoBlockCfg, ByoModelCfg, MobileOneBlock
from timm.utils.model import reparameterize_model

from data import LABELS, SIZE

SHIPPED = Path(__file__).parent.parent / "src/sample/digits.safetensors"  # what the program has built in
STEM = 16
WIDTHS = (32, 80, 160, 256)
DEPTHS = (2, 4, 5, 1)
MEAN, STD = 0.5, 0.25  # of every channel


class ScaleConv(torch.nn.Conv2d):
    """The convolution of a scale branch, 1x1: the same numbers as Conv2d, several times faster on a CPU."""

    def forward(self, x):
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        if self.groups > 1:
            return x * self.weight.view(1, -1, 1, 1)
        return torch.nn.functional.conv2d(x, self.weight)


def build(branches=1, plain=False):
    """A MobileOne of 11 classes in train form with `branches` convolutions per position.

    `plain` leaves out the scale and identity branches too: one conv + BN per position.
    """
    stages, c = [], STEM
    for width, depth in zip(WIDTHS, DEPTHS):
        stage = []
        for i in range(depth):
            k = dict(num_conv_branches=branches)
            stage.append(ByoBlockCfg("one", d=1, c=c, s=1 if i else 2, gs=1, block_kwargs=k))  # depthwise
            stage.append(ByoBlockCfg("one", d=1, c=width, s=1, gs=0, block_kwargs=dict(kernel_size=1, **k)))
            c = width
        stages.append(tuple(stage))
    cfg = ByoModelCfg(blocks=tuple(stages), stem_type="one", stem_pool="", stem_chs=STEM)
    model = ByobNet(cfg, num_classes=len(LABELS))
    for block in model.modules():
        if isinstance(block, MobileOneBlock):
            if plain:
                block.identity = block.conv_scale = None
            elif block.conv_scale is not None:
                block.conv_scale.conv.__class__ = ScaleConv
    return model


def normalize(pictures):
    """uint8 [n, h, w, 3] to what the model takes: float32 [n, 3, h, w], channels last in memory."""
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


@torch.inference_mode()
def predict(model, pictures, batch=500):
    """Logits [n, 11] of uint8 pictures."""
    model.eval()
    return torch.cat([model(normalize(pictures[i : i + batch])) for i in range(0, len(pictures), batch)])


def fuse(model):
    """The same function with one conv and bias per position: folded in float64, still in float64."""
    return reparameterize_model(copy.deepcopy(model).double().eval())


def metadata(figures):
    return {
        "format": "pt",
        "mobileone": json.dumps(
            {
                "variant": "digits",
                "labels": LABELS,
                "preprocess": {
                    "size": [SIZE, SIZE],
                    "crop_pct": 1.0,
                    "crop_mode": "center",
                    "interpolation": "bilinear",
                    "mean": [MEAN] * 3,
                    "std": [STD] * 3,
                },
                "strides": {"stem": 2, "stages": [2] * len(DEPTHS)},
                "training": figures,
                "license": "MIT OR Apache-2.0",
            }
        ),
    }


def save(model, path, figures):
    """The train form, float32, timm's names."""
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, metadata(figures))


def export(model, path, figures):
    """The fused form, rounded once to float16, timm's names: the file that ships."""
    save_file({k: v.half().contiguous() for k, v in fuse(model).state_dict().items()}, path, metadata(figures))


def open_model(path):
    """A model from either form, in float32, and the figures in its metadata."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["mobileone"])
    tensors = load_file(path)
    fused = any("reparam_conv" in name for name in tensors)
    branches = 1 + max([int(n.split("conv_kxk.")[1].split(".")[0]) for n in tensors if "conv_kxk." in n], default=0)
    model = build(branches, plain=not fused and not any("identity" in n for n in tensors))
    if fused:
        model = reparameterize_model(model)
    model.load_state_dict({k: v if v.dtype == torch.int64 else v.float() for k, v in tensors.items()})
    return model.eval(), about
