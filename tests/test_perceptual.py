"""LPIPS, DISTS and NIQE equal the published values and PyTorch's; their weights are found, converted and refused."""

import csv
import functools
import hashlib
import http.server
import importlib.util
import json
import pathlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.ndimage import gaussian_filter
from small_networks import KERNELS, small_dists, small_lpips, small_network
from tiny import quick_jit

from srgan_jax.commands.weights import run as main
from srgan_jax.errors import InputError
from srgan_jax.images.resize import imresize
from srgan_jax.metrics import canvas, colour
from srgan_jax.metrics.dists import dists, make_dists
from srgan_jax.metrics.lpips import SMALLEST, lpips, make_lpips
from srgan_jax.metrics.niqe import niqe, normalised
from srgan_jax.weights import perceptual
from srgan_jax.weights.download import fetch

GOLDENS = pathlib.Path(__file__).parent / "goldens"
PAIRS = ("I03", "I04", "I08")  # of IQA-PyTorch's calibration

# Name: (parameters of a small network, the distance on batches, the measure of pairs of pictures).
METRICS = {
    "lpips_alex": (small_lpips("alex"), functools.partial(lpips, network="alex"), lambda p: make_lpips(p, "alex")),
    "lpips_vgg": (small_lpips("vgg"), functools.partial(lpips, network="vgg"), lambda p: make_lpips(p, "vgg")),
    "dists": (small_dists(), dists, make_dists),
}
every_metric = pytest.mark.parametrize("name", METRICS)


def random_pair(height, width, seed=0):
    """A picture with some structure, and a distorted one."""
    rng = np.random.default_rng(seed)
    hr = imresize(rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8), size=(height, width))
    return np.clip(hr + rng.integers(-20, 21, hr.shape), 0, 255).astype(np.uint8), hr


def images(*pictures):
    """uint8 pictures -> NumPy, as JAX would compile every little operation by itself."""
    return np.stack(pictures) / np.float32(127.5) - 1


# Against published values.


@pytest.fixture(scope="module")
def calibration(shared):
    """(published values by metric, the three pairs)."""
    folder = shared / "perceptual" / "calibration"
    with (folder / "official.csv").open() as file:
        official = {row["Method"]: [row[f"{name}.bmp"] for name in PAIRS] for row in csv.DictReader(file)}
    return official, [tuple(read(folder / f"{kind}_dir_{name[1:]}.bmp") for kind in ("dist", "ref")) for name in PAIRS]


@pytest.fixture(scope="module")
def converted(shared, tmp_path_factory):
    """A folder with the networks, converted from $SR_DATA."""
    out = tmp_path_factory.mktemp("metrics")
    for name in ("lpips_alex", "lpips_vgg16"):
        list(perceptual.convert(shared / "perceptual" / f"{name}.npz", out))
    return out


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def assert_printed(values, published):
    """Equal to the digits that are printed."""
    assert [f"{value:.{len(text.partition('.')[2])}f}" for value, text in zip(values, published, strict=True)] == list(
        published
    )


def test_lpips_equals_its_authors(calibration, converted):
    official, pairs = calibration
    score = make_lpips(perceptual.load_lpips("alex", converted / "alexnet.safetensors"), "alex")
    assert_printed(score(pairs), official["lpips"])


def test_lpips_of_its_own_example(shared, converted):
    folder = shared / "perceptual" / "calibration"
    reference, *others = (read(folder / f"ex_{name}.png") for name in ("ref", "p0", "p1"))
    score = make_lpips(perceptual.load_lpips("alex", converted / "alexnet.safetensors"), "alex")
    assert_printed(score([(other, reference) for other in others]), ["0.722", "0.138"])


@pytest.mark.slow
def test_dists_equals_its_authors(calibration, converted):
    official, pairs = calibration
    score = make_dists(perceptual.load_dists(converted / "vgg16.safetensors"))
    assert_printed(score(pairs), official["dists"])


@pytest.mark.slow
def test_bicubic_on_set5(shared, converted):
    folder = shared / "data" / "eval" / "Set5"
    pairs = [(imresize(read(folder / "LRx4" / path.name), 4), read(path)) for path in sorted((folder / "HR").iterdir())]
    alex = make_lpips(perceptual.load_lpips("alex", converted / "alexnet.safetensors"), "alex")(pairs)
    assert_printed([np.mean(alex)], ["0.3398"])  # SPSR's README has .341
    assert_printed([np.mean(make_dists(perceptual.load_dists(converted / "vgg16.safetensors"))(pairs))], ["0.2119"])


