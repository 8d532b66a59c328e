"""The weights of perceptual metrics: find them, load them, and make our files out of other projects' files.

The package contains the small weights in srgan_jax/metrics/data: LPIPS' linear layers, DISTS' α and β, and NIQE's
model. LPIPS and DISTS also need the features of two networks. These come from torchvision, as one file each.
"""

import importlib.util
import os
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import srgan_jax
from srgan_jax import digests, trees
from srgan_jax.errors import InputError, install
from srgan_jax.files import cache_directory, check_outputs
from srgan_jax.types import Params
from srgan_jax.weights.arrays import read_arrays, read_header, write_safetensors
from srgan_jax.weights.download import fetch

FORMAT = "srgan_jax-perceptual-1"
ENVIRONMENT = "SRGAN_JAX_METRICS"  # the environment variable that names the folder of the networks
COMMAND = "python -m srgan_jax.weights metrics"
DATA = pathlib.Path(srgan_jax.__file__).parent / "metrics" / "data"


class Network(NamedTuple):
    """A network that metrics need.

    Attributes:
      file: the name of the network's file.
      metrics: the metrics that need the network, for messages.
      kernels: (side, number of outputs) of each convolution's kernel, in order.
    """

    file: str
    metrics: str
    kernels: tuple[tuple[int, int], ...]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return {name of an array: its shape}."""
        inputs = (3, *(outputs for _, outputs in self.kernels))
        shapes = {}
        for i, (side, outputs) in enumerate(self.kernels):
            shapes |= {f"conv{i}/kernel": (side, side, inputs[i], outputs), f"conv{i}/bias": (outputs,)}
        return shapes


NETWORKS = {
    "alex": Network("alexnet.safetensors", "LPIPS (alex)", ((11, 64), (5, 192), (3, 384), (3, 256), (3, 256))),
    "vgg": Network(
        "vgg16.safetensors",
        "LPIPS (vgg) and DISTS",
        tuple((3, outputs) for outputs, convs in ((64, 2), (128, 2), (256, 3), (512, 6)) for _ in range(convs)),
    ),
}

_TORCHVISION = "https://download.pytorch.org/models"
_GITHUB = "https://raw.githubusercontent.com"
_LPIPS = f"{_GITHUB}/richzhang/PerceptualSimilarity/082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1"
_DISTS = f"{_GITHUB}/dingkeyan93/DISTS/1267d8cb626c98706db3697422701c56a85ebf2e/DISTS_pytorch"
_BASICSR = f"{_GITHUB}/XPixelGroup/BasicSR/8d56e3a045f9fb3e1d8872f92ee4a4f07f886b0a/basicsr/metrics"

# The publishers' files: our name for each, its address, and its SHA-256. torchvision's names hold only its start.
SOURCES = (
    ("alexnet.pth", f"{_TORCHVISION}/alexnet-owt-7be5be79.pth", "7be5be79"),
    ("vgg16.pth", f"{_TORCHVISION}/vgg16-397923af.pth", "397923af"),
    ("lpips_alex.pth", f"{_LPIPS}/alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
    ("lpips_vgg.pth", f"{_LPIPS}/vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
    ("dists.pt", f"{_DISTS}/weights.pt", "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218"),
    (
        "niqe.npz",
        f"{_BASICSR}/niqe_pris_params.npz",
        "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296",
    ),
)

# Other programs' names of arrays -> ours.
_NAMES = (
    (re.compile(r"conv(\d+)/(?:w|kernel)"), r"conv\1/kernel"),
    (re.compile(r"conv(\d+)/(?:b|bias)"), r"conv\1/bias"),
    (re.compile(r"lin(\d)(?:\.model\.1\.weight)?"), r"lin\1"),
    (re.compile(r"(alpha|beta)"), r"\1"),
    (re.compile(r"mu_pris_param|mean"), "mean"),
    (re.compile(r"cov_pris_param|covariance"), "covariance"),
)
_IN_TORCHVISION = re.compile(r"features\.(\d+)\.(weight|bias)")


def folder() -> pathlib.Path:
    """Return the folder of the networks.

    SRGAN_JAX_METRICS names this folder. Where that variable is not set, the folder is in the user's cache folder.
    """
    return pathlib.Path(os.environ.get(ENVIRONMENT) or cache_directory() / "srgan_jax" / "metrics")


def find_weights(network: str) -> pathlib.Path:
    """Return the path of a network's file.

    Args:
      network: a name out of NETWORKS.

    Raises:
      InputError: the file is missing. The message says where the file comes from, and what works without it.
    """
    path = folder() / NETWORKS[network].file
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it is needed for {NETWORKS[network].metrics}. {COMMAND} fetches or converts it, "
            f"and {ENVIRONMENT} names another folder. PSNR, SSIM, RMSE, NIQE, LR-PSNR, grid and contrast need no file."
        )
    return path


def load_lpips(network: str, path: str | pathlib.Path | None = None) -> Params:
    """Load the parameters of metrics.lpips, {"conv0": {"kernel", "bias"}, …, "lin0": [C] …}.

    Args:
      network: a name out of NETWORKS.
      path: a file that `convert` wrote. None takes the file that find_weights finds.

    Raises:
      InputError: the file is missing or damaged, or is the file of another network.
    """
    return load_network(network, path) | _shipped("lpips")[network]


def load_dists(path: str | pathlib.Path | None = None) -> Params:
    """Load the parameters of metrics.dists: those of VGG16, and "alpha" and "beta", which are [1475] each.

    The argument and the errors are those of load_lpips.
    """
    return load_network("vgg", path) | _shipped("dists")


def load_network(network: str, path: str | pathlib.Path | None = None) -> Params:
    """Load the parameters of a network, {"conv0": {"kernel": HWIO, "bias"}, …}.

    The arguments and the errors are those of load_lpips.
    """
    path = pathlib.Path(path or find_weights(network))
    header, arrays = read_header(path), read_arrays(path)
    if header.get("format") != FORMAT or header.get("network") != network:
        raise InputError(
            f"{path}: expected a file of {NETWORKS[network].file.split('.')[0]} as {COMMAND} writes it, but its header "
            f"says format {header.get('format')!r}, network {header.get('network')!r}."
        )
    if digests.of_variables(arrays) != header.get("sha256"):
        raise InputError(f"{path} is damaged: its arrays are not those that were written; fetch or make it anew.")
    return trees.nested(arrays)


def download(out: str | pathlib.Path) -> Iterator[str]:
    """Fetch the publishers' files to the folder `out` and convert them there. Yield a sentence on each.

    A file that is there already is not fetched again, and an interrupted download goes on.

    Raises:
      InputError: PyTorch is missing, which these files need; there is no connection; or a file has another checksum.
    """
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            f"The publishers' files are PyTorch's: {install('torch')}, then run the same command again. "
            "Nothing was fetched."
        )
    for name, url, sha256 in SOURCES:
        path = pathlib.Path(out) / name
        fetch(url, path, sha256=sha256)
        yield from convert(path, out)


def convert(path: str | pathlib.Path, out: str | pathlib.Path) -> Iterator[str]:
    """Write the network in another project's file to the folder `out`. Yield a sentence on each thing in the file.

    Args:
      path: a file that arrays.read_arrays reads. Its arrays are those of torchvision's AlexNet or VGG16, of LPIPS' or
        DISTS' own files, or of BasicSR's model of NIQE; or they have our names ("conv0/kernel", …, "lin0", …).
      out: the folder to write to.

    Raises:
      InputError: the file holds none of these arrays; or its linear layers, α, β or model differ from the package's.
    """
    path = pathlib.Path(path)
    found = _renamed(read_arrays(path))
    convolutions = {key: array for key, array in found.items() if key.startswith("conv")}
    others = {key: array.squeeze() for key, array in found.items() if not key.startswith("conv")}
    if not found:
        raise InputError(f"{path}: holds no arrays of AlexNet, VGG16, LPIPS, DISTS or NIQE.")
    if convolutions:
        yield _write_network(path, convolutions, pathlib.Path(out))
    if others:
        yield f"{path}: {_recognised(path, others)}, equal to what the package has"


def _renamed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays under our names, with kernels as HWIO. Arrays that no metric needs are left out."""
    matches = {key: match for key in arrays if (match := _IN_TORCHVISION.fullmatch(key))}
    positions = sorted({int(match[1]) for match in matches.values()})  # ReLUs and poolings are between them
    found = {}
    for key, match in matches.items():
        leaf = {"weight": "kernel", "bias": "bias"}[match[2]]
        array = arrays[key]
        found[f"conv{positions.index(int(match[1]))}/{leaf}"] = (
            array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        )
    for key, array in arrays.items():
        found |= {match.expand(name): array for pattern, name in _NAMES if (match := pattern.fullmatch(key))}
    return found


