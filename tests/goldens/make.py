"""Makes images.npz and scores.json: small crops of Set5 and Set14 images (SelfExSR release) and what they score.

    SR_DATA=... python tests/goldens/make.py

The LR crops are cut out of the release's files, so they are MATLAB's own. The scores come from this package, which
tests/test_metrics.py compares with the paper's Table 2 on the whole sets; they hold it there where the sets are absent.
"""

import json
import os
import pathlib

import numpy as np
from PIL import Image

from srgan_jax.images.resize import imresize
from srgan_jax.metrics import PROTOCOLS, daala

HERE = pathlib.Path(__file__).parent
# name: (set, image, LR rows, LR columns). The corners hold the border rule to account; odd sides the dither's last row.
CROPS = {
    "top_left": ("Set5", "img_003", slice(0, 16), slice(0, 14)),
    "bottom_right": ("Set14", "img_002", slice(-14, None), slice(-16, None)),
    "grey": ("Set14", "img_003", slice(40, 56), slice(60, 74)),
}


def main():
    images, scores = {}, {}
    for name, (dataset, stem, *window) in CROPS.items():
        folder = pathlib.Path(os.environ["SR_DATA"]) / "data" / "eval" / dataset
        hr, lr = (np.asarray(Image.open(folder / kind / f"{stem}.png")) for kind in ("HR", "LRx4"))
        rows, columns = (range(n)[part] for n, part in zip(lr.shape, window, strict=False))
        hr = hr[4 * rows.start : 4 * rows.stop, 4 * columns.start : 4 * columns.stop]
        lr = lr[rows.start : rows.stop, columns.start : columns.stop]
        images |= {f"{name}_hr": hr, f"{name}_lr": lr, f"{name}_luma": daala.luma(hr[:-1, :-3])}
        scores[name] = {key: protocol.score(imresize(lr, 4), hr, scale=4) for key, protocol in PROTOCOLS.items()}
    np.savez_compressed(HERE / "images.npz", **images)
    (HERE / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