def test_niqe_against_its_authors(calibration):
    official, pairs = calibration
    # Their program takes MATLAB's rgb2gray where we take Y. In I03 and I08 it sums rounding errors, see the docstring.
    for (sr, _), value, tolerance in zip(pairs, official["niqe"], (6e-4, 1e-12, 6e-3), strict=True):
        assert niqe([colour.rgb2gray(sr)])[0] == pytest.approx(float(value), rel=tolerance)


def test_niqe_against_matlab(shared):
    baboon = read(shared / "data" / "eval" / "Set14" / "HR" / "img_001.png")
    assert niqe([baboon])[0] == pytest.approx(5.72957338, rel=2e-7)  # which BasicSR quotes


# Against PyTorch.


@pytest.mark.parametrize("crop", ["top_left", "bottom_right"])
@every_metric
def test_small_networks_give_pytorchs_values(name, crop):
    params, _, make = METRICS[name]
    pictures = np.load(GOLDENS / "images.npz")
    pair = imresize(pictures[f"{crop}_lr"], 4), pictures[f"{crop}_hr"]
    golden = json.loads((GOLDENS / "perceptual.json").read_text())[name][crop]
    assert make(params)([pair])[0] == pytest.approx(golden, rel=1e-5)


@every_metric
def test_gradients_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    import perceptual_reference as reference

    params, distance, _ = METRICS[name]
    # Without flat regions: equal pixels tie in a max-pooling, and it is a matter of rounding which has the gradient.
    pair = list(np.random.default_rng(4).uniform(-1, 1, (2, 1, 45, 52, 3)).astype(np.float32))
    ours = quick_jit(jax.grad(lambda sr, hr: distance(params, sr, hr).sum(), argnums=(0, 1)))(*pair)
    theirs = [torch.tensor(image.transpose(0, 3, 1, 2), requires_grad=True) for image in pair]
    network = name.partition("_")[2]
    options = {"network": network} if network else {}
    getattr(reference, name.partition("_")[0])(reference.tensors(params), *theirs, **options).sum().backward()
    for mine, image in zip(ours, theirs, strict=True):
        expected = image.grad.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@every_metric
def test_gradients_are_finite_where_features_vanish(name):
    params, distance, _ = METRICS[name]
    for i in range(13):
        if f"conv{i}" in params:  # every ReLU is shut
            params = params | {f"conv{i}": params[f"conv{i}"] | {"bias": params[f"conv{i}"]["bias"] * 0 - 100}}
    sr, hr = (images(picture) for picture in random_pair(40, 40))
    slope = quick_jit(jax.grad(lambda x, y: distance(params, x, y).sum()))
    assert np.isfinite(slope(sr, hr)).all() and np.isfinite(slope(sr, sr)).all()


# On a canvas.


@every_metric
def test_a_picture_on_a_canvas_scores_as_it_does_alone(name):
    params, distance, _ = METRICS[name]
    sizes = [(33, 47), (50, 31)]
    sr, hr = np.random.default_rng(3).uniform(-1, 1, (2, 2, 52, 56, 3)).astype(np.float32)  # outside it must not matter
    alone = []
    run = quick_jit(distance)
    for i, (height, width) in enumerate(sizes):
        pair = [images(picture) for picture in random_pair(height, width, seed=i)]
        sr[i, :height, :width], hr[i, :height, :width] = pair[0][0], pair[1][0]
        alone.append(float(run(params, *pair)[0]))

    def total(sr):
        scores = distance(params, sr, hr, sizes=jnp.array(sizes))
        return scores.sum(), scores

    gradient, together = quick_jit(jax.grad(total, has_aux=True))(sr)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    for slope, (height, width) in zip(np.array(gradient), sizes, strict=True):
        assert slope[:height, :width].any()
        slope[:height, :width] = 0
        assert not slope.any()


@every_metric
def test_equal_pictures_are_at_no_distance(name):
    params, _, make = METRICS[name]
    _, hr = random_pair(40, 33)
    assert make(params)([(hr, hr)])[0] == pytest.approx(0, abs=1e-6)


