"""What several benchmarks share: the paper's two training steps with all that they need, and the machine's name."""

import importlib.metadata
import os
import pathlib
import platform

import jax
import numpy as np
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from srgan_jax.configs import srgan_vgg54, srresnet_mse
from srgan_jax.data.loader import CropLoader
from srgan_jax.data.sources import create_source
from srgan_jax.models.vgg import BLOCKS

ROOT = pathlib.Path(__file__).resolve().parents[1]

CONFIGS = {"SRResNet-MSE": srresnet_mse, "SRGAN-VGG54": srgan_vgg54}
GFLOP = {"SRResNet-MSE": 7.7, "SRGAN-VGG54": 43.3}  # for each crop: convolutions and dense layers, 2 per multiply-add
PAPER = {"SRResNet-MSE": 1_000_000, "SRGAN-VGG54": 200_000}  # updates, section 3.2


def vgg_file(directory: str | pathlib.Path) -> str:
    """Write a file of random weights for VGG19 under Keras' names, and return its path."""
    rng, arrays, fan_in = np.random.default_rng(0), {}, 3
    for block, (convs, features) in enumerate(BLOCKS, 1):
        for i in range(1, convs + 1):
            kernel = rng.normal(size=(3, 3, fan_in, features)) * np.sqrt(2 / (9 * fan_in))
            arrays[f"block{block}_conv{i}/kernel"] = kernel.astype(np.float32)
            arrays[f"block{block}_conv{i}/bias"] = np.zeros(features, np.float32)
            fan_in = features
    save_file(arrays, f"{directory}/vgg19.safetensors")
    return f"{directory}/vgg19.safetensors"


def make_batch(config: ConfigDict, *, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Make a batch of `rows` crops of the built-in photographs, as the training loop would."""
    source = create_source(config.data, channels=config.channels)
    size = {"batch_size": rows, "crop_size": config.data.crop_size, "scale": config.scale}
    return CropLoader(source, **size, seed=seed).batch(0)


def processor() -> str:
    """Return the name of the device that JAX computes on; of a processor with the number of its cores."""
    if jax.default_backend() != "cpu":
        return jax.devices()[0].device_kind
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {names[0] if names else platform.processor() or platform.machine()}"


def machine(*packages: str) -> str:
    """Return the processor's name with the versions of Python and of the packages."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return f"{processor()}; Python {platform.python_version()}, {versions}"
