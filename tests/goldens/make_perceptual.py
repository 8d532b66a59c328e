"""Makes perceptual.json: LPIPS and DISTS of the crops in images.npz by PyTorch, and NIQE of a photograph.

    PYTHONPATH=.:tests python tests/goldens/make_perceptual.py

The networks are small and random (tests/small_networks.py), so that no weights are needed; a bicubic enlargement is
compared with its HR crop. NIQE comes from this package, which tests/test_perceptual.py compares with the published
values where $SR_DATA is present; the photograph comes with scikit-image.
"""

import json
import pathlib

import numpy as np
import perceptual_reference as reference
import skimage.data
import torch
from small_networks import small_dists, small_lpips

from srgan_jax.images.resize import imresize
from srgan_jax.metrics.niqe import niqe

HERE = pathlib.Path(__file__).parent


def main():
    images = np.load(HERE / "images.npz")
    goldens = {"niqe": {"astronaut": niqe([skimage.data.astronaut()])[0]}}
    for name in ("top_left", "bottom_right"):
        pair = (imresize(images[f"{name}_lr"], 4), images[f"{name}_hr"])
        pair = [torch.from_numpy(x.transpose(2, 0, 1)[None] / np.float32(127.5) - 1).float() for x in pair]
        for network in ("alex", "vgg"):
            value = reference.lpips(reference.tensors(small_lpips(network)), *pair, network=network)
            goldens.setdefault(f"lpips_{network}", {})[name] = value.item()
        goldens.setdefault("dists", {})[name] = reference.dists(reference.tensors(small_dists()), *pair).item()
    (HERE / "perceptual.json").write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
