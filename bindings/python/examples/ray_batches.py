"""Labels a folder of pictures with Ray Data: python ray_batches.py MODEL FOLDER OUT

Each worker opens the model once and is given batches of files; the labels are written to OUT as lines of JSON, and
for a file that is no picture a line with its error. On a cluster nothing changes but the folder, which is then one that
all machines see (`s3://...`), and the number of workers.
"""

import argparse
import io
import os

import PIL.Image
import PIL.ImageOps
import ray

import mobileone

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]


class Label:
    """A worker: one model, many batches."""

    def __init__(self, model, batch):
        self.model = mobileone.Model(model, batch=batch, threads=1, top_k=1)

    def __call__(self, batch):
        opened = [decode(data) for data in batch["bytes"]]
        pictures = [picture for picture, error in opened if error is None]
        best = iter(self.model(pictures) if pictures else [])
        tops = [next(best)[0] if error is None else None for _, error in opened]
        return {
            "path": batch["path"],
            "label": [top and top.label for top in tops],
            "probability": [top and top.probability for top in tops],
            "error": [error for _, error in opened],
        }


def decode(data):
    """The picture in a file's bytes, turned upright; or why there is none."""
    try:
        return PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"), None
    except Exception as error:  # whatever a damaged file makes of a decoder
        return None, f"{type(error).__name__}: {error}"


def main(model, folder, out, batch=8):
    files = ray.data.read_binary_files(folder, file_extensions=SUFFIXES, include_paths=True)
    labels = files.map_batches(
        Label,
        fn_constructor_args=(model, batch),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=os.cpu_count()),
    )
    labels.write_json(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ["model", "folder", "out"]:
        parser.add_argument(name)
    main(**vars(parser.parse_args()))
