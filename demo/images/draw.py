"""Draws the pictures beside it: a sheet or a phone held up in a lit room, traced ray by ray.

This is the second renderer. It shares no code with the one that draws the training set: here is a
scene in space with a camera, an area light, shadows and surfaces, and the handwriting is made of
arcs and lines. Fonts are those that the training set leaves to validation.

    python draw.py                                # the dozen pictures of this folder
    python draw.py --set DIR --count 500 --seed 0 # a labelled set: DIR/<label>/<number>.png

Needs numpy, Pillow and Debian's font packages named in FONTS.
"""

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = Path(__file__).resolve().parent
ROOT = Path("/usr/share/fonts")
FONTS = {
    "roboto": "truetype/roboto/unhinted/RobotoTTF/Roboto-Bold.ttf",  # fonts-roboto-unhinted
    "vollkorn": "truetype/vollkorn/Vollkorn-Bold.ttf",  # fonts-vollkorn
    "quicksand": "truetype/quicksand/Quicksand-Bold.ttf",  # fonts-quicksand
    "caladea": "truetype/crosextra/Caladea-Regular.ttf",  # fonts-crosextra-caladea
    "comic": "opentype/comic-neue/ComicNeue-Bold.otf",  # fonts-comic-neue
    "yusei": "truetype/yusei-magic/YuseiMagic-Regular.ttf",  # fonts-yusei-magic
    "jetbrains": "truetype/jetbrains-mono/JetBrainsMono-Bold.ttf",  # fonts-jetbrains-mono
    "play": "truetype/play/Play-Bold.ttf",  # fonts-play
    "spartan": "opentype/league-spartan/LeagueSpartan-Bold.otf",  # fonts-league-spartan
    "connect": "opentype/bwht/BecauseWeConnect-Regular.otf",  # fonts-bwht
}
LETTERS = "AEFHKMNPRWXhkm#%"  # none looks like a digit

# Handwriting: strokes of pieces, each an arc ("a", cx, cy, rx, ry, from, to in degrees, y down) or a
# line ("l", x0, y0, x1, y1), in a box 1 high. Two ways of writing each digit.
PEN = {
    0: [[[("a", 0.3, 0.5, 0.28, 0.5, -80, 285)]], [[("a", 0.33, 0.5, 0.33, 0.48, -110, 255)]]],
    1: [[[("l", 0.05, 0.3, 0.3, 0.0), ("l", 0.3, 0.0, 0.3, 1.0)]], [[("l", 0.25, 0, 0.2, 1)]]],
    2: [[[("a", 0.3, 0.28, 0.28, 0.28, -170, 25), ("l", 0.56, 0.4, 0.02, 1), ("l", 0.02, 1, 0.62, 0.98)]],
        [[("a", 0.3, 0.25, 0.26, 0.25, -200, 40), ("l", 0.5, 0.41, 0.0, 0.98), ("l", 0.0, 0.98, 0.6, 1.0)]]],
    3: [[[("a", 0.25, 0.24, 0.26, 0.24, -150, 90), ("a", 0.25, 0.74, 0.31, 0.26, -90, 150)]],
        [[("l", 0.02, 0.02, 0.52, 0.0), ("l", 0.52, 0.0, 0.24, 0.4), ("a", 0.22, 0.7, 0.32, 0.3, -90, 140)]]],
    4: [[[("l", 0.4, 0.0, 0.0, 0.62), ("l", 0.0, 0.62, 0.62, 0.6)], [("l", 0.45, 0.3, 0.42, 1.0)]],
        [[("l", 0.08, 0.05, 0.04, 0.5), ("l", 0.04, 0.5, 0.56, 0.5)], [("l", 0.5, 0.0, 0.48, 1.0)]]],
    5: [[[("l", 0.1, 0.04, 0.07, 0.42), ("a", 0.24, 0.68, 0.32, 0.3, -120, 140)], [("l", 0.1, 0.04, 0.55, 0.0)]],
        [[("l", 0.56, 0.0, 0.14, 0.0), ("l", 0.14, 0.0, 0.1, 0.45), ("a", 0.25, 0.7, 0.3, 0.29, -118, 130)]]],
    6: [[[("a", 0.55, 0.62, 0.52, 0.64, -95, -180), ("a", 0.31, 0.71, 0.28, 0.28, 180, -180)]],
        [[("l", 0.46, 0.0, 0.1, 0.52), ("a", 0.32, 0.7, 0.28, 0.3, 215, -140)]]],
    7: [[[("l", 0.0, 0.04, 0.58, 0.02), ("l", 0.58, 0.02, 0.22, 1.0)]],
        [[("l", 0.0, 0.03, 0.6, 0.03), ("l", 0.6, 0.03, 0.24, 1.0)], [("l", 0.2, 0.52, 0.56, 0.5)]]],
    8: [[[("a", 0.3, 0.24, 0.23, 0.24, 90, -270), ("a", 0.3, 0.74, 0.29, 0.26, -90, 270)]],
        [[("a", 0.32, 0.23, 0.22, 0.23, 60, -290), ("a", 0.3, 0.73, 0.3, 0.27, -100, 250)]]],
    9: [[[("a", 0.3, 0.27, 0.27, 0.27, -15, -375), ("l", 0.56, 0.2, 0.5, 1.0)]],
        [[("a", 0.3, 0.28, 0.26, 0.28, -20, -380), ("a", 0.08, 0.4, 0.48, 0.6, -20, 80)]]],
}


