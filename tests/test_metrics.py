import itertools
import json
import math
import pathlib

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srgan_jax.images.resize import imresize, nearest
from srgan_jax.metrics import PROTOCOLS, colour, daala, psnr_ssim

FOLDER = pathlib.Path(__file__).parent / "goldens"
GOLDENS = np.load(FOLDER / "images.npz")
SCORES = json.loads((FOLDER / "scores.json").read_text())
BASELINES = {"nearest": nearest, "bicubic": imresize}

# (PSNR, SSIM) as printed: the paper's Table 2, and what the MATLAB convention gives for bicubic.
PUBLISHED = {
    ("paper", "nearest"): {"Set5": ("26.26", "0.7552"), "Set14": ("24.64", "0.7100"), "BSD100": ("25.02", "0.6606")},
    ("paper", "bicubic"): {"Set5": ("28.43", "0.8211"), "Set14": ("25.99", "0.7486"), "BSD100": ("25.94", "0.6935")},
    ("matlab", "bicubic"): {
        "Set5": ("28.418", "0.8101"),
        "Set14": ("25.993", "0.7023"),
        "BSD100": ("25.957", "0.6672"),
    },
}


def random_pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, shape)
    return np.clip(hr + rng.integers(-40, 41, shape), 0, 255).astype(np.uint8), hr.astype(np.uint8)


def digits(value, like):
    return f"{value:.{len(like.partition('.')[2])}f}"


# --- the published numbers ---


@pytest.mark.parametrize("dataset", ["Set5", "Set14", pytest.param("BSD100", marks=pytest.mark.slow)])
def test_baselines_equal_the_published_numbers_to_the_printed_digit(shared, dataset):
    scores = {key: [] for key in PUBLISHED}
    for file in sorted((shared / "data" / "eval" / dataset / "HR").glob("*.png")):
        hr, lr = (np.asarray(Image.open(path)) for path in (file, file.parents[1] / "LRx4" / file.name))
        for method, enlarge in BASELINES.items():
            sr = enlarge(lr, 4)
            for protocol in ("paper", "matlab"):
                if (protocol, method) in scores:
                    score = PROTOCOLS[protocol].score(sr, hr, scale=4)
                    scores[protocol, method].append((score["psnr"], score["ssim"]))
    for key, values in scores.items():
        expected = PUBLISHED[key][dataset]
        got = tuple(digits(*pair) for pair in zip(np.mean(values, axis=0), expected, strict=True))
        assert got == expected, key


@pytest.mark.parametrize(("name", "psnr"), [("baboon", "21.143"), ("comic", "21.215")])
def test_the_authors_own_results_score_their_psnr(shared, name, psnr):
    folder = shared / "reference" / "srgan_authors"
    sr, hr = (np.asarray(Image.open(folder / f"{name}_{kind}.png")) for kind in ("SRGAN-VGG54", "HR"))
    assert digits(PROTOCOLS["matlab"].score(sr, hr, scale=4)["psnr"], psnr) == psnr


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_goldens(name, protocol):
    sr = imresize(GOLDENS[f"{name}_lr"], 4)
    score = PROTOCOLS[protocol].score(sr, GOLDENS[f"{name}_hr"], scale=4)
    assert score == pytest.approx(SCORES[name][protocol], abs=1e-9)


# --- daala, against a second, scalar reading of its formulas ---


def kiss99():
    z, w, jsr, jcong, word = 362436069, 521288629, 123456789, 380116160, 2**32
    while True:
        z = 36969 * (z & 65535) + (z >> 16)
        w = 18000 * (w & 65535) + (w >> 16)
        jsr ^= (jsr << 17) % word
        jsr ^= jsr >> 13
        jsr ^= (jsr << 5) % word
        jcong = (69069 * jcong + 1234567) % word
        yield (((((z << 16) + w) % word) ^ jcong) + jsr) % word


def rdiv(x, y):
    return (2 * x + y) // (2 * y) if x >= 0 else -((-2 * x + y) // (2 * y))


def triangular(draws, amplitude):
    n = amplitude + 1
    limit = (2**32 - 1) // n * n
    first, second = (next(r for r in draws if r < limit) for _ in range(2))
    return first % n - second % n


def clamp(x, low, high):
    return min(max(x, low), high)


