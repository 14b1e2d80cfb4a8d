"""Draws the training set: what a camera sees when somebody holds up one digit, or nothing.

Eleven classes: the digits and "nothing". A picture is drawn in four steps, each a function of its
own: a mark (a glyph of a font, a handwritten digit, or something that is no digit), the sheet or
screen that bears it, the room around, and what light, lens, sensor and JPEG do to all of it.
Nothing is downloaded; the same seed and the same installed fonts give the same pictures.

    python data.py --split validation --count 6000    # draw one set into the cache
    python data.py --sheet sheet.png                  # a sheet of samples to look at
"""

import argparse
import fnmatch
import functools
import hashlib
import multiprocessing
import os
import string
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

LABELS = [*string.digits, "nothing"]
NOTHING = 10
SIZE = 80  # side of what the network takes, pixels; pictures are drawn at any size up to CANVAS
CANVAS = 96  # side of the canvas the scene is drawn on before the lens sees it
MARK = 112  # longer side of a mark's mask

# Family by family, as globs of file names. Clones of one design stand on the same side of the split
# (Nimbus Sans, TeX Gyre Heros, Liberation Sans and FreeSans are all Helvetica's), so that a
# validation font is new in shape and not only in name.
TRAIN_FONTS = """
    agave-* allerta_medium* Andika-* Anonymous?Pro* Apropal* Arapey-* BecauseWeBuild*
    BecauseWeCreate* BecauseWeLearn* BecauseWeMentor* BecauseWeOrganize* Beteckna* Caliban* Caslon*
    Carlito-* Century-Catalogue* CherryBomb* ClearSans-* cmun?? cmunb?? cmunr* cmunss* cmunt*
    cmunv* Comfortaa-* Courier?Prime* C059-* P052-* D050000L DejaVuSans-* DejaVuSansCondensed*
    DejaVuSansMono* DejaVuSerif* Delphine* dkg* Dosis-* DoulosSIL* Dustismo* EBGaramond* El_Abogado*
    Engadget* eurof* FantasqueSansMono* FreeMono* FreeSans* FreeSerif* Gentium* GilliusADF* GNUTypewriter*
    Go-* GoudyBookletter* Hack-* Havana* Humor-Sans* Inconsolata* Inter-* InterDisplay* IrianisADF*
    Isabella* Junction* Jura-* Karla-* KaushanScript* KleeOne* Kristi* Lato-* LeckerliOne*
    LiberationMono* LiberationSans* LiberationSerif* LibrisADF* LinBiolinum* LinLibertine* lobster*
    LobsterTwo* Manrope-* MekanusADF* millimetreA* monof* mononoki-* NationalPark-Regular*
    NationalPark-Heavy* NimbusMono* NimbusRoman* NimbusSans* NotoSans-* NotoSerif-* OpenSans-*
    OCRB.otf OCRBL* OCRBS* okolaks* OpenDyslexic* PenguinAttack* Prociono* Quattrocento* RobotoSlab*
    RocknRollOne* routed-gothic* Rufscript* StayPuft* summersby* texgyre* tiresias*
    TomsonTalks* TribunADF* UniversalisADF* URWBookman* URWGothic* VeranaSans* Z003* 3270*
""".split()
VALIDATION_FONTS = """
    Averia* B612-* BebasNeue-* BecauseWeConnect* [Bb]reip* Cabin-* Caladea-* Cantarell-* CharisSIL-*
    ComicNeue-* DancingScript-* Domestic_Manners* JetBrainsMono-* LeagueSpartan-* OldStandard-*
    osifont* Play-* Quicksand-* RG2014* Roboto-* RobotoCondensed-* Sora-* SteveHand* Tuffy*
    Vollkorn-* YanoneKaffeesatz-* YuseiMagic*
""".split()

# Glyphs that stand for "nothing": none that a person may take for a digit. Left out on purpose:
# O o Q D C c U u a e Ω @ (0 6 9), I l | i j J L r / \\ ! (1), Z z ? Σ (2 3), h y Y t + Ψ Ц Ч (4),
# S s $ (5), G b & (6), T Γ П n ^ > (7), B § (8), g q P p (9).
GLYPHS = "AEFHKMNRVWXkmvwx#%*=~ΔΞДЖИЛШЩ"
WORDS = "HAT MAP NEW WAVE PARK TEN THE AM RAM FARM PAW KNEW HEN MAX NAP VAN WEN EXAM HAM TRAM".split()

