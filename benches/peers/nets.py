"""The network that all contenders run: this program's `random:<name>`, written in each one's format."""

import subprocess
import sys
import warnings
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from timm.utils.model import reparameterize_model

SIZE = 224


def network(path, name):
    """The fused network in `path`, as timm runs it."""
    net = reparameterize_model(timm.create_model(f'mobileone_{name}', pretrained=False).eval())
    net.load_state_dict(load_file(path))
    return net


def inputs(batch):
    return torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def files(program, folder, name, batches):
    """Writes `<name>.safetensors`, `.pt`, `.onnx`, `.mnn`, `.ncnn.param`, `.ncnn.bin`, and for each batch
    `<name>.x<n>.safetensors` with the input and its logits in f64, rounded once. What is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / name
    weights = base.with_suffix('.safetensors')
    if not weights.exists():
        quiet([program.resolve(), 'fuse', f'random:{name}', weights.name], folder)
    net = network(weights, name)
    for batch in batches:
        path = folder / f'{name}.x{batch}.safetensors'
        if not path.exists():
            x = inputs(batch)
            with torch.inference_mode():
                logits = torch.cat([net.double()(part.double()) for part in x.split(16)])
            net.float()
            save_file({'x': x, 'logits': logits.float()}, path)
    x = inputs(1)
    with warnings.catch_warnings():
        # ncnn's and MNN's converters read the older formats.
        warnings.simplefilter('ignore')
        if not base.with_suffix('.pt').exists():
            torch.jit.trace(net, x).save(base.with_suffix('.pt'))
        if not base.with_suffix('.onnx').exists():
            axes = {'x': {0: 'n'}, 'logits': {0: 'n'}}
            torch.onnx.export(net, (x,), base.with_suffix('.onnx'), input_names=['x'], output_names=['logits'],
                              dynamic_axes=axes, dynamo=False)
    tools = Path(sys.executable).parent
    if not Path(f'{base}.ncnn.param').exists():
        quiet([tools / 'pnnx', f'{name}.pt', f'inputshape=[1,3,{SIZE},{SIZE}]', 'fp16=0'], folder)
    if not base.with_suffix('.mnn').exists():
        quiet([tools / 'mnnconvert', '-f', 'ONNX', '--modelFile', f'{name}.onnx', '--MNNModel', f'{name}.mnn'], folder)
    return base


def quiet(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{command[0]}: {done.stdout}{done.stderr}')