def _write_network(path: pathlib.Path, convolutions: dict[str, np.ndarray], out: pathlib.Path) -> str:
    """Write the network that has these convolutions, and return a sentence on it."""
    shapes = {key: array.shape for key, array in convolutions.items()}
    name = next((name for name, network in NETWORKS.items() if network.shapes() == shapes), None)
    if name is None:
        raise InputError(
            f"{path}: holds {len(shapes)} arrays of convolutions that are neither AlexNet's nor VGG16's; is the file "
            "that of another network, or cut short?"
        )
    arrays = {key: np.ascontiguousarray(array, np.float32) for key, array in convolutions.items()}
    target = out / NETWORKS[name].file
    check_outputs([(target, path)], [path])
    header = {
        "format": FORMAT,
        "version": srgan_jax.__version__,
        "network": name,
        "source": path.name,
        "sha256": digests.of_variables(arrays),
    }
    write_safetensors(target, arrays, header)
    return f"{target}: for {NETWORKS[name].metrics}"


def _shipped(name: str) -> Params:
    """Load the weights that the package contains for a metric."""
    return trees.nested(read_arrays(DATA / f"{name}.npz"))


def _recognised(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> str:
    """Say what these arrays are. They must equal the arrays of the package."""
    lpips = _shipped("lpips")
    known = {f"LPIPS v0.1's linear layers ({network})": lpips[network] for network in lpips}
    known |= {"DISTS' α and β": _shipped("dists"), "NIQE's model": _shipped("niqe")}
    for title, expected in known.items():
        if expected.keys() == arrays.keys() and all(np.array_equal(arrays[key], expected[key]) for key in arrays):
            return title
    raise InputError(f"{path}: its {', '.join(sorted(arrays))} are not those of LPIPS v0.1, DISTS or NIQE.")