# Handwritten digits as pen strokes in a box 1 wide and 1 high, y down, several habits for each.
# A stroke is a smooth curve through its points; a point written twice is a corner.
_C = [(0.5, 0), (0.15, 0.2), (0.05, 0.5), (0.2, 0.85), (0.5, 1), (0.82, 0.85), (0.95, 0.5), (0.8, 0.15)]
STROKES = {
    0: [[[*_C, (0.5, 0.0)]], [[*_C, (0.55, 0.02), (0.35, 0.06)]], [[(0.7, 0.06), *_C[1:], (0.6, 0.03)]]],
    1: [
        [[(0.5, 0), (0.5, 1)]],
        [[(0.2, 0.28), (0.55, 0), (0.55, 0), (0.55, 1)]],
        [[(0.25, 0.22), (0.55, 0), (0.55, 0), (0.55, 1)], [(0.2, 1), (0.9, 1)]],
        [[(0.1, 0.4), (0.6, 0), (0.6, 0), (0.5, 1)]],
    ],
    2: [
        [[(0.08, 0.25), (0.3, 0.02), (0.75, 0.06), (0.85, 0.32), (0.5, 0.68), (0.05, 1), (0.05, 1), (0.95, 1)]],
        [[(0.1, 0.2), (0.45, 0), (0.85, 0.25), (0.55, 0.65), (0.1, 0.97), (0.2, 0.82), (0.5, 0.92), (0.95, 0.95)]],
        [[(0.05, 0.1), (0.5, 0), (0.9, 0.2), (0.6, 0.6), (0.1, 0.95), (0.1, 0.95), (0.95, 0.9)]],
        [[(0.15, 0.3), (0.5, 0), (0.8, 0.3), (0.45, 0.75), (0.08, 0.92), (0.12, 0.75), (0.4, 0.9), (0.7, 1), (1, 0.85)]],
    ],
    3: [
        [[(0.1, 0.12), (0.5, 0), (0.85, 0.2), (0.4, 0.46), (0.4, 0.46), (0.9, 0.68), (0.6, 0.98), (0.05, 0.9)]],
        [[(0.1, 0.02), (0.85, 0.02), (0.85, 0.02), (0.4, 0.4), (0.4, 0.4), (0.9, 0.62), (0.65, 0.97), (0.1, 0.92)]],
        [[(0.1, 0.18), (0.45, 0), (0.8, 0.2), (0.5, 0.45), (0.38, 0.48), (0.6, 0.5), (0.92, 0.75), (0.5, 1), (0.05, 0.82)]],
    ],
    4: [
        [[(0.3, 0), (0.08, 0.55), (0.08, 0.55), (0.95, 0.55)], [(0.7, 0.15), (0.65, 1)]],
        [[(0.65, 1), (0.65, 0), (0.65, 0), (0.05, 0.68), (0.05, 0.68), (0.98, 0.68)]],
        [[(0.15, 0), (0.12, 0.48), (0.12, 0.48), (0.8, 0.48)], [(0.8, 0), (0.8, 1)]],
        [[(0.1, 0.02), (0.1, 0.4), (0.45, 0.55), (0.85, 0.4)], [(0.9, 0), (0.75, 1)]],
    ],
    5: [
        [[(0.85, 0.02), (0.2, 0.02), (0.2, 0.02), (0.15, 0.45), (0.15, 0.45), (0.6, 0.36), (0.92, 0.66), (0.6, 0.98), (0.06, 0.9)]],
        [[(0.22, 0.02), (0.18, 0.42), (0.18, 0.42), (0.65, 0.4), (0.9, 0.7), (0.5, 1), (0.08, 0.88)], [(0.22, 0.02), (0.9, 0)]],
        [[(0.9, 0.02), (0.35, 0.05), (0.35, 0.05), (0.2, 0.42), (0.7, 0.5), (0.75, 0.88), (0.35, 1), (0.05, 0.95)]],
    ],
    6: [
        [[(0.75, 0.02), (0.3, 0.3), (0.08, 0.7), (0.4, 1), (0.88, 0.8), (0.7, 0.5), (0.3, 0.55), (0.1, 0.75)]],
        [[(0.5, 0), (0.15, 0.4), (0.1, 0.8), (0.5, 1), (0.85, 0.78), (0.55, 0.55), (0.15, 0.72)]],
        [[(0.85, 0.1), (0.5, 0.02), (0.15, 0.4), (0.12, 0.8), (0.5, 1), (0.9, 0.75), (0.6, 0.48), (0.2, 0.62)]],
    ],
    7: [
        [[(0.05, 0.04), (0.92, 0.04), (0.92, 0.04), (0.4, 1)]],
        [[(0.05, 0.05), (0.92, 0.02), (0.92, 0.02), (0.35, 1)], [(0.35, 0.52), (0.85, 0.5)]],
        [[(0.08, 0.22), (0.1, 0.04), (0.1, 0.04), (0.92, 0.04), (0.92, 0.04), (0.5, 0.55), (0.42, 1)]],
        [[(0.05, 0.1), (0.5, 0.06), (0.95, 0.02), (0.7, 0.4), (0.5, 1)], [(0.4, 0.5), (0.9, 0.46)]],
    ],
    8: [
        [[(0.8, 0.14), (0.45, 0), (0.15, 0.2), (0.5, 0.46), (0.9, 0.75), (0.5, 1), (0.1, 0.76), (0.5, 0.46), (0.85, 0.2), (0.7, 0.05)]],
        [[(0.5, 0), (0.18, 0.22), (0.5, 0.45), (0.82, 0.22), (0.5, 0)], [(0.5, 0.45), (0.08, 0.72), (0.5, 1), (0.92, 0.72), (0.5, 0.45)]],
        [[(0.9, 0.05), (0.4, 0.02), (0.2, 0.25), (0.75, 0.65), (0.6, 0.98), (0.2, 0.9), (0.3, 0.6), (0.95, 0.1)]],
    ],
    9: [
        [[(0.85, 0.22), (0.45, 0), (0.1, 0.25), (0.4, 0.5), (0.85, 0.25), (0.85, 0.25), (0.8, 1)]],
        [[(0.88, 0.15), (0.4, 0.02), (0.12, 0.3), (0.5, 0.5), (0.88, 0.2), (0.85, 0.65), (0.55, 0.98), (0.15, 0.92)]],
        [[(0.8, 0.2), (0.4, 0), (0.1, 0.28), (0.5, 0.48), (0.85, 0.15), (0.75, 0.55), (0.5, 1)]],
    ],
}


