"""What PyTorch computes in f64 of every operation and activation of a graph, beside this file: `ops.golden.safetensors`.

    make_ops.py

Tensors are named `{case}.x`, `{case}.x2` and so on for further inputs, `{case}.weight`, `{case}.bias` and `{case}.y`. The
metadata `cases` says of each what it is. Everything is seeded by name; results are rounded once to f32.
"""

import json
import zlib
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = Path(__file__).parent

ACTIVATIONS = {
    'None': lambda x: x,
    'Relu': F.relu,
    'Relu6': F.relu6,
    'HardSwish': F.hardswish,
    'HardSigmoid': F.hardsigmoid,
    'Sigmoid': torch.sigmoid,
    'Silu': F.silu,
    'Gelu': F.gelu,
    'GeluTanh': lambda x: F.gelu(x, approximate='tanh'),
    'Mish': F.mish,
}
# Kernel, stride, dilation, padding (rows, columns); source and destination channels; groups.
CONVS = {
    'dense': ([3, 3], [1, 1], [1, 1], [1, 1], 6, 10, 1),
    'strided': ([3, 3], [2, 2], [1, 1], [1, 1], 5, 9, 1),
    'dilated': ([3, 3], [1, 1], [2, 3], [2, 3], 4, 7, 1),
    'tall': ([5, 1], [2, 1], [1, 1], [2, 0], 3, 8, 1),
    'pointwise': ([1, 1], [1, 1], [1, 1], [0, 0], 17, 6, 1),
    'strided-pointwise': ([1, 1], [2, 2], [1, 1], [0, 0], 8, 6, 1),
    'padded-pointwise': ([1, 1], [1, 1], [1, 1], [1, 1], 4, 6, 1),
    'depthwise': ([3, 3], [1, 1], [1, 1], [1, 1], 10, 10, 10),
    'depthwise-7x7': ([7, 7], [1, 1], [1, 1], [3, 3], 20, 20, 20),
    'depthwise-dilated': ([3, 3], [1, 1], [6, 6], [6, 6], 18, 18, 18),
    'multiplier': ([3, 3], [2, 2], [1, 1], [1, 1], 5, 15, 5),
    'grouped': ([3, 3], [1, 1], [1, 1], [1, 1], 12, 8, 4),
    'grouped-odd': ([3, 2], [1, 1], [1, 1], [1, 0], 9, 15, 3),
}
# Kernel, stride, padding; dilation is PyTorch's for the largest only.
POOLS = {
    'max': ('Max', [3, 3], [2, 2], [1, 1]),
    'max-tall': ('Max', [2, 3], [1, 2], [1, 0]),
    'average': ('Average', [3, 3], [2, 2], [1, 1]),
    'average-padded': ('PaddedAverage', [3, 3], [1, 2], [1, 1]),
    'average-plain': ('Average', [2, 2], [2, 2], [0, 0]),
}
RESIZES = {
    'nearest': ('Nearest', [13, 9]),
    'nearest-down': ('Nearest', [4, 3]),
    'bilinear': ('Bilinear', [14, 11]),
    'bilinear-down': ('Bilinear', [5, 3]),
    'corners': ('BilinearCorners', [13, 17]),
    'corners-one': ('BilinearCorners', [1, 12]),
}


