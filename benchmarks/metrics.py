"""How long the metrics take: parts of protocols, whole protocols, and the other metrics, in milliseconds an image.

python -m benchmarks.metrics            random images of BSD100's size, the metrics whose weights are found
SR_DATA=... python -m benchmarks.metrics --bsd100    also BSD100 itself, bicubic against HR, paper + matlab
"""

import argparse
import os
import pathlib
import time

import numpy as np
from PIL import Image

from srgan_jax.images.resize import imresize
from srgan_jax.metrics import PROTOCOLS, Sample, colour, daala, default_scorers, psnr_ssim

BATCH = 4  # pictures that a metric scores at once


def report(what, call, repeats=10, pictures=1):
    call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    print(f"{what:40s} {(time.perf_counter() - start) / repeats / pictures * 1e3:9.1f} ms")


def once(what, call):
    start = time.perf_counter()
    result = call()
    print(f"{what:40s} {time.perf_counter() - start:9.2f} s")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsd100", action="store_true", help="time the whole set under paper + matlab")
    bsd100 = parser.parse_args().bsd100

    for log2_blocks, size in ((16, "0.26"), (18, "1.0"), (20, "4.2")):
        once(f"dither, once, up to {size} megapixels", lambda n=log2_blocks: daala._dither(n))

    sr, hr = np.random.default_rng(0).integers(0, 256, (2, 320, 480, 3), dtype=np.uint8)
    report("imresize x1/4", lambda: imresize(hr, 1 / 4))
    report("imresize x4", lambda: imresize(hr[:80, :120], 4))
    report("luma: png2y4m", lambda: daala.luma(hr))
    report("luma: rgb2ycbcr", lambda: colour.rgb2ycbcr_y(hr))
    report("SSIM: daala", lambda: daala.ssim(sr[..., 0], hr[..., 0]))
    report("SSIM: Wang", lambda: psnr_ssim.ssim(sr[..., 0], hr[..., 0]))
    report("PSNR", lambda: psnr_ssim.psnr(sr[..., 0], hr[..., 0]))
    for protocol in PROTOCOLS.values():
        report(f"protocol {protocol.name}, all of it", lambda score=protocol.score: score(sr, hr, scale=4))
    batch = [Sample(sr, hr, imresize(hr, 1 / 4), scale=4)] * BATCH
    for name, score in default_scorers(protocols=()).items():
        report(f"metric {name}, one of {BATCH}", lambda score=score: score(batch), repeats=3, pictures=BATCH)

    if bsd100:
        pairs = []
        for file in sorted((pathlib.Path(os.environ["SR_DATA"]) / "data/eval/BSD100/HR").glob("*.png")):
            hr, lr = (np.asarray(Image.open(path)) for path in (file, file.parents[1] / "LRx4" / file.name))
            pairs.append((imresize(lr, 4), hr))
        for name in ("paper", "matlab"):
            once(f"BSD100, {name}", lambda score=PROTOCOLS[name].score: [score(*pair, scale=4) for pair in pairs])


if __name__ == "__main__":
    main()