# ---- marks: a mask [H, W] of 0..255, longer side about MARK ---------------------------------------


@functools.cache
def families(split):
    """The installed font files of one split, one list per family: `[[path, ...], ...]`."""
    files = sorted(p for ext in ("ttf", "otf") for root in ("/usr/share/fonts", "/usr/share/texmf/fonts")
                   for p in Path(root).rglob(f"*.{ext}"))
    globs = {"train": TRAIN_FONTS, "validation": VALIDATION_FONTS}[split]
    found = [[str(f) for f in files if fnmatch.fnmatchcase(f.name, g) or f.stem == g] for g in globs]
    found = [family for family in found if family]
    if len(found) < 0.8 * len(globs):
        raise SystemExit(f"{len(found)} of {len(globs)} {split} font families are installed: see train/README.md")
    return found


@functools.lru_cache(maxsize=20000)
def glyph(path, text):
    """The mask of a text in one font, cut to its ink, or None where the font lacks a character."""
    font = ImageFont.truetype(path, MARK if len(text) == 1 else MARK // 2)
    if any(bytes(font.getmask(c)) == bytes(font.getmask("\uffff")) for c in text):
        return None
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left + 4, bottom - top + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, font=font, fill=255)
    box = image.getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < 4:
        return None
    mask = np.asarray(image.crop(box))
    scale = MARK / max(mask.shape)
    return cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def bend(rng, mask):
    """A glyph that no font has: slanted, drawn out, and bent by a smooth field."""
    mask = np.pad(mask, MARK // 6)
    h, w = mask.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    reach = MARK * rng.uniform(0, 0.07)
    dx, dy = (cv2.resize(rng.standard_normal((4, 4)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC) for _ in range(2))
    slant, wide, power = rng.normal(0, 0.12), np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.12))
    u, v = (x - w / 2) / wide + slant * (y - h / 2) + w / 2, (np.clip(y / h, 0, 1) ** np.float32(power)) * h
    bent = cv2.remap(mask, np.float32(u + reach * dx), np.float32(v + reach * dy), cv2.INTER_LINEAR)
    rows, columns = np.flatnonzero(bent.max(1)), np.flatnonzero(bent.max(0))
    if len(rows) < 8 or len(columns) < 4:
        return mask
    return bent[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def from_font(rng, split, text):
    while True:
        family = families(split)
        family = family[rng.integers(len(family))]
        mask = glyph(family[rng.integers(len(family))], text)
        if mask is not None:
            break
    if split == "train" and rng.random() < 0.6:
        mask = bend(rng, mask)
    kind = rng.random()
    if kind < 0.12:  # a fatter pen
        n = rng.integers(2, 5)
        mask = cv2.dilate(np.pad(mask, n), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (n, n)))
    elif kind < 0.17:  # an outline
        n = rng.integers(3, 6)
        fat = cv2.dilate(np.pad(mask, 8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * n + 1, 2 * n + 1)))
        mask = cv2.subtract(fat, np.pad(mask, 8))
    return mask


