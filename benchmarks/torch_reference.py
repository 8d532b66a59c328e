"""The three networks in PyTorch, written from the paper, and the way of our arrays into them and back."""

import numpy as np
import torch
from torch import nn


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's, but with the biased variance in its running average too: Flax's (and Lasagne's) convention."""

    def forward(self, x):
        old = self.running_var.clone()
        y = super().forward(x)
        if self.training:
            n = x.numel() / x.shape[1]
            self.running_var = 0.9 * old + (self.running_var - 0.9 * old) * (n - 1) / n
        return y


def conv(fan_in, features, size, stride=1, *, bias=True):
    return nn.Conv2d(fan_in, features, size, stride, size // 2, bias=bias)


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.bn1, self.prelu = conv(n, n, 3, bias=False), BatchNorm(n), nn.PReLU(n)
        self.conv2, self.bn2 = conv(n, n, 3, bias=False), BatchNorm(n)

    def forward(self, x):
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class SRResNet(nn.Module):
    """Modules have the names of ours, so that `load` and `read` need no table."""

    def __init__(self, *, scale=4, channels=3, features=64, num_blocks=16):
        super().__init__()
        self.stem, self.stem_prelu = conv(channels, features, 9), nn.PReLU(features)
        self.blocks, self.factors = num_blocks, [3] if scale == 3 else [2] * (scale.bit_length() - 1)
        for i in range(num_blocks):
            self.add_module(f"block{i}", Block(features))
        self.trunk, self.trunk_bn = conv(features, features, 3, bias=False), BatchNorm(features)
        for i, factor in enumerate(self.factors):
            self.add_module(f"upsample{i}", conv(features, factor**2 * features, 3))
            self.add_module(f"upsample{i}_prelu", nn.PReLU(features))
        self.output = conv(features, channels, 9)

    def forward(self, lr):
        stem = x = self.stem_prelu(self.stem(lr))
        for i in range(self.blocks):
            x = self.get_submodule(f"block{i}")(x)
        x = stem + self.trunk_bn(self.trunk(x))
        for i, factor in enumerate(self.factors):
            x = nn.functional.pixel_shuffle(self.get_submodule(f"upsample{i}")(x), factor)
            x = self.get_submodule(f"upsample{i}_prelu")(x)
        return self.output(x)


class Discriminator(nn.Module):
    def __init__(self, *, features=64, hidden=1024, size=96):
        super().__init__()
        fan_in = 3
        for i in range(8):
            width = features << i // 2
            self.add_module(f"conv{i}", conv(fan_in, width, 3, 1 + i % 2, bias=i == 0))
            if i:
                self.add_module(f"bn{i}", BatchNorm(width))
            fan_in, size = width, -(-size // 2) if i % 2 else size
        self.dense0, self.dense1 = nn.Linear(size * size * fan_in, hidden), nn.Linear(hidden, 1)

    def forward(self, x):
        for i in range(8):
            x = self.get_submodule(f"conv{i}")(x)
            x = nn.functional.leaky_relu(self.get_submodule(f"bn{i}")(x) if i else x, 0.2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # our order of the dense layer's inputs
        return self.dense1(nn.functional.leaky_relu(self.dense0(x), 0.2))[:, 0]


def vgg19_features(params, image, *, preprocessing):
    """Return {(block, convolution): features} of VGG19, unscaled; image: [N, 3, H, W] in [-1, 1]."""
    if preprocessing == "caffe":
        mean = torch.tensor([123.68, 116.779, 103.939])
        x = (127.5 * (image + 1) - mean[:, None, None]).flip(1)
    else:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = ((image + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    features = {}
    for block, convs in enumerate((2, 2, 4, 4, 4), 1):
        for j in range(1, convs + 1):
            layer = params[f"conv{block}_{j}"]
            x = torch.relu(nn.functional.conv2d(x, tensor(layer["kernel"], (3, 2, 0, 1)), tensor(layer["bias"]), 1, 1))
            features[block, j] = x
        x = nn.functional.max_pool2d(x, 2)
    return features


def tensor(array, axes=None):
    return torch.from_numpy(np.array(array if axes is None else np.transpose(array, axes), np.float32, order="C"))


def nchw(images):
    return tensor(images, (0, 3, 1, 2))


def nhwc(images):
    return images.detach().numpy().transpose(0, 2, 3, 1)


_NAMES = {"kernel": "weight", "slope": "weight", "scale": "weight", "bias": "bias"}
_NAMES |= {"mean": "running_mean", "var": "running_var"}


def _subpixels(key, array, kernel, *, to_torch):
    """Reorder channels before a pixel shuffle: (subpixel, feature) here, (feature, subpixel) in PyTorch."""
    if "upsample" not in key or "prelu" in key:
        return array
    features = kernel.shape[1]  # of PyTorch's kernel: its inputs are as many as the features of a subpixel
    shape = (-1, features) if to_torch else (features, -1)
    return array.reshape(*array.shape[:-1], *shape).swapaxes(-1, -2).reshape(array.shape)


def load(module, arrays):
    """Copy our arrays, {"block0/conv1/kernel": …}, into a module."""
    state = module.state_dict()
    for key, array in arrays.items():
        *path, leaf = key.split("/")
        kernel = state.get(".".join([*path, "weight"]))
        array = _subpixels(key, np.asarray(array), kernel, to_torch=True)
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
        name = ".".join([*path, _NAMES[leaf]])
        assert state[name].shape == array.transpose(axes).shape, name
        state[name] = tensor(array, axes)
    missing = {name for name in state if not name.endswith("num_batches_tracked")} - {
        ".".join([*key.split("/")[:-1], _NAMES[key.split("/")[-1]]]) for key in arrays
    }
    assert not missing, missing
    module.load_state_dict(state)
    return module


def read(tensors, keys):
    """Return what PyTorch holds under its names (gradients, say) under our `keys` and in our layout."""
    arrays = {}
    for key in keys:
        *path, leaf = key.split("/")
        array = tensors[".".join([*path, _NAMES[leaf]])].detach().numpy()
        axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim]
        kernel = tensors.get(".".join([*path, "weight"]))
        arrays[key] = _subpixels(key, array.transpose(axes), kernel, to_torch=False)
    return arrays
