"""SRGAN and SRResNet (Ledig et al., CVPR 2017) in JAX and Flax.

srgan_jax.load(path) reads a trained generator; see generators.load.
"""

__version__ = "0.1.0"


__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    if name == "load":  # on its first use: importing the package alone does not import JAX
        from srgan_jax.generators import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
