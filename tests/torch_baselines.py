"""SRCNN, ESPCN, VDSR, DRCN and EDSR in PyTorch, written from their papers; modules have the names of our layers.

They take and give RGB or grey in [0, 1]. The colour goes by way of MATLAB's YCbCr, its offsets included.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

FORWARD = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
OFFSET = np.array([16, 128, 128]) / 255


def conv(fan_in, features, size, *, bias=True):
    return nn.Conv2d(fan_in, features, size, padding=size // 2, bias=bias)


def bicubic(x, scale):
    return F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)  # a = -1/2


def matrix(x, m):
    return torch.einsum("oc,nchw->nohw", torch.tensor(m, dtype=x.dtype), x)


class Luma(nn.Module):
    """RGB -> YCbCr; Y by the network, Cb and Cr bicubically; back to RGB."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, lr):
        if lr.shape[1] == 1:
            return self.luma(lr)
        offset = torch.tensor(OFFSET, dtype=lr.dtype)[:, None, None]
        ycbcr = matrix(lr, FORWARD) + offset
        y = self.luma(ycbcr[:, :1])
        return matrix(torch.cat([y, bicubic(ycbcr[:, 1:], self.scale)], 1) - offset, np.linalg.inv(FORWARD))


class SRCNN(Luma):
    def __init__(self, *, scale, features, mapping_features, mapping_size):
        super().__init__(scale)
        self.extraction, self.mapping = conv(1, features, 9), conv(features, mapping_features, mapping_size)
        self.output = conv(mapping_features, 1, 5)

    def luma(self, y):
        return self.output(F.relu(self.mapping(F.relu(self.extraction(bicubic(y, self.scale))))))


class ESPCN(Luma):
    def __init__(self, *, scale, features, mapping_features):
        super().__init__(scale)
        self.extraction, self.mapping = conv(1, features, 5), conv(features, mapping_features, 3)
        self.output = conv(mapping_features, scale**2, 3)

    def luma(self, y):
        x = torch.tanh(self.mapping(torch.tanh(self.extraction(y))))
        return F.pixel_shuffle(self.output(x), self.scale)


class VDSR(Luma):
    def __init__(self, *, scale, features, num_layers, use_bias=True):
        super().__init__(scale)
        self.layers = num_layers - 1
        for i in range(self.layers):
            self.add_module(f"hidden{i}", conv(features if i else 1, features, 3, bias=use_bias))
        self.output = conv(features, 1, 3, bias=use_bias)

    def luma(self, y):
        enlarged = x = bicubic(y, self.scale)
        for i in range(self.layers):
            x = F.relu(self.get_submodule(f"hidden{i}")(x))
        return enlarged + self.output(x)


class DRCN(Luma):
    def __init__(self, *, scale, features, recursions):
        super().__init__(scale)
        self.recursions = recursions
        self.embedding0, self.embedding1 = conv(1, features, 3), conv(features, features, 3)
        self.recursion, self.reconstruction = conv(features, features, 3), conv(features, features, 3)
        self.output, self.ensemble = conv(features, 1, 3), nn.Conv2d(recursions, 1, 1, bias=False)

    def estimates(self, y):
        enlarged = bicubic(y, self.scale)
        x = F.relu(self.embedding1(F.relu(self.embedding0(enlarged))))
        for _ in range(self.recursions):
            x = F.relu(self.recursion(x))
            yield enlarged + self.output(F.relu(self.reconstruction(x)))

    def luma(self, y):
        weights = self.ensemble.weight.flatten()
        return sum(weight * estimate for weight, estimate in zip(weights, self.estimates(y), strict=True))


class Block(nn.Module):
    def __init__(self, features, residual_scale, *, size=3):
        super().__init__()
        self.conv1, self.conv2 = conv(features, features, size), conv(features, features, size)
        self.scale = residual_scale

    def forward(self, x):
        return x + self.scale * self.conv2(F.relu(self.conv1(x)))


class EDSR(nn.Module):
    def __init__(self, *, scale, features, num_blocks, channels=3, residual_scale=1.0):
        super().__init__()
        self.factors, self.blocks = {2: [2], 3: [3], 4: [2, 2]}[scale], num_blocks
        self.stem = conv(channels, features, 3)
        for i in range(num_blocks):
            self.add_module(f"block{i}", Block(features, residual_scale))
        self.trunk = conv(features, features, 3)
        for i, factor in enumerate(self.factors):
            self.add_module(f"upsample{i}", conv(features, factor**2 * features, 3))
        self.output = conv(features, channels, 3)

    def before(self, x):
        return x

    def after(self, x):
        for i, factor in enumerate(self.factors):
            x = F.pixel_shuffle(self.get_submodule(f"upsample{i}")(x), factor)
        return x

    def forward(self, lr):
        mean = 255 * torch.tensor([0.4488, 0.4371, 0.4040], dtype=lr.dtype)[:, None, None]
        stem = x = self.before(self.stem(255 * lr - mean))
        for i in range(self.blocks):
            x = self.get_submodule(f"block{i}")(x)
        return (self.output(self.after(stem + self.trunk(x))) + mean) / 255


class MDSR(EDSR):
    """EDSR's trunk, with two residual blocks of 5×5 before it and convolutions after it for each scale."""

    def __init__(self, *, scale, scales, features, num_blocks, channels=3, residual_scale=1.0):
        super().__init__(scale=scale, features=features, num_blocks=num_blocks, residual_scale=residual_scale)
        for i in range(len(self.factors)):
            delattr(self, f"upsample{i}")
        self.scale = scale
        for other in map(int, scales.split(",")):
            for i in (0, 1):
                self.add_module(f"x{other}_block{i}", Block(features, 1.0, size=5))
            for i, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[other]):
                self.add_module(f"x{other}_upsample{i}", conv(features, factor**2 * features, 3))

    def before(self, x):
        for i in (0, 1):
            x = self.get_submodule(f"x{self.scale}_block{i}")(x)
        return x

    def after(self, x):
        for i, factor in enumerate(self.factors):
            x = F.pixel_shuffle(self.get_submodule(f"x{self.scale}_upsample{i}")(x), factor)
        return x
