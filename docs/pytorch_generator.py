"""Run a generator of srgan_jax in PyTorch: needs torch and safetensors, and nothing of srgan_jax.

generator = Generator("model.safetensors").eval()
sr = generator(lr)  # [N, C, H, W] in [0, 1] -> `scale` times as large, around [0, 1]
"""

import json

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    """Any release file; for inference, as BatchNorm uses the statistics of training."""

    def __init__(self, path):
        super().__init__()
        with safe_open(path, framework="pt") as file:
            self.architecture = json.loads(file.metadata()["architecture"])
            self.scale, self.blocks = self.architecture["scale"], self.architecture["num_blocks"]
            arrays = {key.partition("/")[2]: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        to_oihw = {4: (3, 2, 0, 1), 1: (0,)}
        self.weights = nn.ParameterDict({k: a.permute(to_oihw[a.dim()]).contiguous() for k, a in arrays.items()})

    def conv(self, x, name, norm=None):
        w, kernel = self.weights, self.weights[f"{name}/kernel"]
        x = F.conv2d(x, kernel, w.get(f"{name}/bias"), padding=kernel.shape[-1] // 2)
        if norm and f"{norm}/mean" in w:
            x = F.batch_norm(x, *(w[f"{norm}/{array}"] for array in ("mean", "var", "scale", "bias")), eps=1e-5)
        return x

    def prelu(self, x, name):
        return F.prelu(x, self.weights[f"{name}/slope"]) if f"{name}/slope" in self.weights else x

    def shuffle(self, x, factor):
        n, _, h, w = x.shape  # channels are (row, column, feature); F.pixel_shuffle wants (feature, row, column)
        x = x.view(n, factor, factor, -1, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, -1, h * factor, w * factor)

    def forward(self, lr):
        return self.msrresnet(lr) if self.architecture.get("network") == "msrresnet" else self.srresnet(lr)

    def srresnet(self, lr):
        get = self.architecture.get
        stem = x = self.prelu(self.conv(lr, "stem"), "stem_prelu")
        for b in (f"block{i}" for i in range(self.blocks)):
            y = self.prelu(self.conv(x, f"{b}/conv1", f"{b}/bn1"), f"{b}/prelu")
            x = x + self.conv(y, f"{b}/conv2", f"{b}/bn2")
        x = stem + self.prelu(self.conv(x, "trunk", "trunk_bn"), "trunk_prelu")
        for i in range(self.scale.bit_length() - 1):
            x = self.prelu(self.shuffle(self.conv(x, f"upsample{i}"), 2), f"upsample{i}_prelu")
        x = self.conv(x, "output")
        x = torch.tanh(x) if get("output_activation") == "tanh" else x
        mode, signed = get("global_skip", "none"), get("output_range", "signed") == "signed"
        if mode == "none":
            return (x + 1) / 2 if signed else x
        # With antialias PyTorch's cubic is that of JAX (a = -1/2), also where it enlarges.
        options = {"mode": "bicubic", "antialias": True} if mode == "bicubic" else {"mode": mode}
        return (x / 2 if signed else x) + F.interpolate(lr, scale_factor=self.scale, **options)

    def msrresnet(self, lr):
        x = F.leaky_relu(self.conv(lr, "stem"), 0.1)
        for b in (f"block{i}" for i in range(self.blocks)):
            x = x + self.conv(F.relu(self.conv(x, f"{b}/conv1")), f"{b}/conv2")
        for i, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[self.scale]):
            x = self.shuffle(self.conv(x, f"upsample{i}"), factor)
            x = F.leaky_relu(x, 0.1) if self.architecture["upsample_activation"] else x
        x = self.conv(F.leaky_relu(self.conv(x, "hr"), 0.1), "output")
        return x + F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
