"""Evaluates a checkpoint on labelled sets, with PyTorch and with the mobileone program.

    python evaluate.py validation load_digits         # the drawn set; scikit-learn's 1,797 handwritten digits
    python evaluate.py DIR                            # DIR/<label>/*.png, as demo/images/draw.py --set writes
    python evaluate.py validation --device vulkan --dtype f16

The pictures are written as PNG files first, one folder per class, so that both read the same bytes.
Prints one JSON object per set: top-1 and recall of "nothing" by PyTorch and by the program, and on how
many pictures the two agree.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import data
import model as models

COUNT = 6000  # pictures of the validation set


def write(folder, pictures, names):
    """One PNG per picture in the folder of its class, once: a folder that is full is left alone."""
    if len(list(folder.glob("*/*.png"))) == len(pictures):
        return
    shutil.rmtree(folder, ignore_errors=True)
    for i, (picture, name) in enumerate(zip(pictures, names)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name / f"{i:05}.png")


def load_digits():
    """The 8x8 digits as they come, white on black, in a margin of two of their pixels, blown up bicubically."""
    from sklearn.datasets import load_digits

    small = load_digits()
    pictures = []
    for image in small.images:
        grey = Image.fromarray(np.pad(image * (255 / 16), 2).round().astype(np.uint8))
        pictures.append(np.asarray(grey.resize((data.SIZE, data.SIZE), Image.BICUBIC).convert("RGB")))
    return pictures, [str(label) for label in small.target]


def preprocess(image, about):
    """Short side to size / crop_pct, bilinear with antialiasing, then the centre crop: uint8 [size, size, 3]."""
    side = about["preprocess"]["size"][0]
    short = int(side / about["preprocess"]["crop_pct"])
    w, h = image.size
    if min(w, h) != short:
        w, h = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
        image = image.resize((w, h), Image.BILINEAR)
    x, y = round((w - side) / 2), round((h - side) / 2)
    return np.asarray(image.crop((x, y, x + side, y + side)))


def by_torch(path, files):
    model, about = models.open_model(path)
    pictures = np.stack([preprocess(Image.open(f).convert("RGB"), about) for f in files])
    return models.predict(model, pictures).argmax(1).numpy()


def by_program(args, files, folder):
    """The program's own accuracy and its label for every picture."""
    options = ["--model", args.model, "--device", args.device, "--dtype", args.dtype]

    def call(*words):
        done = subprocess.run([args.mobileone, *words], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{args.mobileone} {words[0]} failed with status {done.returncode}")
        return done.stdout

    counted = json.loads(call("eval", str(folder), *options, "--json"))
    labels = {}
    for i in range(0, len(files), 500):
        for line in call("classify", "--jsonl", *options, *map(str, files[i : i + 500])).splitlines():
            row = json.loads(line)
            labels[Path(row["image"]).resolve()] = data.LABELS.index(row["top"][0]["label"])
    return counted, np.array([labels[f.resolve()] for f in files])


def confusion(truth, guess, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table = np.zeros((11, 11), int)
    np.add.at(table, (truth, guess), 1)
    figure, axes = plt.subplots(figsize=(5.6, 5.2), dpi=100)
    axes.imshow(np.log1p(table), cmap="Blues")
    for (i, j), n in np.ndenumerate(table):
        if n:
            axes.text(j, i, n, ha="center", va="center", fontsize=8, color="white" if i == j else "black")
    ticks = [*data.LABELS[:10], "none"]
    axes.set(xticks=range(11), yticks=range(11), xticklabels=ticks, yticklabels=ticks, xlabel="read as", ylabel="is")
    figure.tight_layout()
    figure.savefig(path)


def rates(truth, guess):
    nothing = truth == data.NOTHING
    out = {"top1": round(100 * float((truth == guess).mean()), 2)}
    if nothing.any():
        out["nothing_recall"] = round(100 * float((guess[nothing] == data.NOTHING).mean()), 2)
    return out


def evaluate(args, name):
    folder = args.cache / f"{name}-{data.edition()}"
    if name == "validation":
        pictures, labels = data.load(args.cache, "validation", COUNT)
        write(folder, pictures, [data.LABELS[label] for label in labels])
    elif name == "load_digits":
        write(folder, *load_digits())
    else:
        folder = Path(name)
    files = sorted(p for p in folder.glob("*/*") if p.suffix in (".png", ".jpg"))
    truth = np.array([data.LABELS.index(f.parent.name) for f in files])

    guess = by_torch(args.model, files)
    report = {"set": name, "pictures": len(files), "torch": rates(truth, guess)}
    if args.mobileone:
        counted, said = by_program(args, files, folder)
        report |= {"device": counted["device"], "dtype": counted["dtype"]}
        report["program"] = rates(truth, said) | {"eval_top1": counted["top1"], "images_per_second": counted["images_per_second"]}
        report["agreement"] = round(100 * float((guess == said).mean()), 2)
        guess = said
    if args.confusion:
        confusion(truth, guess, args.confusion)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="SET", help='"validation", "load_digits", or a folder with one folder per label')
    parser.add_argument("--model", default=models.SHIPPED, help="in train form or fused")
    parser.add_argument("--mobileone", default="../target/release/mobileone", help="the program; empty: PyTorch alone answers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--confusion", type=Path, help="draw the confusion matrix here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.sets:
        print(json.dumps(evaluate(args, name)), flush=True)


if __name__ == "__main__":
    main()