# ---- what is on a sheet: RGB images ---------------------------------------------------------------


def written(rng, digit, height):
    """A handwritten digit as a mask image, `height` pixels high without its margin."""
    way = PEN[digit][rng.integers(len(PEN[digit]))]
    pen, margin = height * rng.uniform(0.05, 0.12), int(height * 0.2)
    image = Image.new("L", (height + 2 * margin, height + 2 * margin))
    draw = ImageDraw.Draw(image)
    lean, wide = rng.uniform(-0.1, 0.25), rng.uniform(0.85, 1.2)
    wobble = rng.uniform(0, 6.28, 4)
    for stroke in way:
        for piece in stroke:
            t = np.linspace(0, 1, 120)
            if piece[0] == "a":
                _, cx, cy, rx, ry, a, b = piece
                turn = np.deg2rad(a + (b - a) * t)
                x, y = cx + rx * np.cos(turn), cy + ry * np.sin(turn)
            else:
                _, x0, y0, x1, y1 = piece
                x, y = x0 + (x1 - x0) * t, y0 + (y1 - y0) * t
            x = x + 0.02 * np.sin(5 * y + wobble[0]) + 0.01 * np.sin(11 * y + wobble[1])
            y = y + 0.02 * np.sin(6 * x + wobble[2]) + 0.01 * np.sin(9 * x + wobble[3])
            x = (x + lean * (0.5 - y)) * wide
            r = pen / 2 * (1 + 0.15 * np.sin(7 * t + wobble[1]))
            for px, py, pr in zip(x * height + margin * 1.5, y * height + margin, r):
                draw.ellipse((px - pr, py - pr, px + pr, py + pr), fill=255)
    return image.crop(image.getbbox())


def printed(text, font, height):
    face = ImageFont.truetype(str(ROOT / FONTS[font]), height)
    box = face.getbbox(text)
    image = Image.new("L", (box[2] - box[0] + 8, box[3] - box[1] + 8))
    ImageDraw.Draw(image).text((4 - box[0], 4 - box[1]), text, font=face, fill=255)
    return image.crop(image.getbbox())


def page(rng, mark, ground, ink, ruling=None, fill=0.6):
    """A page 400 wide and 500 high bearing a mark (a mask, or None) in its middle, `fill` of its height."""
    image = Image.new("RGB", (400, 500), tuple(ground))
    draw = ImageDraw.Draw(image)
    line = tuple(int(0.75 * g + 0.25 * b) for g, b in zip(ground, (90, 120, 190)))
    if ruling:
        for y in range(30, 500, 26):
            draw.line((0, y, 400, y), fill=line, width=2)
    if ruling == "squared":
        for x in range(20, 400, 26):
            draw.line((x, 0, x, 500), fill=line, width=2)
    if mark is not None:
        scale = min(500 * fill / mark.height, 360 / mark.width)
        mark = mark.resize((max(1, round(mark.width * scale)), max(1, round(mark.height * scale))), Image.LANCZOS)
        at = (200 - mark.width // 2 + int(rng.integers(-12, 13)), 250 - mark.height // 2 + int(rng.integers(-16, 17)))
        image.paste(tuple(ink), at, mark)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32) / 255


def grain(rng, dark, light, wood):
    """A wooden board, or a plastered wall."""
    y, x = np.mgrid[:256, :256] / 256
    n = sum(np.sin(rng.uniform(2, 9) * x * 6.28 + rng.uniform(6, 40) * y + rng.uniform(0, 6.28)) for _ in range(4)) / 4
    v = 0.5 + 0.5 * np.sin((y * rng.uniform(4, 10) + 0.25 * n) * 6.28) if wood else 0.5 + 0.25 * n
    v = np.clip(v + rng.normal(0, 0.04, v.shape), 0, 1)[..., None]
    return (np.array(dark) * (1 - v) + np.array(light) * v).astype(np.float32)


