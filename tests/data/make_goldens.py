"""Makes the data that the tests compare with: random but calibrated MobileOne networks built from timm's
blocks, their checkpoints in every naming and form, and what PyTorch, timm and PIL compute from them.

    make_goldens.py small               beside this file: two tiny networks, preprocessing, picture files
    make_goldens.py full OUT [--only]   in OUT: S0 to S4 at their real sizes, about 1.4 GB

Everything is seeded by name. f64 results are rounded once to f32, so they do not depend on the machine;
`logits_f32` and `logits_f16` may differ in their last bits.
"""

import argparse
import copy
import itertools
import json
import re
import zlib
from collections import OrderedDict
from pathlib import Path
from unittest import mock

import numpy as np
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from timm.data import create_transform
from timm.layers import SqueezeExcite
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg, MobileOneBlock
from timm.utils.model import reparameterize_model
from torch import nn

HERE = Path(__file__).parent


def seeded(name):
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


def save(path, tensors, **metadata):
    """At most one metadata entry, JSON: safetensors writes several in random order."""
    assert len(metadata) <= 1
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, {key: json.dumps(value) for key, value in metadata.items()} or None)
    path.chmod(0o644)


def relative_l2(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


# Networks


def tiny(stem, widths, blocks, branches, squeezed, classes):
    """A MobileOne with any widths; the last `squeezed[i]` blocks of stage i have squeeze-excite."""
    stages, width_in = [], stem
    for width, count, se in zip(widths, blocks, squeezed):
        stage = []
        for block in range(count):
            attn = {'attn_layer': 'se'} if block >= count - se else {}
            depthwise, pointwise = {'num_conv_branches': branches}, {'num_conv_branches': branches, 'kernel_size': 1}
            stride = 2 if block == 0 else 1
            stage.append(ByoBlockCfg('one', d=1, c=width_in, s=stride, gs=1, block_kwargs=depthwise, **attn))
            stage.append(ByoBlockCfg('one', d=1, c=width, s=1, gs=0, block_kwargs=pointwise, **attn))
            width_in = width
        stages.append(stage)
    # timm would round every width to a multiple of 8
    with mock.patch('timm.models.byobnet.make_divisible', int):
        return ByobNet(ByoModelCfg(blocks=stages, stem_type='one', stem_chs=stem), num_classes=classes)


def pictures(count, height, width, rng):
    """Smooth random pictures, already normalized: octaves of noise, each half as strong as the one before."""
    picture = torch.zeros(count, 3, height, width, dtype=torch.float64)
    for octave in range(4):
        grid = torch.randn(count, 3, 3 << octave, 3 << octave, generator=rng, dtype=torch.float64)
        picture += nn.functional.interpolate(grid, (height, width), mode='bicubic') / 2**octave
    return picture.float()


@torch.no_grad()
def calibrate(model, size, rng, floor):
    """Draws the weights, then takes the normalization statistics from one batch in training mode. Purely random
    deep networks amplify every rounding error by orders of magnitude, which no trained one does; the constants
    here and a `floor` under the variances bring f16 storage to an error of about one per cent. Biases are exact
    in f16, so that a checkpoint may store them so."""
    for name, p in model.named_parameters():
        draw = torch.randn(p.shape, generator=rng)
        if p.ndim > 1:
            lean = 0.6 if p.shape[-1] == 3 else 0  # 3x3 kernels rather smooth than differentiate
            p.copy_((draw + lean) * (2 / p[0].numel()) ** 0.5 * (0.5 if '.attn.' in name else 1))
        elif name.endswith('bias'):
            p.copy_((draw * 0.2 + (0 if '.attn.' in name else 0.2)).half())
        else:
            p.copy_((torch.rand(p.shape, generator=rng) + 0.5) * (2 if '.identity.' in name else 1))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum, norm.eps = None, floor  # channels that are nearly always 0 stay so
    model.double().train()(pictures(8, *size, rng).double())
    for norm in norms:
        norm.running_var += floor - 1e-5
        norm.eps = 1e-5
    return model.float().eval()


def fold(state):
    """Train form to fused form: every position's branches, folded in f64, rounded once to f32."""
    fused = OrderedDict()
    for name, tensor in state.items():
        position = re.match(r'stem|stages\.\d+\.\d+', name)
        if position is None or '.attn.' in name:
            fused[name] = tensor
        elif position[0] + '.reparam_conv.weight' not in fused:
            weight, bias = fold_position(state, position[0])
            fused[position[0] + '.reparam_conv.weight'] = weight.float()
            fused[position[0] + '.reparam_conv.bias'] = bias.float()
    return fused


def fold_position(state, position):
    out, depth, size, _ = shape = state[position + '.conv_kxk.0.conv.weight'].shape
    weight, bias = torch.zeros(shape, dtype=torch.float64), torch.zeros(out, dtype=torch.float64)
    for name in state:
        if not (name.startswith(position + '.') and name.endswith('.running_var')):
            continue
        norm = name.removesuffix('.running_var')
        gamma, beta, mean, var = (
            state[f'{norm}.{field}'].double() for field in ('weight', 'bias', 'running_mean', 'running_var')
        )
        if norm.endswith('.identity'):
            kernel = torch.zeros(shape, dtype=torch.float64)
            channel = torch.arange(out)
            kernel[channel, channel % depth, size // 2, size // 2] = 1
        else:
            kernel = state[norm.removesuffix('.bn') + '.conv.weight'].double()
            margin = (size - kernel.shape[-1]) // 2
            kernel = nn.functional.pad(kernel, [margin] * 4)
        scale = gamma / (var + 1e-5).sqrt()
        weight += kernel * scale[:, None, None, None]
        bias += beta - mean * scale
    return weight, bias


def fuse(model):
    """The fused network with our weights, which timm's own folding confirms."""
    state = fold(model.state_dict())
    fused = reparameterize_model(copy.deepcopy(model).double())
    for name, theirs in fused.state_dict().items():
        torch.testing.assert_close(state[name], theirs.float(), rtol=2e-7, atol=1e-7, msg=name)
    fused.float().load_state_dict(state)
    return fused


def half_storage(fused):
    """The fused network with every weight and every stored value rounded to f16, its arithmetic in f32.
    Features and logits are not rounded."""
    def rounded(tensor):
        return tensor.half().float()

    def store(module):
        module.register_forward_hook(lambda _module, _inputs, output: rounded(output))

    model = copy.deepcopy(fused)
    for p in model.parameters():
        p.data = rounded(p.data)
    model.register_forward_pre_hook(lambda _module, inputs: (rounded(inputs[0]),))
    for block in model.modules():
        if isinstance(block, MobileOneBlock):
            store(block)
            if isinstance(block.attn, SqueezeExcite):
                store(block.reparam_conv)
                block.attn.fc1.register_forward_pre_hook(lambda _module, inputs: (rounded(inputs[0]),))
                store(block.attn.fc1)
                store(block.attn.gate)
    return model


# Checkpoints

# naming -> (pattern, replacement), applied in turn to timm's names
NAMINGS = {
    'timm': [],
    'apple': [
        (r'^stem', 'stage0'),
        (r'^stages\.(\d+)', lambda m: f'stage{int(m[1]) + 1}'),
        (r'conv_kxk', 'rbr_conv'),
        (r'conv_scale', 'rbr_scale'),
        (r'identity', 'rbr_skip'),
        (r'attn\.fc1', 'se.reduce'),
        (r'attn\.fc2', 'se.expand'),
        (r'head\.fc', 'linear'),
    ],
    'mmpretrain': [
        (r'^stem', 'backbone.stage0'),
        (r'^stages\.(\d+)', lambda m: f'backbone.stage{int(m[1]) + 1}'),
        (r'\.bn\.', '.norm.'),
        (r'conv_kxk', 'branch_conv_list'),
        (r'conv_scale', 'branch_scale'),
        (r'identity', 'branch_norm'),
        (r'reparam_conv', 'branch_reparam'),
        (r'attn\.fc(\d)', r'se.conv\1.conv'),
    ],
    'cvnets': [
        (r'^stem', 'conv_1'),
        (r'^stages\.(\d+)', lambda m: f'layer_{int(m[1]) + 2}'),
        (r'\.(conv|bn)\.', r'.block.\1.'),
        (r'block\.bn', 'block.norm'),
        (r'conv_kxk', 'rbr_conv'),
        (r'conv_scale', 'rbr_scale'),
        (r'identity', 'rbr_skip'),
        (r'attn\.(fc\d)', r'se.se_layer.\1.block.conv'),
        (r'head\.fc', 'classifier.classifier_fc'),
        (r'^', 'module.'),
    ],
}


def rename(state, naming):
    renamed = OrderedDict()
    for name, tensor in state.items():
        for pattern, replacement in NAMINGS[naming]:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    assert len(renamed) == len(state)
    return renamed


def save_checkpoints(out, name, model, fused):
    for naming, (form, net) in itertools.product(NAMINGS, [('train', model), ('fused', fused)]):
        save(out / f'{name}.{naming}.{form}.safetensors', rename(net.state_dict(), naming))


def save_odd_storage(out, name, model, fused):
    """The same values in other scalar types and containers, and without a classifier."""
    train = model.state_dict()
    for suffix, dtype in [('f16', torch.float16), ('bf16', torch.bfloat16)]:
        cast = {key: t.to(dtype) if t.is_floating_point() else t for key, t in train.items()}
        save(out / f'{name}.timm.train.{suffix}.safetensors', cast)

    apple = {'state_dict': rename(train, 'apple'), 'epoch': 3, 'arch': 'mobileone'}
    torch.save(apple, out / f'{name}.apple.train.pth.tar')
    torch.save(rename(fused.state_dict(), 'apple'), out / f'{name}.apple.fused.pth')

    encoder = rename(fused.state_dict(), 'apple')
    save(out / f'{name}.apple.encoder.safetensors',
         {f'encoder.{key}': t for key, t in encoder.items() if not key.startswith('linear')})

    odd = OrderedDict(train)
    for key, tensor in train.items():
        if key.endswith('.bias'):
            odd[key] = tensor.half()
        elif tensor.ndim == 4:
            odd[key] = nn.Parameter(tensor.clone())
    odd['head.fc.weight'] = train['head.fc.weight'].t().contiguous().t()
    shared, channels = torch.full((50,), torch.nan), len(train['stem.conv_scale.bn.running_mean'])
    for start, field in [(3, 'running_mean'), (20, 'running_var')]:
        key = f'stem.conv_scale.bn.{field}'
        odd[key] = shared[start:start + channels].copy_(train[key])
    torch.save({'model': odd}, out / f'{name}.timm.train.bin')


def save_foreign(out):
    """A part of a network that resembles MobileOne by name: the first blocks of each stage, all sides at most 2."""
    with torch.device('meta'):
        state = timm.create_model('fastvit_t8').state_dict()
    later = re.compile(r'^stages\.\d+\.(blocks\.)?([2-9]|1\d)|^stages\.[23]|num_batches_tracked')
    kept = {key: [min(side, 2) for side in t.shape] for key, t in state.items() if not later.search(key)}
    save(out / 'fastvit.safetensors', {key: torch.zeros(shape) for key, shape in kept.items()})


@torch.no_grad()
def repvgg(out):
    """A narrow RepVGG in train form, and its logits in f64."""
    rng = seeded('repvgg')
    stages = [ByoBlockCfg('rep', d=d, c=c, s=2, gs=0) for d, c in [(2, 6), (1, 10), (3, 12), (1, 20)]]
    with mock.patch('timm.models.byobnet.make_divisible', int):
        model = ByobNet(ByoModelCfg(blocks=stages, stem_type='rep', stem_chs=6), num_classes=5)
    model = calibrate(model, (48, 64), rng, floor=0.01)
    x = pictures(2, 48, 40, rng)
    exact = copy.deepcopy(model).double()
    logits = exact(x.double())
    torch.testing.assert_close(reparameterize_model(exact)(x.double()), logits)
    state = {key: t for key, t in model.state_dict().items() if not key.endswith('num_batches_tracked')}
    save(out / 'repvgg.safetensors', state)
    save(out / 'repvgg.golden.safetensors', {'x': x, 'logits': logits.float()})


# What the networks compute


@torch.no_grad()
def outputs(model, x):
    """name -> tensor: the stem's and each stage's output, the pooled features, the logits."""
    results = {'y.stem': (y := model.stem(x))}
    for index, stage in enumerate(model.stages):
        results[f'y.stage{index + 1}'] = y = stage(y)
    results['features'] = y.mean((2, 3))
    results['logits'] = model.head.fc(results['features'])
    return results


@torch.no_grad()
def rounded_logits(fused, x, expected):
    """Logits of the fused network in f32 and with f16 storage, and how far they are from `expected`."""
    logits = {'logits_f32': fused(x), 'logits_f16': half_storage(fused)(x)}
    return logits, {name: relative_l2(found.double(), expected) for name, found in logits.items()}


def small_networks(out):
    networks = {
        # stem, widths, blocks, branches, squeezed, classes
        'odd': (6, (6, 10, 18, 34), (1, 2, 2, 1), 4, (0, 0, 0, 0), 5),
        'se': (8, (16, 16, 32, 48), (1, 1, 2, 1), 1, (0, 0, 1, 1), 7),
    }
    for name, shape in networks.items():
        rng = seeded(name)
        model = calibrate(tiny(*shape), (64, 80), rng, floor=0.01)
        fused = fuse(model)
        save_checkpoints(out, name, model, fused)
        if name == 'odd':
            save_odd_storage(out, name, model, fused)

        x = pictures(3, 64, 80, rng)
        exact = outputs(copy.deepcopy(model).double(), x.double())
        logits, errors = rounded_logits(fused, x, exact['logits'])
        golden = {key: (t[:1] if key.startswith('y.') else t).float() for key, t in exact.items()}
        save(out / f'{name}.golden.safetensors', {'x': x, **golden, **logits}, errors=errors)
        print(name, errors)
    save_foreign(out)
    repvgg(out)


def full(out, only):
    out.mkdir(parents=True, exist_ok=True)
    print('variant   params fused   params train   logits rms   f32 error   f16 error')
    for name in only:
        full_network(out, name, 1000)
    if 's0' in only:
        full_network(out, 's0c5', 5)


@torch.no_grad()
def full_network(out, name, classes):
    rng = seeded(name)
    model = calibrate(timm.create_model(f'mobileone_{name[:2]}', num_classes=classes), (224, 224), rng, floor=0.25)
    fused = fuse(model)
    if classes == 1000:
        save_checkpoints(out, name, model, fused)
    else:
        save(out / f'{name}.timm.fused.safetensors', fused.state_dict())

    golden, double = {}, copy.deepcopy(model).double()
    for key, size in [('224', (3, 224, 224)), ('192x256', (1, 192, 256)), ('96', (1, 96, 96))]:
        golden[f'x.{key}'] = pictures(*size, rng)
        golden[f'logits.{key}'] = double(golden[f'x.{key}'].double())
    logits, errors = rounded_logits(fused, golden['x.224'], golden['logits.224'])
    golden |= {f'{key}.224': t for key, t in logits.items()}
    rms = golden['logits.224'].square().mean().sqrt().item()
    if name == 's0':
        batch = pictures(64, 224, 224, rng).half()
        golden['logits.64'] = torch.cat([double(part.double()) for part in batch.split(4)])
    golden = {key: t.float() for key, t in golden.items()}
    if name == 's0':
        golden['x.64'] = batch
    save(out / f'{name}.golden.safetensors', golden, errors=errors)
    counts = [sum(p.numel() for p in net.parameters()) for net in (fused, model)]
    print(f'{name:7} {counts[0]:14,} {counts[1]:14,} {rms:12.2f}', *(f'{error:11.1e}' for error in errors.values()))


# Preprocessing

SOURCES = [(1333, 1000), (640, 480), (37, 53), (1, 1), (2, 3), (500, 7), (7, 300), (224, 224), (225, 223), (3000, 40),
           (96, 96)]
MODES = ('center', 'squash', 'border')
FILTERS = ('bilinear', 'bicubic')


def picture(width, height):
    """A hashed gradient, u8 [height, width, 3]: the formula stands in README.md and is repeated by the tests."""
    x, y, c = np.arange(width, dtype=np.uint32), np.arange(height, dtype=np.uint32), np.arange(3, dtype=np.uint32)
    x, y = x[None, :, None], y[:, None, None]
    h = x * np.uint32(374761393) + y * np.uint32(668265263) + c * np.uint32(2246822519)
    h = (h ^ (h >> 13)) * np.uint32(1274126177)
    h ^= h >> 16
    return ((x * 5 + y * 3 + c * 85 + (h & 63)) & 255).astype(np.uint8)


def picture_cases():
    """(source, mode, filter, target, pct): every source and mode at 32x32, then larger targets."""
    for index, (source, mode) in enumerate(itertools.product(SOURCES, MODES)):
        yield source, mode, FILTERS[index % 2], (32, 32), (0.875, 0.9, 1.0)[(index + index // 3) % 3]
    for mode in MODES:
        yield (640, 480), mode, 'bicubic', (48, 32), 0.9
        yield (3000, 40), mode, 'bilinear', (48, 48), 0.875
        yield (37, 53), mode, 'bicubic', (48, 48), 1.0
    yield (640, 480), 'center', 'bilinear', (96, 96), 0.9
    yield (1333, 1000), 'center', 'bilinear', (224, 224), 0.875


def preprocessing(out):
    golden, cases = {}, {'refused': [], 'vertical_first': []}
    for (width, height), mode, resample, size, pct in picture_cases():
        key = f'{width}x{height}_{mode}_{resample}_{size[0]}x{size[1]}_{pct}'
        steps = create_transform(size, is_training=False, crop_pct=pct, crop_mode=mode, interpolation=resample)
        image = Image.fromarray(picture(width, height))
        try:
            resize, crop, _to_tensor, _normalize = steps.transforms
            image = resize(image)
        except ValueError:  # a side was rounded to 0
            cases['refused'].append(key)
            continue
        if height > image.height and height - image.height > 2 * (width - image.width):
            cases['vertical_first'].append(key)
        golden[key] = torch.from_numpy(np.array(crop(image)))
    save(out / 'pictures.golden.safetensors', golden, cases=cases)


# Picture files


def quadrants(*colours):
    """A 32x24 picture of four flat quadrants: top left, top right, bottom left, bottom right."""
    colours = np.array(colours).reshape(2, 2, -1)
    return colours.repeat(12, axis=0).repeat(16, axis=1).squeeze()


def picture_files(out):
    out.mkdir(exist_ok=True)
    rgb = Image.fromarray(quadrants((220, 40, 30), (40, 180, 60), (30, 60, 200), (240, 220, 90)).astype(np.uint8))
    grey = Image.fromarray(quadrants(20, 100, 180, 250).astype(np.uint8))
    alpha = Image.fromarray(quadrants(255, 128, 0, 64).astype(np.uint8))
    grey_alpha, rgba = grey.copy(), rgb.copy()
    grey_alpha.putalpha(alpha)
    rgba.putalpha(alpha)
    cmyk = Image.fromarray(quadrants((0, 200, 220, 10), (180, 0, 160, 40), (200, 150, 0, 0), (0, 0, 0, 128))
                           .astype(np.uint8), 'CMYK')
    oriented = Image.Exif()
    oriented[0x0112] = 6  # to be turned clockwise by a quarter before it is shown

    files = {
        # file: picture, how far a decoder may be off, options of the encoder
        'rgb.jpg': (rgb, 3, {'quality': 95, 'subsampling': 0}),
        'progressive.jpg': (rgb, 6, {'quality': 90, 'subsampling': 2, 'progressive': True}),
        'exif6.jpg': (rgb, 3, {'quality': 95, 'subsampling': 0, 'exif': oriented}),
        'grey.jpg': (grey, 3, {'quality': 95}),
        'cmyk.jpg': (cmyk, 4, {'quality': 95}),
        'rgb.png': (rgb, 0, {}),
        'rgba.png': (rgba, 1, {}),
        'grey.png': (grey, 0, {}),
        'grey_alpha.png': (grey_alpha, 1, {}),
        'grey16.png': (Image.fromarray((quadrants(20, 100, 180, 250) * 257).astype(np.uint16)), 0, {}),
        'palette.png': (rgb.quantize(4), 0, {}),
        'rgb.webp': (rgb, 0, {'lossless': True}),
        'lossy.webp': (rgb, 8, {'quality': 90}),
        'rgb.bmp': (rgb, 0, {}),
        'anim.gif': (rgb.quantize(4), 0, {'save_all': True, 'append_images': [rgb.rotate(180).quantize(4)]}),
    }
    expected = {}
    for file, (image, tolerance, options) in files.items():
        image.save(out / file, **options)
        shown = ImageOps.exif_transpose(Image.open(out / file))
        if shown.mode == 'I;16':  # PIL itself would clip at 255
            shown = Image.fromarray((np.array(shown) / 257).round().astype(np.uint8))
        shown = shown.convert('RGBA')
        shown = Image.alpha_composite(Image.new('RGBA', shown.size, 'white'), shown).convert('RGB')
        pixels, (width, height) = np.array(shown, float), shown.size
        centres = [pixels[y - 2:y + 2, x - 2:x + 2].mean((0, 1)).round().astype(int).tolist()
                   for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
        expected[file] = {'size': [width, height], 'tolerance': tolerance, 'quadrants': centres}
    rows = ',\n'.join(f'  {json.dumps(file)}: {json.dumps(row)}' for file, row in expected.items())
    (out / 'pictures.json').write_text(f'{{\n{rows}\n}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('small')
    command = commands.add_parser('full')
    command.add_argument('out', type=Path)
    command.add_argument('--only', type=lambda text: text.split(','), default=['s0', 's1', 's2', 's3', 's4'])
    arguments = parser.parse_args()
    if arguments.command == 'small':
        torch.set_num_threads(1)
        small_networks(HERE)
        preprocessing(HERE)
        picture_files(HERE / 'pictures')
    else:
        full(arguments.out, arguments.only)


if __name__ == '__main__':
    main()