def smooth(points, n=12):
    """A Catmull-Rom curve through the points: [m, 2]."""
    p = np.vstack([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, n, endpoint=False)[:, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.vstack([curve.reshape(-1, 2), points[-1:]])


def draw_strokes(rng, strokes, width):
    """Pen strokes (lists of curves [m, 2] in a unit box) with a pen of `width` (of the box's height)."""
    every = np.vstack(strokes)
    low, high = every.min(0), every.max(0)
    scale = MARK / max((high - low).max(), 0.2)
    pen = max(2, width * MARK)
    pad = int(pen) + 2
    shape = np.ceil((high - low) * scale).astype(int) + 2 * pad
    mask = np.zeros((shape[1], shape[0]), np.uint8)
    pressure = rng.uniform(0, 0.35)
    for stroke in strokes:
        xy = ((stroke - low) * scale + pad) * 8
        phase = rng.uniform(0, 6.28)
        for i in range(len(xy) - 1):
            w = pen * (1 + pressure * np.sin(phase + i * 0.15))
            a, b = xy[i].round().astype(int), xy[i + 1].round().astype(int)
            cv2.line(mask, a.tolist(), b.tolist(), 255, max(1, round(w)), cv2.LINE_AA, 3)
    return mask


def handwritten(rng, digit):
    habits = STROKES[digit]
    strokes = habits[rng.integers(len(habits))]
    slant, jitter = rng.normal(0.08, 0.17), rng.uniform(0.01, 0.055)
    aspect = rng.uniform(0.45, 1.0) * (0.75 if digit == 1 else 1)
    drift = rng.normal(0, 0.05, 2)
    curves = []
    for stroke in strokes:
        p = np.array(stroke, float)
        moved = np.round(p, 3)
        noise = {tuple(q): rng.normal(0, jitter, 2) for q in moved}  # a corner's two points move together
        p = p + np.array([noise[tuple(q)] for q in moved])
        p = smooth(p)
        p[:, 0] += drift[0] * np.sin(3 * p[:, 1] + 6 * drift[1])
        p[:, 0] = p[:, 0] * aspect - slant * p[:, 1]
        curves.append(p)
    return draw_strokes(rng, curves, np.exp(rng.uniform(np.log(0.03), np.log(0.18))))


def scribble(rng):
    p = np.cumsum(rng.normal(0, 0.4, (rng.integers(14, 40), 2)), 0)
    p = (p - p.min(0)) / np.ptp(p, axis=0).max()
    return draw_strokes(rng, [smooth(p, 6)], rng.uniform(0.015, 0.05))


def shape(rng):
    """A filled polygon, a star, a cross or a zigzag."""
    mask = np.zeros((MARK + 8, MARK + 8), np.uint8)
    kind, n, c = rng.integers(4), rng.integers(3, 7), MARK / 2 + 4
    turn = rng.uniform(0, 6.28) + np.linspace(0, 6.28, 2 * n, endpoint=False)
    if kind < 2:
        radius = np.where(np.arange(2 * n) % 2, MARK / 2 * (rng.uniform(0.3, 0.6) if kind else 0.85), MARK / 2)
        points = c + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
        cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == 2:
        w = int(rng.integers(4, 24))
        cv2.line(mask, (8, 8), (MARK, MARK), 255, w, cv2.LINE_AA)
        cv2.line(mask, (8, MARK), (MARK, 8), 255, w, cv2.LINE_AA)
    else:
        x = np.linspace(4, MARK, rng.integers(6, 12))
        y = np.where(np.arange(len(x)) % 2, rng.uniform(10, 40), rng.uniform(70, MARK))
        cv2.polylines(mask, [np.stack([x, y], 1).astype(np.int32)], False, 255, int(rng.integers(3, 9)), cv2.LINE_AA)
    return mask


def no_digit(rng, split):
    """A mark that nobody takes for a digit, or None."""
    kind = rng.random()
    if kind < 0.45:
        return from_font(rng, split, GLYPHS[rng.integers(len(GLYPHS))])
    if kind < 0.6:
        return from_font(rng, split, WORDS[rng.integers(len(WORDS))])
    if kind < 0.7:
        return scribble(rng)
    if kind < 0.78:
        return shape(rng)
    return None


# ---- the scene: float32 RGB [CANVAS, CANVAS, 3], 0..1 ---------------------------------------------


def field(rng, cells, channels=1):
    """Smooth noise of mean 0, about -1..1."""
    small = rng.standard_normal((cells, cells, channels)).astype(np.float32)
    return cv2.resize(small, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC).reshape(CANVAS, CANVAS, channels)


def colour(rng, low=0.0, high=1.0):
    """A colour of a brightness between low and high, more often pale than gaudy."""
    value = rng.uniform(low, high)
    tint = rng.normal(0, rng.choice([0.015, 0.06, 0.25]), 3)
    return np.clip(value + tint - tint.mean(), 0, 1).astype(np.float32)


def room(rng):
    """Background: a wall, cloth, stripes, or a clutter of things, sharp or out of focus."""
    image = np.broadcast_to(colour(rng), (CANVAS, CANVAS, 3)).copy()
    image += field(rng, 2) * rng.uniform(0, 0.2) + field(rng, rng.integers(3, 24), 3) * rng.uniform(0, 0.12)
    if rng.random() < 0.15:
        turn, period = rng.uniform(0, np.pi), rng.uniform(4, 40)
        y, x = np.mgrid[:CANVAS, :CANVAS]
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * (6.28 / period) + rng.uniform(0, 6.28))
        image += np.clip(wave * rng.choice([1, 6]), -1, 1)[..., None].astype(np.float32) * (colour(rng) - 0.5) * 0.6
    for _ in range(rng.choice([0, 0, 2, 5, 12])):
        c, pos = colour(rng).tolist(), rng.integers(-20, CANVAS + 20, (4, 2)).astype(np.int32)
        kind = rng.random()
        if kind < 0.5:
            box = cv2.boxPoints((pos[0].tolist(), rng.uniform(6, 70, 2).tolist(), rng.uniform(0, 90)))
            cv2.fillPoly(image, [box.astype(np.int32)], c, cv2.LINE_AA)
        elif kind < 0.7:
            cv2.ellipse(image, pos[0].tolist(), rng.integers(4, 36, 2).tolist(), rng.uniform(0, 180), 0, 360, c, -1, cv2.LINE_AA)
        elif kind < 0.85:
            cv2.line(image, pos[0].tolist(), pos[1].tolist(), c, int(rng.integers(1, 5)), cv2.LINE_AA)
        else:
            cv2.fillConvexPoly(image, cv2.convexHull(pos)[:, 0], c, cv2.LINE_AA)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 5))
    return image