# ---- the scene: rectangles and balls in space, y up, metres ---------------------------------------


def unit(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def rectangle(centre, u, v, texture, glow=0.0, gloss=0.0):
    """`u` and `v` reach from the centre to the middle of the right and the upper edge."""
    texture = np.asarray(texture, np.float32)
    if texture.ndim == 1:
        texture = texture.reshape(1, 1, 3)
    return dict(kind="rectangle", centre=np.array(centre, float), u=np.array(u, float), v=np.array(v, float),
                n=unit(np.cross(u, v)), texture=texture, glow=glow, gloss=gloss)


def ball(centre, radius, colour, gloss=0.2):
    return dict(kind="ball", centre=np.array(centre, float), radius=radius, colour=np.array(colour), glow=0.0, gloss=gloss)


def meet(thing, origin, way):
    """How far along each ray [n, 3] it meets the thing; infinity where it does not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if thing["kind"] == "ball":
            to = origin - thing["centre"]
            a, b, c = (way * way).sum(-1), (to * way).sum(-1), (to * to).sum(-1) - thing["radius"] ** 2
            root = np.sqrt(b * b - a * c)
            t = (-b - root) / a
        else:
            t = ((thing["centre"] - origin) @ thing["n"]) / (way @ thing["n"])
            p = origin + way * t[:, None] - thing["centre"]
            for axis in (thing["u"], thing["v"]):
                t = np.where(np.abs(p @ axis) <= axis @ axis, t, np.inf)
    return np.where(t > 1e-4, t, np.inf)


def surface(thing, p):
    """Colour and normal [n, 3] at points of a thing."""
    if thing["kind"] == "ball":
        return np.broadcast_to(thing["colour"], p.shape), unit(p - thing["centre"])
    texture = thing["texture"]
    h, w = texture.shape[:2]
    q = p - thing["centre"]
    x = (q @ thing["u"] / (thing["u"] @ thing["u"]) + 1) / 2 * (w - 1)
    y = (1 - q @ thing["v"] / (thing["v"] @ thing["v"])) / 2 * (h - 1)
    x0, y0 = np.clip(x.astype(int), 0, max(0, w - 2)), np.clip(y.astype(int), 0, max(0, h - 2))
    fx, fy, x1, y1 = (x - x0)[:, None], (y - y0)[:, None], np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    top = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    low = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return top * (1 - fy) + low * fy, np.broadcast_to(thing["n"], p.shape)


def trace(rng, things, eye, target, roll, field, lamp, ambient, width, height, finer=2, shadow_rays=5):
    """The picture that a pinhole camera at `eye` takes: float [height, width, 3], linear light.

    `lamp` is (place, radius, colour): a ball of light, sampled by `shadow_rays` rays from each point.
    """
    forward = unit(target - eye)
    right = unit(np.cross([np.sin(roll), np.cos(roll), 0.0], forward))
    up = np.cross(forward, right)
    y, x = np.mgrid[: height * finer, : width * finer]
    x, y = (x.ravel() + 0.5) / finer - width / 2, height / 2 - (y.ravel() + 0.5) / finer
    way = forward + (x[:, None] * right + y[:, None] * up) * (2 * np.tan(field / 2) / height)
    distance = np.stack([meet(thing, eye, way) for thing in things])
    nearest, t = distance.argmin(0), distance.min(0)
    out = np.full((len(way), 3), 0.02)
    place, radius, shine = lamp
    for i, thing in enumerate(things):
        seen = np.flatnonzero((nearest == i) & np.isfinite(t))
        if not len(seen):
            continue
        p = eye + way[seen] * t[seen, None]
        colour, normal = surface(thing, p)
        normal = np.where((normal * way[seen]).sum(-1, keepdims=True) > 0, -normal, normal)
        light = np.broadcast_to(ambient * (0.75 + 0.25 * normal[:, 1:2]), p.shape).copy()
        gleam = np.zeros(len(p))
        for _ in range(shadow_rays):
            to = place + unit(rng.normal(size=(len(p), 3))) * radius - p
            blocked = np.zeros(len(p), bool)
            for other in things:
                blocked |= meet(other, p + normal * 1e-3, to) < 1
            far = np.linalg.norm(to, axis=-1, keepdims=True)
            facing = np.clip((normal * to).sum(-1, keepdims=True) / far, 0, 1) * ~blocked[:, None]
            light += facing * shine / far**2 / shadow_rays
            half = unit(to / far - unit(way[seen]))
            gleam += np.clip((normal * half).sum(-1), 0, 1) ** 60 * ~blocked / shadow_rays
        out[seen] = colour * light * (1 - 0.7 * (thing["glow"] > 0)) + colour * thing["glow"] + thing["gloss"] * gleam[:, None] * shine
    return out.reshape(height, finer, width, finer, 3).mean((1, 3))


def develop(rng, light, noise):
    """Exposure, vignette, noise of the sensor, sRGB."""
    h, w = light.shape[:2]
    y, x = np.mgrid[:h, :w]
    light = light / np.percentile(light, rng.uniform(92, 98)) * rng.uniform(0.7, 0.95)
    light = light * (1 - 0.25 * (((x - w / 2) ** 2 + (y - h / 2) ** 2) / (w / 2) ** 2)[..., None] ** 1.5 * 0.6)
    light = light + rng.normal(size=light.shape) * noise * np.sqrt(np.clip(light, 0.02, 1))
    return Image.fromarray((np.clip(light, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8))


def turned(yaw, pitch, roll):
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    return (np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
            @ np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]))


def scene(rng, bearer, content, width, height, share, finer=2):
    """Somebody holds up a bearer ("paper", "note", "phone", or None) with a page on it before a desk and a wall.

    The page takes up about `share` of the picture's height.
    """
    wood = rng.random() < 0.8
    tone = rng.uniform(0.25, 0.8)
    things = [
        rectangle((0, 0, 0), (3, 0, 0), (0, 0, 2), grain(rng, [0.25 * tone, 0.15 * tone, 0.08 * tone], [0.75 * tone, 0.5 * tone, 0.3 * tone], wood), gloss=0.05),
        rectangle((0, 1.5, 1.2), (-3, 0, 0), (0, 1.5, 0), grain(rng, rng.uniform(0.3, 0.6, 3), rng.uniform(0.4, 0.9, 3), False)),
    ]
    for _ in range(rng.integers(0, 5)):  # things that lie about on the desk
        r = rng.uniform(0.03, 0.13)
        things.append(ball((rng.uniform(-0.9, 0.9), r, rng.uniform(0.25, 1.0)), r, rng.uniform(0.05, 0.9, 3)))
    for _ in range(rng.integers(0, 3)):  # books that stand against the wall, pictures on it
        w, h = rng.uniform(0.04, 0.3, 2)
        things.append(rectangle((rng.uniform(-0.9, 0.9), rng.uniform(h, 1.0), 1.17), (-w, 0, 0), (0, h, 0), rng.uniform(0.05, 0.9, 3)))
    middle = np.array([rng.uniform(-0.1, 0.1), rng.uniform(0.4, 0.6), rng.uniform(-0.1, 0.1)])
    eye = middle + np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.05, 0.3), -1.0])
    if bearer:
        turn = turned(rng.uniform(-0.4, 0.4), rng.uniform(-0.35, 0.35), rng.uniform(-0.25, 0.25))
        right, up, out = turn @ [1.0, 0, 0], turn @ [0, 1.0, 0], turn @ [0, 0, -1.0]
        h = {"paper": 0.149, "note": 0.05, "phone": 0.07}[bearer]
        w = h * 0.8
        glow = rng.uniform(0.5, 1.1) if bearer == "phone" else 0.0
        things.append(rectangle(middle, right * w, up * h, content, glow, 0.25 if bearer == "phone" else 0.0))
        if bearer == "phone":
            things.append(rectangle(middle - out * 0.004, right * (w + 0.006), up * (h + 0.012), [0.02, 0.02, 0.025], gloss=0.3))
        skin = np.array([0.8, 0.52, 0.4]) * rng.uniform(0.35, 1.1)
        side = rng.choice([-1, 1])
        for finger, reach in enumerate(rng.uniform(0.0, 0.012, 2)):  # a thumb before the page, a finger behind it
            r = 0.011
            root = middle + right * side * (w + 0.02) - up * h * 0.85 + out * (r if finger == 0 else -r)
            for step in np.linspace(0, 1, 9):
                things.append(ball(root - right * side * step * (0.02 + reach) + up * step * 0.015, r, skin, 0.02))
        distance = np.linalg.norm(eye - middle)
        field = 2 * np.arctan(h / distance / share)
        aim = middle + right * h / share * rng.uniform(-0.12, 0.12) + up * h / share * rng.uniform(-0.12, 0.12)
    else:
        field, aim = rng.uniform(0.5, 0.9), middle + np.array([rng.uniform(-0.3, 0.3), rng.uniform(-0.45, -0.1), 0.5])
    warm = rng.uniform(0, 1)
    lamp = (np.array([rng.uniform(-1.2, 1.2), rng.uniform(0.9, 2.0), rng.uniform(-1.5, -0.5)]), rng.uniform(0.05, 0.25),
            rng.uniform(1.2, 2.6) * np.array([1, 1 - 0.15 * warm, 1 - 0.35 * warm]))
    light = trace(rng, things, eye, aim, rng.uniform(-0.15, 0.15), field, lamp, rng.uniform(0.12, 0.45), width, height, finer)
    return develop(rng, light, rng.uniform(0.005, 0.03))


def tint(rng, low, high):
    return np.clip(rng.uniform(low, high) + rng.normal(0, 12, 3), 0, 255).astype(int)


def sheet(rng, bearer, mark, ruling=None):
    """A page in the colours of its bearer."""
    ground, ink = tint(rng, 215, 250), tint(rng, 5, 90)
    if bearer == "note":
        ground = np.array([(250, 230, 110), (250, 170, 190), (170, 230, 170), (150, 215, 250)][rng.integers(4)])
    if bearer == "phone" and rng.random() < 0.5:
        ground, ink = tint(rng, 5, 40), tint(rng, 190, 250)
    elif rng.random() < 0.25:
        ink = np.array([(190, 30, 30), (20, 50, 170), (20, 110, 50)][rng.integers(3)])
    return page(rng, mark, ground, ink, ruling, rng.uniform(0.55, 0.8))


def any_scene(rng, label, width, height):
    """A scene of a class drawn by chance."""
    bearer = ["paper", "note", "phone"][rng.integers(3)]
    ruling = [None, None, None, "ruled", "squared"][rng.integers(5)] if bearer == "paper" else None
    font = list(FONTS)[rng.integers(len(FONTS))]
    if label != "nothing":
        mark = written(rng, int(label), 300) if bearer != "phone" and rng.random() < 0.5 else printed(label, font, 300)
    else:
        kind = rng.random()
        if kind < 0.3:
            return scene(rng, None, None, width, height, 1)
        mark = None if kind < 0.5 else printed(LETTERS[rng.integers(len(LETTERS))], font, 300)
    return scene(rng, bearer, sheet(rng, bearer, mark, ruling), width, height, rng.uniform(0.55, 1.15))


DOZEN = [  # file, bearer, mark (a digit: handwritten; (text, font): printed), ruling, share of the height
    ("zero-on-paper.jpg", "paper", ("0", "caladea"), None, 0.9),
    ("one-handwritten.jpg", "note", 1, None, 0.75),
    ("two-on-phone.jpg", "phone", ("2", "quicksand"), None, 0.9),
    ("three-on-note.jpg", "note", ("3", "comic"), None, 0.7),
    ("four-handwritten.jpg", "paper", 4, "ruled", 0.95),
    ("five-on-paper.jpg", "paper", ("5", "vollkorn"), None, 0.85),
    ("six-on-phone.jpg", "phone", ("6", "roboto"), None, 0.8),
    ("seven-handwritten.jpg", "paper", 7, "squared", 0.9),
    ("eight-on-paper.jpg", "paper", ("8", "yusei"), None, 0.65),
    ("nine-handwritten.jpg", "note", 9, None, 0.9),
    ("nothing-letter-k.jpg", "paper", ("K", "spartan"), None, 0.8),
    ("nothing-desk.jpg", None, None, None, 1),
]


def draw_one(job):
    file, bearer, mark, ruling, share, seed = job
    rng = np.random.default_rng([7, seed])
    if isinstance(mark, int):
        mark = written(rng, mark, 300)
    elif mark:
        mark = printed(*mark, 300)
    content = sheet(rng, bearer, mark, ruling) if bearer else None
    scene(rng, bearer, content, 320, 240, share).save(HERE / file, quality=82)


def draw_sample(job):
    folder, seed, i = job
    label = "nothing" if i % 11 == 10 else str(i % 11)
    (folder / label).mkdir(parents=True, exist_ok=True)
    any_scene(np.random.default_rng([seed, i]), label, 200, 150).save(folder / label / f"{i:04}.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", type=Path, help="draw a labelled set into this folder instead of the dozen pictures")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with multiprocessing.Pool() as pool:
        if args.set:
            pool.map(draw_sample, [(args.set, args.seed, i) for i in range(args.count)], chunksize=10)
        else:
            pool.map(draw_one, [(*row, i) for i, row in enumerate(DOZEN)], chunksize=1)


if __name__ == "__main__":
    main()
