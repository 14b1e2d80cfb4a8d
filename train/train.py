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
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from timm.utils import ModelEmaV3
from tqdm import tqdm

import data
import model as models


@dataclass
class Recipe:
    seed: int = 0
    primer: int = 12000  # easy pictures, seen twice before all others: without them the loss stands still for long
    pictures: int = 90000
    epochs: int = 28
    batch: int = 64
    branches: int = 1  # convolutions per position (the paper's k)
    plain: bool = False  # no branches at all: one conv + BN per position
    lr: float = 0.1
    warmup: float = 0.02  # share of the steps
    decay: float = 1e-4  # weight decay at the start ...
    decay_end: float = 1e-5  # ... and at the end, on the learning rate's cosine
    smoothing: float = 0.1
    ema: float = 0.999
    sizes: tuple = (48, 64)  # side of the training pictures, in equal shares of the epochs


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


def length(recipe, epoch):
    """How many batches an epoch has."""
    return (recipe.pictures + (2 * recipe.primer if epoch == 0 else 0)) // recipe.batch


def batches(recipe, epoch, pictures, labels):
    """The augmented batches of one epoch, each prepared while the one before is trained on.

    The first `recipe.primer` pictures of the set are the primer.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    order = recipe.primer + rng.permutation(recipe.pictures)
    if epoch == 0:
        order = np.concatenate([np.tile(np.arange(recipe.primer), 2), order])
    size = recipe.sizes[epoch * len(recipe.sizes) // recipe.epochs]
    strength = 0.2 + 0.5 * epoch / max(1, recipe.epochs - 1)

    def prepare(i):
        pick = order[i * recipe.batch : (i + 1) * recipe.batch]
        x = np.stack([augment(rng, pictures[j], size, strength) for j in pick])
        return models.normalize(x), torch.from_numpy(labels[pick].astype(np.int64))

    count = length(recipe, epoch)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepare, 0)
        for i in range(count):
            batch = ahead.result()
            if i + 1 < count:
                ahead = pool.submit(prepare, i + 1)
            yield batch


def training_set(cache, recipe, seed=0):
    """The primer and, behind it, the training pictures."""
    parts = [data.load(cache, "primer", recipe.primer, seed), data.load(cache, "train", recipe.pictures, seed)]
    return tuple(np.concatenate(part) for part in zip(*parts))


def score(model, pictures, labels):
    """Top-1 and recall of "nothing", in per cent."""
    hit = models.predict(model, pictures).argmax(1).numpy() == labels
    nothing = labels == data.NOTHING
    return round(100 * hit.mean().item(), 2), round(100 * hit[nothing].mean().item(), 2)


def train(recipe, training, validation, folder=None, bar=True):
    """Trains a model: `(model, ema model, history)`, history being one dict per epoch.

    With a folder the state is kept there after every epoch, and a second call goes on from it.
    """
    torch.manual_seed(recipe.seed)
    model = models.build(recipe.branches, recipe.plain).to(memory_format=torch.channels_last)
    ema = ModelEmaV3(model, decay=recipe.ema, use_warmup=True)
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]  # batch norm and biases do not decay
    optimizer = torch.optim.SGD([dict(params=weights), dict(params=others)], lr=recipe.lr, momentum=0.9, nesterov=True)
    steps = sum(length(recipe, epoch) for epoch in range(recipe.epochs))
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

    for epoch in range(len(history), recipe.epochs):
        model.train()
        started, total = time.time(), 0.0
        progress = tqdm(batches(recipe, epoch, *training), total=length(recipe, epoch), disable=not bar,
                        desc=f"epoch {epoch + 1}/{recipe.epochs}", mininterval=2)
        for x, y in progress:
            fall = cosine(step / steps)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * fall * min(1, (step + 1) / (recipe.warmup * steps + 1))
            optimizer.param_groups[0]["weight_decay"] = recipe.decay_end + (recipe.decay - recipe.decay_end) * fall
            loss = torch.nn.functional.cross_entropy(model(x), y, label_smoothing=recipe.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ema.update(model, step=step)
            step += 1
            total += loss.item()
            progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        row = dict(epoch=epoch + 1, loss=round(total / length(recipe, epoch), 4), size=x.shape[-1], seconds=round(time.time() - started, 1))
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
    for name in ("seed", "pictures", "epochs", "branches"):
        parser.add_argument(f"--{name}", type=int, default=getattr(recipe, name))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default="cache", help="folder of the drawn pictures")
    parser.add_argument("--run", type=Path, default=Path("runs/digits"), help="folder of the state and the train-form checkpoint")
    parser.add_argument("--out", type=Path, default=models.SHIPPED, help="the fused float16 file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    for name in ("seed", "pictures", "epochs", "branches"):
        setattr(recipe, name, getattr(args, name))

    started = time.time()
    validation = data.load(args.cache, "validation", 6000)
    training = training_set(args.cache, recipe)
    drawn = time.time() - started
    _, ema, history = train(recipe, training, validation, args.run)
    last = history[-1]
    figures = dict(
        pictures=recipe.pictures, epochs=recipe.epochs, branches=recipe.branches, seed=recipe.seed,
        minutes=round((drawn + sum(h["seconds"] for h in history)) / 60),
        validation_top1=last["ema_top1"], validation_nothing_recall=last["ema_nothing"],
    )
    models.save(ema, args.run / "train-form.safetensors", figures)
    models.export(ema, args.out, figures)
    curve(history, Path("curve.png"))
    print(json.dumps(figures), f"\n{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
