"""What makes training and upscaling fast on a CPU: kernels for some convolutions, oneDNN, and memory that is kept."""

from srgan_jax.cpu.dispatch import conv_general_dilated
from srgan_jax.cpu.memory import keep_freed_memory, return_freed_memory
from srgan_jax.cpu.onednn import compiler_options
from srgan_jax.cpu.switch import NAMES, use

__all__ = [
    "NAMES",
    "compiler_options",
    "conv_general_dilated",
    "keep_freed_memory",
    "return_freed_memory",
    "use",
]
