"""Convolutions by oneDNN, which JAX's wheels for x86 contain and do not use by themselves."""

import platform
import warnings

import jax

from srgan_jax.cpu.switch import in_use

# JAX tries to write each program into its compilation cache, and cannot write one that has oneDNN in it.
warnings.filterwarnings("ignore", "Error writing persistent compilation cache entry", UserWarning)


def compiler_options(device: jax.Device) -> dict[str, str | bool]:
    """Return the options that jax.jit needs for a device: with JAX 0.11 or later on an x86 CPU, oneDNN convolves.

    XLA's own convolutions are those of YNNPACK, which is left with reductions: without it they take so much longer that
    nothing of oneDNN's advantage remains.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    recent = jax.__version_info__ >= (0, 11)
    if device.platform != "cpu" or not x86 or not recent or "onednn" not in in_use():
        return {}
    return {
        "xla_cpu_use_onednn": True,
        "xla_cpu_experimental_onednn_custom_call": True,
        "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    }
