"""Telling that memory has run out from everything else that torch raises."""

from __future__ import annotations

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or Python says that memory has run out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return any(words in text for words in ("out of memory", "can't allocate memory", "not enough memory"))


def keep_out_of_memory(error: Exception) -> None:
    """Raise an error again that says so: another way would take no less, or be slower without a reason."""
    if is_out_of_memory(error):
        raise error