def scalar_luma(image):
    height, width = image.shape[:2]
    out, draws, unit = np.zeros((height, width), np.uint8), kiss99(), 9745792000
    for j, i in itertools.product(range(0, height, 2), range(0, width, 2)):
        noise = [[triangular(draws, a) for a in (1223320000, 1479548743, 1255654969)] for _ in range(4)]
        _, cbd, crd = noise[0]
        pixels = []
        for (dy, dx), (yd, _, _) in zip(np.ndindex(2, 2), noise, strict=True):
            if i + dx == width:
                pixels.append(pixels[-1])
            elif j + dy == height:
                pixels.append(pixels[dx])
            else:
                r, g, b = (257 * int(v) for v in np.broadcast_to(image[j + dy, i + dx], 3))
                g += rdiv(2384 * yd + 361 * cbd + 1063 * crd, unit)
                pixels.append((r + rdiv(2 * yd + 3 * crd, 8176000), g, b + rdiv(2 * yd + 3 * cbd, 8176000)))
        r, g, b = map(sum, zip(*pixels, strict=True))
        cb = clamp(rdiv(-29764 * r - 100128 * g + 129892 * b, 304016865) + 128, 0, 255) - 128
        cr = clamp(rdiv(110236 * r - 100128 * g - 10108 * b, 258011295) + 128, 0, 255) - 128
        chroma = (4490222169144 * cr, -534117096223 * cb - 1334761232047 * cr, 5290866304968 * cb)
        for (dy, dx), pixel in zip(np.ndindex(2, 2), pixels, strict=True):
            if j + dy == height or i + dx == width:
                continue
            rho = [(c * unit - k + 4096) >> 13 for c, k in zip(pixel, chroma, strict=True)]
            low = clamp((1063 * rho[0] + 3576 * rho[1] + 361 * rho[2]) // 1780026171875, -16, 238)
            low_error, high_error = (
                sum(
                    (c - clamp(rdiv(2916394880000 * y + k, unit), 0, 65535)) ** 2
                    for c, k in zip(pixel, chroma, strict=True)
                )
                for y in (low, low + 1)
            )
            up = high_error < low_error or (high_error == low_error and low % 2 == 1)
            out[j + dy, i + dx] = low + up + 16
    return out


def test_the_random_numbers_are_kiss99s():
    count = 2**18 + 2000  # into the second array
    expected = np.fromiter(itertools.islice(kiss99(), count), np.uint32, count)
    got = np.concatenate(list(itertools.islice(daala._kiss99(), 2)))[:count]
    np.testing.assert_array_equal(got, expected)


def test_the_dither_takes_and_rejects_draws_one_after_the_other():
    draws, blocks = kiss99(), 9000  # some 270 000 draws: more than one array
    amplitudes = (1223320000, 1479548743, 1255654969) * 4
    *_, (y, cb, cr) = (
        [triangular(draws, amplitude) for amplitude in amplitudes][:3] for _ in range(blocks)
    )  # the last block's first corner
    red, green = rdiv(2 * y + 3 * cr, 8176000), rdiv(2384 * y + 361 * cb + 1063 * cr, 9745792000)
    np.testing.assert_array_equal(daala._dither(14)[:, 0, 0, blocks - 1], [red, green, rdiv(2 * y + 3 * cb, 8176000)])
    np.testing.assert_array_equal(daala._dither(12), daala._dither(14)[..., : 2**12])  # larger images extend it


@pytest.mark.parametrize("shape", [(8, 10, 3), (7, 10, 3), (8, 9, 3), (7, 9, 3), (7, 9), (1, 1)])
def test_luma_is_png2y4ms(shape):
    extremes = np.random.default_rng(1).choice(np.array([0, 255], np.uint8), shape)  # where everything is clamped
    for image in (random_pair(*shape)[0], extremes):
        np.testing.assert_array_equal(daala.luma(image), scalar_luma(image))


@pytest.mark.parametrize("name", SCORES)
def test_luma_goldens(name):
    np.testing.assert_array_equal(daala.luma(GOLDENS[f"{name}_hr"][:-1, :-3]), GOLDENS[f"{name}_luma"])


@pytest.mark.parametrize(("height", "width"), [(24, 17), (300, 5), (3, 40), (1, 1)])
def test_daala_ssim_follows_its_definition(height, width):
    """Tap by tap, in Python's integers, with narrow windows and wide ones."""
    x, y = random_pair(height, width, seed=height)
    sigma = 1.5 * height / 256
    smallest = math.sqrt(math.pi / 2) * sigma / 256
    half = min(int(sigma * math.sqrt(-2 * math.log(smallest))), min(height, width) - 1)
    side = [
        math.floor(256 * math.exp(-(c**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) + 0.5)
        for c in range(1, half + 1)
    ]
    taps = [*reversed(side), 256 - 2 * sum(side), *side]
    total = weights = 0.0
    for row, column in np.ndindex(height, width):
        sums = [0] * 6
        for (i, a), (j, b) in itertools.product(enumerate(taps, row - half), enumerate(taps, column - half)):
            if 0 <= i < height and 0 <= j < width:
                p, q = int(x[i, j]), int(y[i, j])
                sums = [s + a * b * v for s, v in zip(sums, (1, p, q, p * p, p * q, q * q), strict=True)]
        w, sx, sy, sxx, sxy, syy = sums
        c1, c2 = 255**2 * 1e-4 * w**2, 255**2 * 9e-4 * w**2
        quality = (2 * sx * sy + c1) * (2 * (w * sxy - sx * sy) + c2)
        quality /= (sx**2 + sy**2 + c1) * (w * sxx - sx**2 + w * syy - sy**2 + c2)
        total, weights = total + w * quality, weights + w
    assert daala.ssim(x, y) == pytest.approx(total / weights, abs=1e-12)


# --- the others, against scikit-image and MATLAB's documentation ---


@pytest.mark.parametrize("shape", [(40, 31), (11, 64), (40, 31, 3)])
def test_psnr_and_ssim_agree_with_scikit_image(shape):
    x, y = random_pair(*shape)
    expected = structural_similarity(
        x,
        y,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
    )
    assert psnr_ssim.ssim(x, y) == pytest.approx(expected, abs=1e-12)
    assert psnr_ssim.psnr(x, y) == pytest.approx(peak_signal_noise_ratio(y, x), abs=1e-12)


def test_matlabs_colours():
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(colour.rgb2ycbcr_y(image), [[16, 235, 81, 145, 41]])
    np.testing.assert_array_equal(colour.rgb2gray(image), [[0, 255, 76, 150, 29]])
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(colour.rgb2gray(grey), grey[..., 0])


# --- the protocols ---


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize("shape", [(40, 33), (40, 33, 3)])
def test_an_identical_pair_is_perfect(protocol, shape):
    image, _ = random_pair(*shape)
    score = protocol.score(image, image, scale=4)
    assert score["psnr"] == math.inf
    assert score["ssim"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("name", "border"), [("paper", 4), ("matlab", 2), ("rgb", 2)])
def test_only_the_border_is_cropped(name, border):
    sr, hr = random_pair(40, 36, 3)
    score = PROTOCOLS[name].score(sr, hr, scale=2)
    other = 255 - sr
    other[border:-border, border:-border] = sr[border:-border, border:-border]
    assert PROTOCOLS[name].score(other, hr, scale=2) == score
    other[border] = hr[border]
    assert PROTOCOLS[name].score(other, hr, scale=2) != score


def test_grey_is_compared_as_grey():
    sr, hr = random_pair(40, 36)
    stacked = np.repeat(sr[..., None], 3, axis=2)
    for protocol in PROTOCOLS.values():
        assert protocol.score(stacked, hr, scale=4) == pytest.approx(protocol.score(sr, hr, scale=4), abs=1e-12)
    inside = np.s_[4:-4, 4:-4]
    full_range = psnr_ssim.psnr(sr[inside], hr[inside])
    assert PROTOCOLS["matlab"].score(sr, hr, scale=4)["psnr"] == full_range
    assert PROTOCOLS["rgb"].score(sr, hr, scale=4)["psnr"] == full_range


def test_protocols_are_named_and_described():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert "PSNR" in protocol.description and "SSIM" in protocol.description


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        (np.zeros((40, 36), np.uint8), np.zeros((40, 32), np.uint8), "SR 36x40 .* HR 32x40"),
        (np.zeros((40, 36)), np.zeros((40, 36), np.uint8), "SR must be uint8, got float64"),
        (np.zeros((40, 36), np.uint8), np.zeros((40, 36), np.uint16), "HR must be uint8, got uint16"),
        (
            np.zeros((40, 36, 4), np.uint8),
            np.zeros((40, 36, 3), np.uint8),
            r"SR must be .*\(40, 36, 4\); remove an alpha",
        ),
        (np.zeros((40, 36), np.uint8), np.zeros((40, 36, 2), np.uint8), r"HR must be .*\(40, 36, 2\); remove an alpha"),
        (np.zeros((40, 36), np.uint8), np.zeros((40, 36, 3), np.uint8), "SR grey .* HR RGB"),
        (np.zeros((40, 8), np.uint8), np.zeros((40, 8), np.uint8), "at least .* got 8x40"),
    ],
)
def test_errors_say_what_came(protocol, sr, hr, message):
    with pytest.raises(ValueError, match=message):
        protocol.score(sr, hr, scale=4)
