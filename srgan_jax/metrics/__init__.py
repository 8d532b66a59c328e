"""Image quality: the table of metrics, and the protocols of PSNR and SSIM."""

from srgan_jax.metrics.protocols import PROTOCOLS, LRPicture, Protocol, SRPicture, check_protocols
from srgan_jax.metrics.table import (
    METRICS,
    Metric,
    Sample,
    Scorer,
    better,
    check_metrics,
    default_scorers,
    make_scorers,
    where_defined,
)

__all__ = [
    "METRICS",
    "PROTOCOLS",
    "LRPicture",
    "Metric",
    "Protocol",
    "SRPicture",
    "Sample",
    "Scorer",
    "better",
    "check_metrics",
    "check_protocols",
    "default_scorers",
    "make_scorers",
    "where_defined",
]
