"""Trains the digits model from nothing and writes the file that ships.

    python train.py                      # draw the data, train, write the file that ships and curve.png
    python train.py                      # again after an interruption: goes on where it stopped

The recipe is the paper's: SGD with momentum, cosine learning rate, weight decay annealed on the same
cosine, label smoothing, an exponential moving average of the weights, resolution and augmentation
strength that rise on the way, over-parameterized branches.
"""

import argparse
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from timm.utils import ModelEmaV3
from tqdm import tqdm

import data
import model as models


@dataclass(frozen=True)
class Round:
    """Some epochs on one set of pictures, on one cosine from the round's height of the learning rate to 0."""

    epochs: int
    pictures: int
    drawn: int  # side of the pictures as they are drawn
    sizes: tuple  # side of the pictures as they are trained on, in equal shares of the epochs
    seed: int = 0  # of the pictures
    height: float = 1.0  # of the learning rate and of the weight decay above its end, as a share of the recipe's
    strength: tuple = (0.2, 0.7)  # of the augmentation, in the first epoch and in the last
    nothing: float = 1.0  # how often an epoch shows each picture of "nothing"


@dataclass(frozen=True)
class Recipe:
    rounds: tuple = (
        Round(epochs=28, pictures=90000, drawn=64, sizes=(48, 64)),
        Round(epochs=8, pictures=60000, drawn=data.SIZE, sizes=(data.SIZE,), seed=1, height=0.3, strength=(0.5, 0.5), nothing=1.5),
    )
    seed: int = 0
    primer: int = 12000  # easy pictures, seen twice before all others: without them the loss stands still for long
    batch: int = 64
    branches: int = 1  # convolutions per position (the paper's k)
    plain: bool = False  # no branches at all: one conv + BN per position
    lr: float = 0.1
    warmup: float = 0.02  # share of the first round's steps
    decay: float = 1e-4  # weight decay at the start ...
    decay_end: float = 1e-5  # ... and at the end, on the learning rate's cosine
    smoothing: float = 0.1
    ema: float = 0.999


