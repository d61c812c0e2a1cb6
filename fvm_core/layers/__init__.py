"""Quadratic-form kernels; importing the package registers them all."""

from fvm_core.layers import attention, conv, embedding, linear, norm
from fvm_core.layers.registry import Kernel, kernel_for, register

__all__ = ["Kernel", "attention", "conv", "embedding", "kernel_for", "linear", "norm", "register"]