def values(name, *shape):
    """Of order 1, and what f32 holds."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(*shape, generator=generator, dtype=torch.float32).double()


def main():
    tensors, cases = {}, {}

    def add(name, y, *inputs, weight=None, bias=None, **what):
        cases[name] = what
        for at, x in enumerate(inputs):
            tensors[f'{name}.x{at + 1 if at else ""}'] = x
        tensors[f'{name}.y'] = y
        if weight is not None:
            tensors[f'{name}.weight'] = weight
        if bias is not None:
            tensors[f'{name}.bias'] = bias

    for act, function in ACTIVATIONS.items():
        x = 4 * values(act, 1, 5, 4, 3)
        add(f'activate-{act}', function(x), x, op='activate', activation=act)
    for at, (name, (kernel, stride, dilation, padding, src_c, dst_c, groups)) in enumerate(CONVS.items()):
        x = values(name, 2, src_c, 8, 7)
        weight = values(name + 'w', dst_c, src_c // groups, *kernel) / (src_c // groups * kernel[0] * kernel[1]) ** 0.5
        bias = values(name + 'b', dst_c) if at % 3 else None
        act = list(ACTIVATIONS)[at % len(ACTIVATIONS)]
        y = ACTIVATIONS[act](F.conv2d(x, weight, bias, stride, padding, dilation, groups))
        add(f'conv-{name}', y, x, weight=weight, bias=bias, op='conv', kernel=kernel, stride=stride, dilation=dilation,
            padding=padding, groups=groups, activation=act)
    for with_, function in {'Add': torch.add, 'Sub': torch.sub, 'Mul': torch.mul, 'Div': torch.div}.items():
        for second in ('map', 'vector'):
            name = f'{with_}-{second}'
            a, b = values(name, 2, 6, 4, 5), values(name + 'b', 2, 6, *((4, 5) if second == 'map' else (1, 1)))
            b = b + b.sign()
            add(f'binary-{name}', F.silu(function(a, b)), a, b, op='binary', activation='Silu', **{'with': with_})
    parts = [values(f'part{c}', 2, c, 3, 4) for c in (4, 8, 3)]
    add('concat-whole', torch.cat(parts, 1), *parts, op='concat')
    parts = [values(f'odd{c}', 1, c, 3, 4) for c in (3, 5, 1, 6)]
    add('concat-odd', torch.cat(parts, 1), *parts, op='concat')
    for name, (filter_, size) in RESIZES.items():
        x = values(name, 2, 5, 6, 7)
        corners = {'align_corners': filter_ == 'BilinearCorners'} if filter_ != 'Nearest' else {}
        y = F.interpolate(x, size, mode='nearest' if filter_ == 'Nearest' else 'bilinear', **corners)
        add(f'resize-{name}', y, x, op='resize', filter=filter_, size=size)
    for name, (pooling, kernel, stride, padding) in POOLS.items():
        x = values(name, 2, 6, 9, 8)
        if pooling == 'Max':
            y = F.max_pool2d(x, kernel, stride, padding)
        else:
            y = F.avg_pool2d(x, kernel, stride, padding, count_include_pad=pooling == 'PaddedAverage')
        add(f'pool-{name}', y, x, op='pool', pooling=pooling, kernel=kernel, stride=stride, padding=padding)
    x = values('global', 2, 7, 5, 6)
    add('pool-global-max', F.adaptive_max_pool2d(x, 1), x, op='pool', pooling='Max')
    add('pool-global-average', F.adaptive_avg_pool2d(x, 1), x, op='pool', pooling='Average')
    x = 3 * values('softmax', 2, 21, 4, 3)
    add('softmax-map', x.softmax(1), x, op='softmax')
    x = 3 * values('vector', 3, 100, 1, 1)
    add('softmax-vector', x.softmax(1), x, op='softmax')
    for softmax in (True, False):
        best, index = (x.softmax(1) if softmax else x).topk(6, 1)
        # [n, 6, 1, 1] each to [n, 2, 1, 6]: a channel and its value at each of six places.
        y = torch.stack([index.double(), best], 1).reshape(3, 2, 1, 6)
        add(f'top-{"softmax" if softmax else "plain"}', y, x, op='top', k=6, softmax=softmax)
    x, weight, bias = values('linear', 3, 19, 1, 1), values('linearw', 11, 19) / 19 ** 0.5, values('linearb', 11)
    y = F.gelu(F.linear(x.flatten(1), weight, bias))
    add('linear', y.reshape(3, 11, 1, 1), x, weight=weight, bias=bias, op='linear', activation='Gelu')

    tensors = {name: tensor.float().contiguous() for name, tensor in tensors.items()}
    path = HERE / 'ops.golden.safetensors'
    save_file(tensors, path, {'cases': json.dumps(cases)})
    path.chmod(0o644)


if __name__ == '__main__':
    main()
