"""Labels a folder of pictures with Ray Data: python ray_batches.py MODEL FOLDER OUT

Each worker opens the model once and is given batches of files; the labels are written to OUT as lines of JSON, and
for a file that is no picture a line with its error. On a cluster nothing changes but the folder, which is then one that
all machines see (`s3://...`), and the number of workers.
"""

import argparse
import os

import ray

import mobileone

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]


class Label:
    """A worker: one model, many batches."""

    def __init__(self, model, batch):
        self.model = mobileone.Model(model, batch=batch, threads=1, top_k=1)

    def __call__(self, batch):
        found = self.model(list(batch["bytes"]), errors="return")
        refused = [isinstance(one, Exception) for one in found]
        return {
            "path": batch["path"],
            "label": [None if bad else one[0].label for one, bad in zip(found, refused)],
            "probability": [None if bad else one[0].probability for one, bad in zip(found, refused)],
            "error": [str(one) if bad else None for one, bad in zip(found, refused)],
        }


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