def pose(rng, mask, least=0.3):
    """Where a mark stands: the homography of its mask's pixels to the canvas, and its size in mask pixels.

    Turned up to 25 degrees, tilted, its longer extent `least` to 90 % of the frame, anywhere inside it.
    """
    h, w = mask.shape
    turn, tilt = np.deg2rad(np.clip(rng.normal(0, 10), -25, 25)), rng.normal(0, 0.14, 2)
    centre = np.array([[1, 0, -w / 2], [0, 1, -h / 2], [0, 0, max(h, w)]])
    lens = np.array([[1, 0, 0], [0, 1, 0], [*np.clip(tilt, -0.35, 0.35), 1]])
    c, s = np.cos(turn), np.sin(turn)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([rng.uniform(0.8, 1.25), 1, 1]) @ lens @ centre
    corners = cv2.perspectiveTransform(np.float64([[[0, 0], [w, 0], [w, h], [0, h]]]), turned)[0]
    low, high = corners.min(0), corners.max(0)
    scale = CANVAS * rng.uniform(least, 0.9) / (high - low).max()
    room_left = CANVAS - (high - low) * scale
    middle = np.clip(rng.normal(0.5, 0.25, 2), 0.02, 0.98)
    move = room_left * middle - low * scale
    return np.array([[scale, 0, move[0]], [0, scale, move[1]], [0, 0, 1]]) @ turned


