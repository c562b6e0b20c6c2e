"""Refuses what makes the host wait for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Operations that return a value, or a shape that depends on values, to Python.
_READS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "equal"}
_INDEXES = {"index", "index_put", "index_put_", "_index_put_impl_"}
_COPIES = {"_to_copy", "copy_", "copy"}


class NoWaiting(TorchDispatchMode):
    """Raise AssertionError for an operation that would wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in _READS, f"{name} reads from the device"
        if name in _INDEXES:
            masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
            assert not masks, f"{name} by a mask reads the number of elements"
        result = func(*args, **(kwargs or {}))
        if name in _COPIES:
            # From pinned memory it would not wait; nothing here is pinned.
            devices = {x.device.type for x in (*args, result) if isinstance(x, Tensor)}
            assert len(devices) == 1, f"{name} copies between {' and '.join(sorted(devices))}"
        return result
