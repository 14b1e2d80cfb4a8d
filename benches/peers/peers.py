"""Times this program and its peers on the same networks, inputs, driver and machine, in alternation.

    python benches/peers/peers.py                          S0, S1 and S4 at batch 1, wherever it can run
    python benches/peers/peers.py --model s0 --place cpu --rounds 20 --markdown out.md --json out.json

Every contender takes a short turn in every round, so that whatever else the machine does hits all alike. Its figure is
the median over the turns of each turn's median. Everyone's logits are compared with PyTorch's in f64; who is off by more
than f32 or f16 explains is marked and not ranked.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from contenders import ROWS, Peer, has_cuda, missing
from nets import files

ROOT = Path(__file__).resolve().parents[2]
US = 'mobileone'
# Relative L2 errors that storage in the type explains: about ten times those of a sound engine.
TOLERANCE = {'f32': 5e-5, 'f16': 3e-2}


class Mobileone:
    """This program, a process for each turn."""

    name = US

    def __init__(self, program, place, dtype, device, net, batch):
        self.program, self.place, self.dtype = program, place, dtype
        self.arguments = ['--model', f'{net}.safetensors', '--device', device, '--dtype', dtype]
        self.batch = batch
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder) / 'y.safetensors'
            self.run('run', *self.arguments, '--input', f'{net}.x{batch}.safetensors', '--output', answer)
            self.logits = load_file(answer)['logits']

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.splitlines()[-1])
        return done.stdout

    def turn(self, seconds):
        text = self.run('bench', *self.arguments, '--batch', self.batch, '--seconds', seconds, '--json')
        report = json.loads(text)
        if not report['results']:
            raise RuntimeError(report['left_out'][0])
        row = report['results'][0]
        self.device = f'{row["device"]}, {row["driver"]}'
        return row['median_ms'], row['min_ms']

    def close(self):
        pass


def relative(found, expected):
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def compete(contenders, rounds, seconds, expected):
    """A result for each contender, after all have had their turns."""
    turns = {contender: [] for contender in contenders}
    for at in range(rounds):
        print(f'\r  round {at + 1} of {rounds}', end='', file=sys.stderr, flush=True)
        for contender, taken in turns.items():
            taken.append(contender.turn(seconds))
    print('\r' + ' ' * 30 + '\r', end='', file=sys.stderr)
    results = []
    for contender, taken in turns.items():
        error = relative(contender.logits.astype(np.float64), expected)
        results.append({
            'contender': contender.name, 'place': contender.place, 'dtype': contender.dtype,
            'median_ms': float(np.median([median for median, _ in taken])), 'min_ms': min(least for _, least in taken),
            'relative_error': error, 'agrees': error <= TOLERANCE[contender.dtype],
            'device': getattr(contender, 'device', None),
        })
    return results


def rank(results):
    """Adds how many times this program's median and least a contender's are. Above 1 this program is faster."""
    ours = next((row for row in results if row['contender'] == US and row['agrees']), None)
    for row in results:
        for name in ['median', 'min']:
            ranked = ours and row['agrees']
            row[f'{name}_ratio'] = row[f'{name}_ms'] / ours[f'{name}_ms'] if ranked else None
    return sorted(results, key=lambda row: (not row['agrees'], row['median_ms']))


def open_all(arguments, net, place, dtype, batch, x, left_out):
    contenders = []

    def enter(name, make):
        try:
            contenders.append(make())
        except RuntimeError as error:
            left_out.append(f'{name} ({place}, {dtype}, batch {batch}): {error}')

    device = 'cpu' if place == 'cpu' else arguments.device
    enter(US, lambda: Mobileone(arguments.program, place, dtype, device, net, batch))
    for row in ROWS:
        if (row.place, row.dtype) == (place, dtype) and row.batches(batch):
            why = missing(row)
            if why:
                left_out.append(f'{row.name} ({place}, {dtype}): {why}')
            else:
                enter(row.name, lambda: Peer(row, net, arguments.threads, x))
    return contenders


def table(groups):
    lines = []
    for group in groups:
        batch = group['batch']
        lines += [f'**{group["model"].upper()}, {group["place"]}, {group["dtype"]}, batch {batch}**', '',
                  '| | median ms | times ours | least ms | times ours | relative error |',
                  '| --- | --- | --- | --- | --- | --- |']
        for row in group['results']:
            cells = [row['contender']]
            for name in ['median', 'min']:
                ratio = row[f'{name}_ratio']
                cells += [f'{row[f"{name}_ms"]:.2f}', f'{ratio:.2f}' if ratio else 'not ranked']
            cells.append(f'{row["relative_error"]:.1e}' + ('' if row['agrees'] else ' **disagrees**'))
            lines.append(f'| {" | ".join(cells)} |')
        lines.append('')
    return '\n'.join(lines)


def versions():
    known = ['onnxruntime', 'ncnn', 'MNN', 'torch', 'timm']
    return {name: metadata.version(name) for name in known}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], allow_abbrev=False)
    parser.add_argument('--model', action='append', choices=[f's{at}' for at in range(5)])
    parser.add_argument('--place', action='append', choices=['cpu', 'gpu'])
    parser.add_argument('--dtype', action='append', choices=['f32', 'f16'])
    parser.add_argument('--batch', action='append', type=int)
    parser.add_argument('--device', default='gpu' if has_cuda() else 'vulkan',
                        help='what this program calls the GPU: vulkan takes software too')
    parser.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--seconds', type=float, default=0.5, help='of a turn, which has at least three round trips')
    parser.add_argument('--program', type=Path, default=ROOT / 'target/release/mobileone')
    parser.add_argument('--folder', type=Path, default=ROOT / 'target/peers', help='where the networks are kept')
    parser.add_argument('--markdown', type=Path)
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    arguments.model = arguments.model or ['s0', 's1', 's4']
    arguments.place = arguments.place or ['cpu', 'gpu']
    arguments.dtype = arguments.dtype or ['f32', 'f16']
    arguments.batch = arguments.batch or ([1, 256] if has_cuda() else [1])
    return arguments


def main():
    arguments = parse()
    # The processor's threads of every contender, this program's included.
    os.environ['RAYON_NUM_THREADS'] = str(arguments.threads)
    groups, left_out = [], []
    for name in arguments.model:
        net = files(arguments.program, arguments.folder, name, arguments.batch)
        for place in arguments.place:
            for dtype in arguments.dtype:
                if (place, dtype) == ('cpu', 'f16'):
                    continue  # nobody's CPU path computes in f16 here
                for batch in arguments.batch:
                    print(f'{name}, {place}, {dtype}, batch {batch}', file=sys.stderr)
                    golden = load_file(f'{net}.x{batch}.safetensors')
                    contenders = open_all(arguments, net, place, dtype, batch, golden['x'], left_out)
                    results = compete(contenders, arguments.rounds, arguments.seconds, golden['logits'].astype(np.float64))
                    for contender in contenders:
                        contender.close()
                    group = {'model': name, 'place': place, 'dtype': dtype, 'batch': batch, 'results': rank(results)}
                    groups.append(group)
                    print(table([group]), flush=True)
    for line in dict.fromkeys(left_out):
        print(f'left out: {line}', file=sys.stderr)
    report = {
        'date': datetime.date.today().isoformat(), 'machine': f'{platform.machine()}, {platform.platform()}',
        'threads': arguments.threads, 'rounds': arguments.rounds, 'seconds': arguments.seconds,
        'versions': versions(), 'groups': groups, 'left_out': list(dict.fromkeys(left_out)),
    }
    if arguments.markdown:
        words = ', '.join(f'{name} {version}' for name, version in report['versions'].items())
        head = f'{report["date"]}; {report["machine"]}; {arguments.threads} threads; {words}; ' \
               f'{arguments.rounds} rounds of {arguments.seconds} s.\n\n'
        arguments.markdown.write_text(head + table(groups))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