def warp(mask, homography):
    return cv2.warpPerspective(mask, homography, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR)[..., None] / np.float32(255)


def inks(rng):
    """Paper and ink, told apart by at least a fifth of the range, either one the brighter."""
    while True:
        kind = rng.random()
        if kind < 0.5:
            paper, ink = colour(rng, 0.55, 1.0), colour(rng, 0.0, 0.45)
        elif kind < 0.75:
            paper, ink = colour(rng, 0.0, 0.35), colour(rng, 0.45, 1.0)
        else:
            paper, ink = colour(rng), colour(rng)
        if abs(float((paper - ink).mean())) > 0.2:
            return paper, ink


def place(rng, image, mask):
    """Lays a sheet or screen with the mark on it over the picture; without a mark the sheet is bare.

    Gives the picture and the mark's share of each pixel, [CANVAS, CANVAS, 1].
    """
    paper, ink = inks(rng)
    bare = mask is None
    mask = np.zeros((MARK, MARK // 2), np.uint8) if bare else mask
    h, w = mask.shape
    homography = pose(rng, mask)
    if rng.random() < 0.85:
        margin = MARK * np.exp(rng.uniform(np.log(0.12), np.log(4), 4))
        x0, y0, x1, y1 = -margin[0], -margin[1], w + margin[2], h + margin[3]
        corners = cv2.perspectiveTransform(np.float64([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]]), homography)[0]
        sheet = np.zeros((CANVAS, CANVAS), np.float32)
        cv2.fillPoly(sheet, [np.clip(corners * 16, -30000, 30000).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
        sheet = sheet[..., None]
        if rng.random() < 0.3:  # its shadow on what lies behind
            drop = np.roll(sheet[..., 0], rng.integers(-8, 9, 2), (0, 1))
            image = image * (1 - rng.uniform(0.2, 0.6) * cv2.GaussianBlur(drop, (0, 0), rng.uniform(1, 5))[..., None])
        surface = paper + field(rng, rng.integers(2, 40)) * rng.uniform(0, 0.05)
        if rng.random() < 0.2:  # ruled or squared paper
            lines = np.zeros((h * 3, w * 3), np.uint8)
            step, pen = int(rng.integers(10, 50)), int(rng.integers(1, 4))
            lines[::step] = 255
            if rng.random() < 0.5:
                lines[:, ::step] = 255
            lines = cv2.dilate(lines, np.ones((pen, pen), np.uint8))
            shift = np.array([[1, 0, -w], [0, 1, -h], [0, 0, 1]])
            surface = surface + warp(lines, homography @ shift) * (colour(rng) - paper) * rng.uniform(0.15, 0.5)
        if rng.random() < 0.15:  # a screen's or frame's edge
            edge = (1 - cv2.erode(sheet, np.ones((7, 7)))[..., None]) * sheet
            surface = surface * (1 - edge) + colour(rng) * edge
        image = image * (1 - sheet) + surface * sheet
        if rng.random() < 0.15 and not bare:  # a thumb on the sheet's rim
            x, y = corners[rng.integers(4)] * 0.6 + corners[rng.integers(4)] * 0.4
            skin = np.array([0.85, 0.62, 0.5]) * rng.uniform(0.35, 1.1)
            thumb = np.zeros((CANVAS, CANVAS), np.float32)
            spot = (int(np.clip(x, -50, 150)), int(np.clip(y, -50, 150)))
            cv2.ellipse(thumb, spot, rng.integers(5, 12, 2).tolist(), rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
            image = image * (1 - thumb[..., None]) + skin.astype(np.float32) * thumb[..., None]
    else:  # written straight on the wall: let the ink stand out from it
        image = image * 0.25 + paper * 0.75
    alpha = warp(mask, homography) * (1 if rng.random() < 0.7 else rng.uniform(0.6, 1))
    if rng.random() < 0.08:  # a thing that stands off its ground: the mark's own shadow
        drop = cv2.GaussianBlur(np.roll(alpha[..., 0], rng.integers(-4, 5, 2), (0, 1)), (0, 0), rng.uniform(0.5, 2.5))
        image = image * (1 - 0.5 * drop[..., None])
    return image * (1 - alpha) + ink * alpha, alpha


def photograph(rng, image, size):
    """Light, lens, sensor and JPEG: the canvas becomes a picture, uint8 [size, size, 3]."""
    if rng.random() < 0.4:  # a lamp to one side
        image = image * (1 + field(rng, 2) * rng.uniform(0, 0.3))
    if rng.random() < 0.25:  # somebody's shadow
        turn, y, x = rng.uniform(0, 6.28), *np.mgrid[:CANVAS, :CANVAS] / np.float32(CANVAS)
        side = (x - rng.uniform(0, 1)) * np.cos(turn) + (y - rng.uniform(0, 1)) * np.sin(turn)
        image = image * (1 - rng.uniform(0.2, 0.6) / (1 + np.exp(np.clip(-side * rng.choice([8, 40, 160]), -30, 30)))[..., None])
    blur = rng.random()
    if blur < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.2))
    elif blur < 0.35:  # the hand moved
        n = int(rng.integers(3, 8))
        kernel = cv2.warpAffine(np.eye(n, dtype=np.float32), cv2.getRotationMatrix2D((n / 2 - 0.5, n / 2 - 0.5), rng.uniform(0, 180), 1), (n, n))
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-3))
    image = cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    image = image * rng.uniform(0.7, 1.15) * (1 + rng.normal(0, 0.04, 3))
    image = np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.2))
    image = image + rng.standard_normal(image.shape) * rng.choice([0.004, 0.012, 0.03])
    image = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    if rng.random() < 0.5:
        jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])[1]
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return image


