"""Generators of other projects in, and ours out: PyTorch state dicts, ONNX and StableHLO."""
