"""Plots of the course of training runs, from their logs."""

import pathlib

import matplotlib.pyplot as plt
import numpy as np

from scripts.runs import read_lines

# Panels of plots: title -> what is in it.
CURVES = {
    "terms of G's loss": ("g/mse", "g/l1", "g/vgg54", "g/pre34", "g/lr_l1", "g/adversarial"),
    "what D thinks": ("d/real", "d/fake"),
    "norm of the gradients": ("g/grad_norm", "d/grad_norm"),
    "PSNR, dB": ("held_out/psnr_y", "Set5/psnr_y", "Set5_ema/psnr_y"),
}


def draw_curves(path: pathlib.Path, logs: dict[str, pathlib.Path], panels: dict[str, tuple], *, sharey=False) -> None:
    """Draw a row of plots for each log, by its title; `sharey` as in plt.subplots."""
    size = (4 * len(panels), 3 * len(logs))
    figure, axes = plt.subplots(len(logs), len(panels), figsize=size, squeeze=False, sharey=sharey)
    for row, (title, log) in zip(axes, logs.items(), strict=True):
        lines = read_lines(log)
        for axis, (panel, keys) in zip(row, panels.items(), strict=True):
            for key in keys:
                points = np.array([(line["step"], line[key]) for line in lines if key in line])
                if len(points):
                    axis.plot(*points.T, label=key, marker="o" if len(points) < 20 else None)
            if not axis.lines:
                axis.set_axis_off()
                continue
            axis.set(yscale="linear" if "PSNR" in panel or "thinks" in panel else "log")
            axis.set_title(f"{title}: {panel}", fontsize=10)
            axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