def thumbnail(rng, mask):
    """A mark scanned on few pixels and blown up again, as small old pictures of writing are."""
    paper, ink = inks(rng)
    h, w = mask.shape
    side = int(max(h, w) * rng.uniform(1.0, 1.5))
    square = np.zeros((side, side), np.uint8)
    y, x = rng.integers(0, side - h + 1), rng.integers(0, side - w + 1)
    square[y : y + h, x : x + w] = mask
    few = int(rng.integers(8, 20))
    square = cv2.resize(square, (few, few), interpolation=cv2.INTER_AREA)
    up = rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])
    alpha = cv2.resize(square, (CANVAS, CANVAS), interpolation=int(up))[..., None] / np.float32(255)
    return np.broadcast_to(paper, (CANVAS, CANVAS, 3)) * (1 - alpha) + ink * alpha, alpha


def legible(picture, alpha):
    """Whether the mark still stands out from what surrounds it: dark, blur and noise can swallow it."""
    mark = cv2.resize(alpha, picture.shape[:2], interpolation=cv2.INTER_AREA)
    ink = mark > min(0.5, 0.6 * mark.max())
    near = ink.astype(np.uint8)
    ring = cv2.dilate(near, np.ones((9, 9))) > cv2.dilate(near, np.ones((3, 3)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return abs(grey[ink].mean() - grey[ring].mean()) > max(36, 1.3 * grey[ring].std())


def digit(rng, split, label):
    """The scene of one digit and its mark's share of each pixel. Validation digits come from fonts alone."""
    if split == "train" and rng.random() < 0.45:
        mask, tiny = handwritten(rng, label), 0.25
    else:
        mask, tiny = from_font(rng, split, str(label)), 0.08 if split == "train" else 0
    return thumbnail(rng, mask) if rng.random() < tiny else place(rng, room(rng), mask)


def primer(rng, label, size):
    """An easy picture: a large dark mark on a bright flat sheet that fills the frame."""
    if label == NOTHING:
        mask = no_digit(rng, "train")
    else:
        mask = handwritten(rng, label) if rng.random() < 0.3 else from_font(rng, "train", str(label))
    alpha = 0 if mask is None else warp(mask, pose(rng, mask, 0.5))
    image = np.broadcast_to(colour(rng, 0.7, 1), (CANVAS, CANVAS, 3)) * (1 - alpha) + colour(rng, 0, 0.3) * alpha
    image = cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def draw(rng, split, label, size=SIZE):
    """One picture of a class."""
    if split == "primer":
        return primer(rng, label, size)
    if label == NOTHING:
        mask = no_digit(rng, split)
        bare = mask is None and rng.random() < 0.6
        return photograph(rng, room(rng) if bare else place(rng, room(rng), mask)[0], size)
    while True:
        scene, alpha = digit(rng, split, label)
        picture = photograph(rng, scene, size)
        if legible(picture, alpha):
            return picture


# ---- sets -----------------------------------------------------------------------------------------

CHUNK = 500  # pictures drawn from one generator
NOTHING_SHARE = 1 / 6


def chunk(job):
    split, seed, size, index, count = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, index, ["validation", "train", "primer"].index(split)])
    labels = np.where(rng.random(count) < NOTHING_SHARE, NOTHING, rng.integers(0, 10, count)).astype(np.uint8)
    return np.stack([draw(rng, split, int(label), size) for label in labels]), labels