def test_grey_counts_as_rgb_with_equal_channels():
    params, _, make = METRICS["lpips_alex"]
    sr, hr = (picture[..., 0] for picture in random_pair(40, 40))
    rgb_sr, rgb_hr = (np.repeat(picture[..., None], 3, axis=2) for picture in (sr, hr))
    grey, mixed, full = make(params)([(sr, hr), (rgb_sr, hr[..., None]), (rgb_sr, rgb_hr)])
    assert grey == mixed == full


def test_order_is_kept_and_each_canvas_is_compiled_once(monkeypatch):
    monkeypatch.setattr(canvas, "PIXELS", 2 * 64 * 64)
    compiled = []

    def distance(params, sr, hr, *, sizes):
        compiled.append(sr.shape)
        return canvas.average(canvas.inside(sr - hr, sizes), sizes)[:, 0] * params

    score = canvas.make_score(distance, jnp.float32(127.5), name="difference", smallest=1)
    sides = [(64, 64), (65, 10), (10, 64), (1, 1), (128, 3), (40, 40), (64, 1)]
    black = [np.zeros((*size, 3), np.uint8) for size in sides]
    pairs = [(picture + np.uint8(i), picture) for i, picture in enumerate(black)]
    for _ in range(2):
        np.testing.assert_allclose(score(pairs), range(len(sides)), atol=1e-4)
    assert sorted(compiled) == [(1, 128, 64, 3), (2, 64, 64, 3)]
    assert score([]) == []


# NIQE.


def test_niqe_of_a_photograph():
    golden = json.loads((GOLDENS / "perceptual.json").read_text())["niqe"]["astronaut"]
    picture = skimage.data.astronaut()
    luma = colour.rgb2ycbcr_y(picture)
    same = [picture, luma, luma[..., None], picture[:500, :490], picture[:480, :480]]  # whole blocks count
    assert niqe(same) == pytest.approx([golden] * 5, rel=1e-9)
    assert niqe([]) == []


def test_niqe_of_pictures_of_several_sizes_is_that_of_each():
    picture = skimage.data.astronaut()
    pictures = [picture[:200, :300], picture[100:400], picture[7:207, 5:300], picture[100:400, ::-1]]
    assert niqe(pictures) == pytest.approx([niqe([one])[0] for one in pictures], rel=1e-9)


def test_contrast_normalisation_equals_scipy():
    image = np.random.default_rng(0).uniform(0, 255, (96, 192))
    mean, square = (gaussian_filter(x, 7 / 6, mode="nearest", radius=3) for x in (image, image * image))
    with jax.enable_x64(True):
        ours = normalised(image[None])[0]
    np.testing.assert_allclose(ours, (image - mean) / (np.sqrt(np.abs(square - mean**2)) + 1), rtol=1e-9)


def test_rounding_errors_of_flat_regions_are_no_values():
    luma = np.random.default_rng(0).integers(0, 256, (1, 96, 96)).astype(np.float64)
    luma[:, 20:60, 30:70] = 255 * np.log(2)  # the sum of the weights times this value is not quite the value
    with jax.enable_x64(True):
        assert not normalised(luma)[0, 23:57, 33:67].any()
        assert normalised(luma, rounding=0)[0, 23:57, 33:67].any()


# Bad input.


@pytest.mark.parametrize(
    ("sr", "hr", "message"),
    [
        ((40, 40, 3), (40, 41, 3), r"^LPIPS \(alex\) compares pictures of one size, got SR of 40x40 and HR of 41x40"),
        ((40, 30, 3), (40, 30, 3), r"^LPIPS \(alex\) needs pictures of at least 31x31 pixels, got 30x40"),
        ((40, 40, 4), (40, 40, 4), r"takes grey or RGB pictures of 8 bits.*got uint8 \[40, 40, 4\]"),
    ],
)
def test_other_pictures_are_refused(sr, hr, message):
    with pytest.raises(InputError, match=message):
        make_lpips(small_lpips("alex"), "alex")([(np.zeros(sr, np.uint8), np.zeros(hr, np.uint8))])


def test_floats_are_refused():
    with pytest.raises(InputError, match=r"got float64 \[40, 40\]; convert the picture first"):
        make_dists(small_dists())([(np.zeros((40, 40)), np.zeros((40, 40)))])


@pytest.mark.parametrize("network", SMALLEST)
def test_the_smallest_pictures_of_each_network(network):
    smallest = SMALLEST[network]
    score = make_lpips(small_lpips(network), network)
    assert np.isfinite(score([random_pair(smallest, smallest + 3)])).all()
    # Of a smaller one the last layer has no pixel, whose mean would be 0 / 0.
    sr, hr = (images(picture) for picture in random_pair(smallest, smallest))
    run = quick_jit(functools.partial(lpips, network=network))
    assert np.isnan(run(small_lpips(network), sr, hr, sizes=np.array([[smallest - 1, smallest]])))


