"""Labels a folder of pictures with Ray Data: python ray_batches.py MODEL FOLDER OUT

Each worker opens the model once and is given batches of files; the labels are written to OUT as lines of JSON. On a
cluster nothing changes but the folder, which is then one that all machines see (`s3://...`), and the number of workers.
"""

import os
import sys

import ray

import mobileone

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]


class Label:
    """A worker: one model, many batches."""

    def __init__(self, model, batch):
        self.model = mobileone.Model(model, batch=batch, threads=1, top_k=1)

    def __call__(self, batch):
        best = [top[0] for top in self.model(list(batch["image"]))]
        return {
            "path": batch["path"],
            "label": [top.label for top in best],
            "probability": [top.probability for top in best],
        }


def main(model, folder, out, batch=8):
    workers = os.cpu_count()
    pictures = ray.data.read_images(folder, file_extensions=SUFFIXES, mode="RGB", include_paths=True)
    labels = pictures.map_batches(
        Label,
        fn_constructor_args=(model, batch),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
    )
    labels.write_json(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
