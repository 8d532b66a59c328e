"""LPIPS and DISTS in PyTorch, written from the papers, and small random networks for them and for ours."""

import numpy as np
import torch
import torch.nn.functional as F
from small_networks import BLOCKS


def tensors(params):
    """Our parameters as PyTorch's: OIHW kernels."""
    convolutions = {
        name: (torch.from_numpy(value["kernel"].transpose(3, 2, 0, 1).copy()), torch.from_numpy(value["bias"]))
        for name, value in params.items()
        if name.startswith("conv")
    }
    return convolutions | {
        name: torch.from_numpy(value) for name, value in params.items() if not name.startswith("conv")
    }


def standardised(x, mean, deviation):
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
    return (x - mean) / deviation


def alexnet(params, x):
    """[N, 3, H, W] -> what comes out of each of the five ReLUs."""
    for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
        if i in (1, 2):
            x = F.max_pool2d(x, 3, 2)
        x = F.relu(F.conv2d(x, *params[f"conv{i}"], stride=stride, padding=padding))
        yield x


def vgg16(params, x, pool):
    """[N, 3, H, W] -> what comes out of the last ReLU of each of the five blocks."""
    i = 0
    for block, length in enumerate(BLOCKS):
        x = pool(x) if block else x
        for _ in range(length):
            x = F.relu(F.conv2d(x, *params[f"conv{i}"], padding=1))
            i += 1
        yield x


def lpips(params, sr, hr, *, network):
    """[N, 3, H, W] in [-1, 1] -> [N]."""
    total = 0
    run = {"alex": alexnet, "vgg": lambda params, x: vgg16(params, x, lambda x: F.max_pool2d(x, 2))}[network]
    maps = [list(run(params, standardised(x, (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))) for x in (sr, hr)]
    for k, pair in enumerate(zip(*maps, strict=True)):
        x, y = (m / (torch.sqrt(torch.sum(m**2, dim=1, keepdim=True)) + 1e-10) for m in pair)
        total = total + torch.einsum("nchw,c->nhw", (x - y) ** 2, params[f"lin{k}"]).mean((1, 2))
    return total


def l2_pool(x):
    window = torch.from_numpy(np.outer(*2 * [np.hanning(5)[1:-1]])).float()
    window = (window / window.sum())[None, None].repeat(x.shape[1], 1, 1, 1)
    return torch.sqrt(F.conv2d(x**2, window, stride=2, padding=1, groups=x.shape[1]) + 1e-12)


def dists(params, sr, hr):
    """[N, 3, H, W] in [-1, 1] -> [N]."""
    maps = []
    for x in ((sr + 1) / 2, (hr + 1) / 2):
        ready = standardised(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        maps.append([x, *vgg16(params, ready, l2_pool)])
    total, start, weight = 0, 0, params["alpha"].sum() + params["beta"].sum()
    for x, y in zip(*maps, strict=True):
        channels = slice(start, start := start + x.shape[1])
        mx, my = x.mean((2, 3)), y.mean((2, 3))
        covariance = (x * y).mean((2, 3)) - mx * my
        variances = x.var((2, 3), correction=0) + y.var((2, 3), correction=0)
        texture = (2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6)
        structure = (2 * covariance + 1e-6) / (variances + 1e-6)
        total = total + (params["alpha"][channels] * texture + params["beta"][channels] * structure).sum(1) / weight
    return 1 - total