@pytest.mark.parametrize("picture", [np.zeros((95, 400), np.uint8), np.full((200, 200, 3), 7, np.uint8)])
def test_niqe_needs_two_blocks(picture):
    with pytest.raises(InputError, match=r"^NIQE needs two blocks of 96x96 pixels that are not flat, got \d+x\d+"):
        niqe([picture])


# Weights.


@pytest.fixture
def small(monkeypatch):
    """The table of networks with small ones."""
    for name, kernels in KERNELS.items():
        network = perceptual.NETWORKS[name]._replace(kernels=kernels)
        monkeypatch.setitem(perceptual.NETWORKS, name, network)


# Positions of the convolutions in torchvision's `features`.
POSITIONS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}


def torchvision(network):
    arrays = {"classifier.1.weight": np.zeros((2, 2), np.float32)}
    for position, conv in zip(POSITIONS[network], small_network(network).values(), strict=True):
        arrays[f"features.{position}.weight"] = np.ascontiguousarray(conv["kernel"].transpose(3, 2, 0, 1))
        arrays[f"features.{position}.bias"] = conv["bias"]
    return arrays


@pytest.mark.parametrize("suffix", ["npz", "pth"])
@pytest.mark.parametrize("network", POSITIONS)
def test_torchvisions_networks(small, network, suffix, monkeypatch, capsys, tmp_path):
    path, out = tmp_path / f"theirs.{suffix}", tmp_path / "out"
    if suffix == "pth":
        torch = pytest.importorskip("torch")
        torch.save({key: torch.from_numpy(array) for key, array in torchvision(network).items()}, path)
    else:
        np.savez(path, **torchvision(network))
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(out))
    main(["metrics", str(path)])
    file = out / {"alex": "alexnet.safetensors", "vgg": "vgg16.safetensors"}[network]
    assert capsys.readouterr().out == f"{file}: for {perceptual.NETWORKS[network].metrics}\n"
    params = perceptual.load_lpips(network)
    for name, conv in small_network(network).items():
        jax.tree.map(np.testing.assert_array_equal, params[name], conv)
    assert params["lin0"].shape == (64,)


def test_files_at_hand_are_converted_and_compared(shared, converted, capsys, tmp_path):
    assert sorted(path.name for path in converted.iterdir()) == ["alexnet.safetensors", "vgg16.safetensors"]
    names = ("dists_alpha_beta", "niqe_pris_params")
    main(["metrics", *(str(shared / "perceptual" / f"{name}.npz") for name in names), "-o", str(tmp_path)])
    said = capsys.readouterr().out
    assert "DISTS' α and β, equal to what the package has" in said and "NIQE's model, equal" in said
    assert not list(tmp_path.iterdir())


def test_what_the_package_has():
    for network, outputs in (("alex", (64, 192, 384, 256, 256)), ("vgg", (64, 128, 256, 512, 512))):
        linear = perceptual._shipped("lpips")[network]
        assert tuple(len(linear[f"lin{k}"]) for k in range(5)) == outputs
        assert all((array >= 0).all() for array in linear.values())
    for array in perceptual._shipped("dists").values():
        assert array.shape == (3 + sum(outputs),) and (array >= 0).all()


def test_numbers_of_another_version_are_refused(tmp_path):
    linear = dict(perceptual._shipped("lpips")["alex"])
    linear["lin2"] = linear["lin2"] * 2
    np.savez(
        tmp_path / "v0.0.npz", **{f"{key}.model.1.weight": array[None, :, None, None] for key, array in linear.items()}
    )
    with pytest.raises(InputError, match=r"v0\.0\.npz: its lin0, .* are not those of LPIPS v0\.1, DISTS or NIQE"):
        list(perceptual.convert(tmp_path / "v0.0.npz", tmp_path))


