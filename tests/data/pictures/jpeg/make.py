"""JPEGs of kinds that decoders get wrong, by libjpeg-turbo's cjpeg, and what its djpeg makes of them.

    python make.py        # needs cjpeg and djpeg (Debian: libjpeg-turbo-progs)

points.json: by file, its size, and [x, y, red, green, blue] of some pixels.
"""
import json, math, pathlib, subprocess

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 45, 37


def pixel(x, y):
    if 12 <= x < 22 and 8 <= y < 18:
        return 220, 30, 40
    wave = math.sin(x / 7 + y / 11), math.cos(x / 5 - y / 9), math.sin((x + y) / 13)
    noise = (x * 7919 + y * 104729) % 23 - 11
    return tuple(max(0, min(255, round(128 + 90 * w + noise))) for w in wave)


ROWS = {
    # Separate scans, the planes of colour smaller downwards too.
    '420_apart': ('2x2', '0;\n1;\n2;\n'),
    '420_luma_first': ('2x2', '0;\n1 2;\n'),
    '420_chroma_first': ('2x2', '2;\n1;\n0;\n'),
    '440_apart': ('1x2', '0;\n1;\n2;\n'),
    '440': ('1x2', None),
    '422_chroma_first': ('2x1', '1 2;\n0;\n'),
    '411': ('4x1', None),
    '410': ('4x2', None),
    # Colour sampled higher than brightness, and each in its own way.
    'chroma_higher': ('1x1,2x2,1x1', None),
    'chroma_higher_apart': ('1x1,2x2,2x2', '0;\n1;\n2;\n'),
    'mixed': ('2x1,1x2,1x1', None),
    'thirds': ('3x1', '0;\n1;\n2;\n'),
    'progressive_420': ('2x2', 'progressive'),
    'restarts_420': ('2x2', 'restarts'),
    'arithmetic': ('2x2', 'arithmetic'),
}
ARGS = {None: [], 'progressive': ['-progressive', '-restart', '2B'], 'restarts': ['-restart', '1B'], 'arithmetic': ['-arithmetic']}

ppm = bytes(v for y in range(HEIGHT) for x in range(WIDTH) for v in pixel(x, y))
(HERE / 'made.ppm').write_bytes(b'P6 %d %d 255\n' % (WIDTH, HEIGHT) + ppm)
points = {}
for name, (sampling, scans) in ROWS.items():
    args = ARGS.get(scans)
    if args is None:
        (HERE / 'made.scans').write_text(scans)
        args = ['-scans', HERE / 'made.scans']
    out = HERE / f'{name}.jpg'
    subprocess.run(['cjpeg', '-quality', '80', '-sample', sampling, *args, '-outfile', out, HERE / 'made.ppm'], check=True)
    shown = subprocess.run(['djpeg', '-ppm', out], check=True, capture_output=True).stdout[-3 * WIDTH * HEIGHT:]
    at = [(x, y) for y in (0, 7, 8, 17, 29, HEIGHT - 1) for x in (0, 9, 16, 21, 33, WIDTH - 1)]
    points[name] = [[x, y, *shown[3 * (y * WIDTH + x):][:3]] for x, y in at]
rows = ',\n'.join(f'"{name}.jpg": {{"size": [{WIDTH}, {HEIGHT}], "points": {json.dumps(p)}}}' for name, p in points.items())
(HERE / 'points.json').write_text(f'{{\n{rows}\n}}\n')
for name in ('made.ppm', 'made.scans'):
    (HERE / name).unlink()
