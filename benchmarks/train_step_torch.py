"""PyTorch's side of train_step.py: the same step, in the way that PyTorch's users write it.

It has channels_last, fused Adam, autocast where we have bfloat16, and LR images made beforehand; D is frozen while G
learns.
"""

import time

import jax
import torch
from torch import nn

from benchmarks import torch_reference as reference
from srgan_jax.training.steps import degrade
from srgan_jax.weights.vgg19 import load_vgg19


def describe() -> str:
    """Return PyTorch's version, and what it computes on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"torch {torch.__version__} on {device}"


def peak_memory() -> int:
    """Return the bytes of device memory that PyTorch has had in use at most; only for CUDA."""
    return torch.cuda.max_memory_allocated()


def make(config, batch, *, compiled: bool):
    """Return run(steps) of PyTorch's step, and the seconds that the first one took."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lr, hr = (
        reference.nchw(x).to(device, memory_format=torch.channels_last)
        for x in jax.jit(lambda batch: degrade(batch, config.scale))(batch)
    )
    reference.BatchNorm = nn.BatchNorm2d  # the reference's own follows Flax's variance, and is slower

    def network(module):
        module = module.to(device, memory_format=torch.channels_last).train()
        return module, torch.optim.Adam(module.parameters(), lr=1e-4, fused=True)

    g, g_optimizer = network(reference.SRResNet())
    bce, ones = nn.functional.binary_cross_entropy_with_logits, torch.ones(len(hr), device=device)
    adversarial = config.stage == "adversarial"
    if adversarial:
        d, d_optimizer = network(reference.Discriminator())
        features = create_vgg(config.vgg_weights).to(device, memory_format=torch.channels_last).requires_grad_(False)
        mean = torch.tensor([103.939, 116.779, 123.68], device=device)[:, None, None]

    def content(sr, hr):
        if not adversarial:
            return nn.functional.mse_loss(sr.float(), hr)
        with torch.no_grad():
            wanted = features(127.5 * (hr.flip(1) + 1) - mean)
        return nn.functional.mse_loss(features(127.5 * (sr.flip(1) + 1) - mean).float(), wanted.float()) / 12.75**2

    def step():
        with torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16"):
            sr = g(lr)
            if adversarial:
                loss = bce(d(hr).float(), ones) + bce(d(sr.detach()).float(), 0 * ones)
        if adversarial:
            d_optimizer.zero_grad()
            loss.backward()
            d_optimizer.step()
            d.requires_grad_(False)
        with torch.autocast(device, torch.bfloat16, enabled=config.dtype == "bfloat16"):
            loss = content(sr, hr) + (1e-3 * bce(d(sr).float(), ones) if adversarial else 0)
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        if adversarial:
            d.requires_grad_(True)
        return loss

    if compiled:
        g, content = torch.compile(g), torch.compile(content)
        d = torch.compile(d) if adversarial else None

    def run(steps):
        for _ in range(steps):
            loss = step()
        loss.item()

    start = time.perf_counter()
    run(1)
    return run, time.perf_counter() - start


def create_vgg(path) -> nn.Sequential:
    """Make VGG19 up to conv5_4's activation, with the weights of a file."""
    params, layers = load_vgg19(path, ("vgg54",))[0], []
    for name, layer in params.items():
        if name.endswith("_1") and layers:
            layers.append(nn.MaxPool2d(2))
        conv = reference.conv(*layer["kernel"].shape[2:], 3)
        conv.weight.data, conv.bias.data = (
            reference.tensor(layer["kernel"], (3, 2, 0, 1)),
            reference.tensor(layer["bias"]),
        )
        layers += [conv, nn.ReLU()]
    return nn.Sequential(*layers)