def without(arrays, key):
    return {name: array for name, array in arrays.items() if name != key}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(1)}, "holds no arrays of AlexNet, VGG16, LPIPS, DISTS or NIQE"),
        (without(torchvision("alex"), "features.8.bias"), "holds 9 arrays of convolutions that are neither AlexNet's"),
        (torchvision("vgg") | {"features.30.weight": np.zeros((8, 8, 3, 3))}, "holds 27 arrays"),  # VGG19 has more
        (torchvision("vgg") | {"features.1.weight": np.zeros(4)}, "holds 27 arrays"),  # BatchNorm
    ],
)
def test_other_networks_are_refused(small, arrays, message, tmp_path):
    np.savez(tmp_path / "theirs.npz", **arrays)
    with pytest.raises(InputError, match=f"theirs.npz: {message}"):
        list(perceptual.convert(tmp_path / "theirs.npz", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.npz"]


def test_damaged_and_other_files_are_refused(small, tmp_path):
    np.savez(tmp_path / "theirs.npz", **torchvision("vgg"))
    list(perceptual.convert(tmp_path / "theirs.npz", tmp_path))
    path = tmp_path / "vgg16.safetensors"
    with pytest.raises(InputError, match=r"vgg16\.safetensors is an input and would be overwritten"):
        list(perceptual.convert(path, tmp_path))
    with pytest.raises(InputError, match=r"expected a file of alexnet as .* writes it.*network 'vgg'"):
        perceptual.load_network("alex", path)
    with safe_open(path, framework="np") as file:
        header = file.metadata()
    arrays = load_file(path)
    arrays["conv3/bias"] = arrays["conv3/bias"] + 1
    save_file(arrays, path, metadata=header)
    with pytest.raises(InputError, match=r"vgg16\.safetensors is damaged"):
        perceptual.load_dists(path)


def test_missing_networks_say_where_they_come_from(monkeypatch, tmp_path):
    monkeypatch.delenv("SRGAN_JAX_METRICS", raising=False)
    monkeypatch.setattr(perceptual, "cache_directory", lambda: tmp_path)
    assert perceptual.folder() == tmp_path / "srgan_jax" / "metrics"
    with pytest.raises(
        InputError, match=r"srgan_jax/metrics/vgg16\.safetensors: no such file.*LPIPS \(vgg\) and DISTS"
    ):
        perceptual.load_dists()
    monkeypatch.setenv("SRGAN_JAX_METRICS", str(tmp_path / "mine"))
    with pytest.raises(InputError, match=r"mine/alexnet.*python -m srgan_jax\.weights metrics.*NIQE.*need no file"):
        perceptual.load_lpips("alex")


# --download, from a server of this machine.


@pytest.fixture
def server(tmp_path):
    """(address, folder that it serves)."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_download_and_convert(small, server, monkeypatch, capsys, tmp_path):
    url, folder = server
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)  # .npz needs no PyTorch
    np.savez(folder / "alex.npz", **torchvision("alex"))
    np.savez(folder / "dists.npz", **perceptual._shipped("dists"))
    sources = [
        (name, f"{url}/{name}", hashlib.sha256((folder / name).read_bytes()).hexdigest()[:digits])
        for name, digits in (("alex.npz", 8), ("dists.npz", 64))
    ]
    monkeypatch.setattr(perceptual, "SOURCES", sources)
    out = tmp_path / "out"
    for _ in range(2):  # what is there is not fetched again
        main(["metrics", "--download", "-o", str(out)])
        (folder / "alex.npz").unlink(missing_ok=True)
        assert len(capsys.readouterr().out.splitlines()) == 2
    params = perceptual.load_network("alex", out / "alexnet.safetensors")
    jax.tree.map(np.testing.assert_array_equal, params, small_network("alex"))


def test_another_file_than_the_published_one_is_not_kept(server, tmp_path):
    url, folder = server
    (folder / "a.pth").write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(InputError, match=f"has the SHA256 {found}, not 7be5be79; nothing of it is kept"):
        fetch(f"{url}/a.pth", tmp_path / "a.pth", sha256="7be5be79")
    assert not (tmp_path / "a.pth").exists()


def test_without_pytorch_nothing_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"files are PyTorch's: pip install -r requirements-torch\.txt"):
        main(["metrics", "--download", "-o", str(tmp_path / "out")])
    with pytest.raises(InputError, match="needs files of weights, or --download"):
        main(["metrics", "-o", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_the_sources_are_whole():
    assert all(len(sha256) in (8, 64) and int(sha256, 16) for _, _, sha256 in perceptual.SOURCES)
    for _, url, sha256 in perceptual.SOURCES:
        assert url.startswith("https://") and (len(sha256) == 64 or f"-{sha256}." in url)
