"""Keep torch to operations that it differentiates twice, and in forward mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


@contextmanager
def differentiable() -> Iterator[None]:
    """No fused attention and no hardsigmoid inside; values stay the same up to rounding."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _TwiceHardsigmoid():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _TwiceHardsigmoid(TorchFunctionMode):
    """Hardsigmoid, which torch differentiates only once, by operations that it differentiates twice."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func is F.hardsigmoid:
            return F.relu6((args[0] if args else kwargs["input"]) + 3) / 6
        return func(*args, **kwargs)
