"""Run a generator of srgan_jax in PyTorch. This file needs torch and safetensors, and nothing of srgan_jax.

generator = Generator("model.safetensors").eval()
with torch.inference_mode():
    sr = generator(lr)  # [N, C, H, W] in [0, 1] -> `scale` times as large, around [0, 1]

The header of a release file lists the operations of its network, whatever its architecture is; this module runs them.
Parameters can be trained further: BatchNorm then uses the statistics that it was saved with, which are buffers.
"""

import json

import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    """Any release file whose header lists the operations of its network."""

    def __init__(self, path):
        super().__init__()
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            if "graph" not in header:
                raise ValueError(
                    f"{path} was written by an older srgan_jax, without the operations of its network; write it anew: "
                    f"python -m srgan_jax.weights release {path} -o new.safetensors"
                )
            self.architecture, self.operations = json.loads(header["architecture"]), json.loads(header["graph"])
            arrays = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        self.scale = self.architecture["scale"]
        for key, array in arrays.items():
            kind, _, name = key.partition("/")
            array = array.permute(3, 2, 0, 1).contiguous() if array.dim() == 4 else array  # HWIO -> OIHW
            if kind == "params":
                self.register_parameter(self._name(name), nn.Parameter(array))
            else:
                self.register_buffer(self._name(name), array)

    @staticmethod
    def _name(path):
        return path.replace("/", "_")  # PyTorch allows no "/" or "." in names

    def _get(self, layer, array):
        return getattr(self, self._name(f"{layer}/{array}"), None)

    def forward(self, lr):
        tensors = {"lr": lr}
        for operation in self.operations:
            inputs = [tensors[name] for name in operation["inputs"]]
            tensors[operation["output"]] = getattr(self, f"run_{operation['op']}")(operation, *inputs)
        return tensors["sr"]

    def run_conv(self, operation, x):
        kernel, bias = (self._get(operation["layer"], array) for array in ("kernel", "bias"))
        x = F.conv2d(x, kernel, bias, padding=[n // 2 for n in kernel.shape[2:]], groups=operation["groups"])
        statistics = [self._get(operation["norm"], array) for array in ("mean", "var", "scale", "bias")]
        return x if statistics[0] is None else F.batch_norm(x, *statistics, eps=1e-5)

    def run_prelu(self, operation, x):
        return F.prelu(x, self._get(operation["layer"], "slope"))

    def run_leaky_relu(self, operation, x):
        return F.leaky_relu(x, operation["slope"])

    def run_tanh(self, operation, x):
        return torch.tanh(x)

    def run_add(self, operation, x, y):
        return x + y

    def run_affine(self, operation, x):
        return operation["factor"] * x + operation["shift"]

    def run_mix(self, operation, x):
        matrix, shift = (torch.tensor(operation[name], dtype=x.dtype, device=x.device) for name in ("matrix", "shift"))
        return F.conv2d(x, matrix[:, :, None, None], shift)

    def run_concat(self, operation, *xs):
        return torch.cat(xs, dim=1)

    def run_shuffle(self, operation, x):
        factor, (n, _, h, w) = operation["factor"], x.shape
        # Channels are ordered as (row, column, feature), where F.pixel_shuffle wants (feature, row, column).
        x = x.view(n, factor, factor, -1, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(n, -1, h * factor, w * factor)

    def run_resize(self, operation, x):
        # With antialias PyTorch's cubic is that of JAX (a = -1/2), also where it enlarges.
        options = {
            "nearest": {"mode": "nearest"},
            "bilinear": {"mode": "bilinear", "align_corners": False},
            "bicubic": {"mode": "bicubic", "antialias": True},
        }[operation["method"]]
        return F.interpolate(x, scale_factor=operation["scale"], **options)

    def run_identity(self, operation, x):
        return x