def cosine(progress):
    """1 at the start, 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * progress))


NOISE = np.random.default_rng(0).normal(0, 1, 1 << 20).astype(np.float32)


def augment(rng, picture, size, strength):
    """A picture moved, recoloured and spoilt a little: uint8 [size, size, 3]. Strength 0..1."""
    s, side = strength, picture.shape[0]
    turn, zoom = rng.normal(0, 0.1 * s), np.exp(rng.normal(0, 0.1 * s)) * size / side
    c, q, shear = math.cos(turn), math.sin(turn), rng.normal(0, 0.08 * s)
    a = np.array([[c, -q + shear], [q, c]]) * zoom
    shift = size / 2 - 0.5 + rng.normal(0, 0.05 * s, 2) * size - a @ [side / 2 - 0.5, side / 2 - 0.5]
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_REFLECT_101
    picture = cv2.warpAffine(picture, np.column_stack([a, shift]), (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    if rng.random() < 0.15 * s:  # few pixels, blown up again
        few = int(rng.integers(12, size))
        picture = cv2.resize(picture, (few, few), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    elif rng.random() < 0.15 * s:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.3))
    if rng.random() < 0.1 * s:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    if rng.random() < 0.1 * s:
        ramp = 1 - ramp
    ramp = ramp ** np.exp(rng.normal(0, 0.2 * s)) - 0.5
    ramp = ramp * np.exp(rng.normal(0, 0.2 * s)) * (1 + rng.normal(0, 0.08 * s, 3)) + 0.5 + rng.normal(0, 0.08 * s)
    picture = cv2.LUT(picture, (np.clip(ramp, 0, 1) * 255).astype(np.uint8).reshape(256, 1, 3))
    if rng.random() < 0.3 * s:
        at = rng.integers(len(NOISE) - picture.size)
        noise = NOISE[at : at + picture.size].reshape(picture.shape)
        picture = np.clip(picture + noise * rng.uniform(0, 14), 0, 255).astype(np.uint8)
    if rng.random() < 0.25 * s:  # a speck before the lens
        x, y, w, h = rng.integers(0, size, 2).tolist() + rng.integers(2, max(3, size // 6), 2).tolist()
        picture[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return picture


def ramp(values, epoch, epochs):
    """From the first value in the first epoch to the last in the last."""
    return values[0] + (values[1] - values[0]) * epoch / max(1, epochs - 1)


def order(recipe, index, epoch, labels):
    """Which pictures of a round's set an epoch shows, and the generator to go on with. `epoch` counts from the round's first.

    The first round's set begins with the primer.
    """
    rng = np.random.default_rng([recipe.seed, sum(r.epochs for r in recipe.rounds[:index]) + epoch])
    primer = recipe.primer if index == 0 else 0
    nothing = primer + np.flatnonzero(labels[primer:] == data.NOTHING)
    more = nothing[: round(len(nothing) * (recipe.rounds[index].nothing - 1))]
    shown = rng.permutation(np.concatenate([primer + np.arange(len(labels) - primer), more]))
    if epoch == 0 and primer:
        shown = np.concatenate([np.tile(np.arange(primer), 2), shown])
    return shown, rng


def batches(recipe, index, epoch, pictures, labels):
    """The augmented batches of one epoch, each prepared while the one before is trained on."""
    this = recipe.rounds[index]
    shown, rng = order(recipe, index, epoch, labels)
    size = this.sizes[epoch * len(this.sizes) // this.epochs]
    strength = ramp(this.strength, epoch, this.epochs)

    def prepare(i):
        pick = shown[i * recipe.batch : (i + 1) * recipe.batch]
        x = np.stack([augment(rng, pictures[j], size, strength) for j in pick])
        return models.normalize(x), torch.from_numpy(labels[pick].astype(np.int64))

    count = len(shown) // recipe.batch
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepare, 0)
        for i in range(count):
            batch = ahead.result()
            if i + 1 < count:
                ahead = pool.submit(prepare, i + 1)
            yield batch


def length(recipe, index, epoch, labels):
    """How many batches an epoch has."""
    return len(order(recipe, index, epoch, labels)[0]) // recipe.batch


def drawn_sets(cache, recipe, index):
    """The pictures of a round, drawn where they are not in the cache: to train on, and to validate with."""
    this = recipe.rounds[index]
    parts = [data.load(cache, "train", this.pictures, this.seed, this.drawn)]
    if index == 0:
        parts.insert(0, data.load(cache, "primer", recipe.primer, this.seed, this.drawn))
    training = tuple(np.concatenate(part) for part in zip(*parts))
    return training, data.load(cache, "validation", 6000, size=this.drawn)


def score(model, pictures, labels):
    """Top-1 and recall of "nothing", in per cent."""
    hit = models.predict(model, pictures).argmax(1).numpy() == labels
    nothing = labels == data.NOTHING
    return round(100 * hit.mean().item(), 2), round(100 * hit[nothing].mean().item(), 2)


def train(recipe, sets, folder=None, bar=True):
    """Trains a model: `(model, ema model, history)`, history being one dict per epoch.

    `sets(i)` gives round i's pictures and labels, `(to train on, to validate with)`. With a folder the state is
    kept there after every epoch, and a second call goes on from it.
    """
    torch.manual_seed(recipe.seed)
    model = models.build(recipe.branches, recipe.plain).to(memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=recipe.ema, use_warmup=True)
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]  # batch norm and biases do not decay
    optimizer = torch.optim.SGD([dict(params=weights), dict(params=others)], lr=recipe.lr, momentum=0.9, nesterov=True)
    step, history = 0, []
    state_file = Path(folder) / "state.pt" if folder else None
    if state_file and state_file.exists():
        state = torch.load(state_file, weights_only=False)
        if state["recipe"] != asdict(recipe):
            raise SystemExit(f"{state_file} was written by another recipe: remove it, or choose another --run")
        model.load_state_dict(state["model"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        step, history = state["step"], state["history"]

    for index, this in enumerate(recipe.rounds):
        before = sum(r.epochs for r in recipe.rounds[:index])
        if len(history) >= before + this.epochs:
            continue
        training, validation = sets(index)
        lengths = [length(recipe, index, epoch, training[1]) for epoch in range(this.epochs)]
        if len(history) == before:  # a round begins with the averaged weights of the one before
            model.load_state_dict(ema.module.state_dict())
        for epoch in range(len(history) - before, this.epochs):
            model.train()
            started, total = time.time(), 0.0
            done = sum(lengths[:epoch])
            progress = tqdm(batches(recipe, index, epoch, *training), total=lengths[epoch], disable=not bar,
                            desc=f"round {index + 1}, epoch {epoch + 1}/{this.epochs}", mininterval=2)
            for i, (x, y) in enumerate(progress):
                fall = this.height * cosine((done + i) / sum(lengths))
                rise = min(1, (step + 1) / (recipe.warmup * sum(lengths) + 1))
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * fall * rise
                optimizer.param_groups[0]["weight_decay"] = recipe.decay_end + (recipe.decay - recipe.decay_end) * fall
                loss = torch.nn.functional.cross_entropy(model(x), y, label_smoothing=recipe.smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                ema.update(model, step=step)
                step += 1
                total += loss.item()
                progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            row = dict(round=index + 1, epoch=len(history) + 1, loss=round(total / lengths[epoch], 4), size=x.shape[-1],
                       seconds=round(time.time() - started, 1))
            row["top1"], row["nothing"] = score(model, *validation)
            row["ema_top1"], row["ema_nothing"] = score(ema.module, *validation)
            history.append(row)
            if bar:
                tqdm.write(json.dumps(row))
            if state_file:
                state_file.parent.mkdir(parents=True, exist_ok=True)
                part = state_file.with_suffix(".part")
                torch.save(dict(recipe=asdict(recipe), model=model.state_dict(), ema=ema.module.state_dict(),
                                optimizer=optimizer.state_dict(), step=step, history=history), part)
                part.rename(state_file)
    return model, ema.module, history


def curve(history, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x = [h["epoch"] for h in history]
    figure, left = plt.subplots(figsize=(6.4, 3.4), dpi=100)
    left.plot(x, [h["loss"] for h in history], color="tab:gray", label="training loss (left)")
    left.set(xlabel="epoch", ylabel="loss, augmented and smoothed")
    right = left.twinx()
    right.plot(x, [h["top1"] for h in history], color="tab:orange", lw=1, label="validation top-1")
    right.plot(x, [h["ema_top1"] for h in history], color="tab:blue", label="validation top-1, EMA")
    right.set(ylabel="%", ylim=(max(0, min(h["top1"] for h in history[1:]) - 2) if len(history) > 1 else 0, 100))
    for h, before in zip(history[1:], history):
        if h["size"] != before["size"]:
            left.axvline(h["epoch"] - 0.5, color="lightgray", ls=":")
            left.text(h["epoch"] - 0.4, left.get_ylim()[1], f" {h['size']} px", va="top", fontsize=8, color="gray")
    figure.legend(loc="center right", bbox_to_anchor=(0.88, 0.5), fontsize=8, frameon=False)
    figure.tight_layout()
    figure.savefig(path)


def main():
    recipe = Recipe()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--branches", type=int, default=recipe.branches)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default="cache", help="folder of the drawn pictures")
    parser.add_argument("--run", type=Path, default=Path("runs/digits"), help="folder of the state and the train-form checkpoint")
    parser.add_argument("--out", type=Path, default=models.SHIPPED, help="the fused float16 file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    recipe = replace(recipe, seed=args.seed, branches=args.branches)

    _, ema, history = train(recipe, lambda index: drawn_sets(args.cache, recipe, index), args.run)
    last = history[-1]
    figures = dict(
        pictures=sum(r.pictures for r in recipe.rounds), epochs=len(history), branches=recipe.branches, seed=recipe.seed,
        minutes=round(sum(h["seconds"] for h in history) / 60),
        validation_top1=last["ema_top1"], validation_nothing_recall=last["ema_nothing"],
    )
    models.save(ema, args.run / "train-form.safetensors", figures)
    models.export(ema, args.out, figures)
    (args.run / "history.json").write_text(json.dumps(history))
    curve(history, Path("curve.png"))
    print(json.dumps(figures), f"\n{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
