"""Weights: where they come from, their conversion to ONNX, and the store that keeps them."""