def make(split, count, seed=0, size=SIZE, workers=None):
    """`(pictures uint8 [count, size, size, 3], labels uint8 [count])`, the same for the same arguments."""
    jobs = [(split, seed, size, i, min(CHUNK, count - i * CHUNK)) for i in range(-(-count // CHUNK))]
    with multiprocessing.Pool(workers or os.cpu_count()) as pool:
        parts = list(tqdm(pool.imap(chunk, jobs), total=len(jobs), desc=f"draw {split}", unit_scale=CHUNK, unit=" pictures"))
    return np.concatenate([p for p, _ in parts]), np.concatenate([l for _, l in parts])


@functools.cache
def edition():
    """A few letters that change with this script and with the fonts it finds."""
    fonts = [families(split) for split in ("train", "validation")]
    return hashlib.sha256(Path(__file__).read_bytes() + repr(fonts).encode()).hexdigest()[:8]


def load(folder, split, count, seed=0, size=SIZE):
    """A set from the cache, drawn first where this edition of it is not there yet."""
    path = Path(folder) / f"{split}-{count}-{seed}-{size}-{edition()}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures, labels = make(split, count, seed, size)
        part = path.with_suffix(".part.npz")
        np.savez(part, pictures=pictures, labels=labels)
        part.rename(path)
    with np.load(path) as data:
        return data["pictures"], data["labels"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", type=Path, help="write one sheet of samples here and stop")
    parser.add_argument("--split", default="train", choices=["train", "validation", "primer"])
    parser.add_argument("--out", default="cache", help="folder of the cached sets")
    parser.add_argument("--count", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.sheet:
        rng = np.random.default_rng(args.seed)
        rows = [np.hstack([draw(rng, args.split, label) for _ in range(16)]) for label in range(11)]
        Image.fromarray(np.vstack(rows)).save(args.sheet)
    else:
        load(args.out, args.split, args.count, args.seed)


if __name__ == "__main__":
    main()
