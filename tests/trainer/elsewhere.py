"""A second device for machines without one: real numbers on the CPU that say, and are checked to, live elsewhere.

CUDA refuses operations whose tensors lie on different devices; a test on the CPU never sees that. Here a tensor that
was put `elsewhere` keeps its data on the CPU, reports another device, and every operation checks what CUDA checks:
all tensors on one device, except numbers without dimensions, indices into a tensor that is elsewhere, and copies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

THERE = torch.device("xla:0")  # a device type of torch that needs no build of its own to be named
NAMES = {THERE.type, "meta"}  # torch's own kernels ask for the device that the empty shell of a tensor has
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default, aten.set_.source_Tensor}
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._unsafe_index.Tensor}


class Elsewhere(torch.Tensor):
    """A tensor on the pretended device; `here` is its data."""

    here: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @staticmethod
    def __new__(cls, here: torch.Tensor, requires_grad: bool = False):
        return torch.Tensor._make_wrapper_subclass(  # pyright: ignore
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            device="meta", requires_grad=requires_grad,
        )  # fmt: skip

    def __init__(self, here: torch.Tensor, requires_grad: bool = False):
        self.here = here

    @property
    def device(self) -> torch.device:  # pyright: ignore
        return THERE

    def tolist(self) -> Any:  # pyright: ignore
        return self.here.tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Elsewhere:
        copied = Elsewhere(self.here.clone(), self.requires_grad)
        if getattr(self, "_is_param", False):
            copied._is_param = True  # pyright: ignore
        memo[id(self)] = copied
        return copied

    def __repr__(self) -> str:  # pyright: ignore
        return f"Elsewhere({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: refuse what CUDA refuses, compute on the CPU, and leave the result where it belongs."""
    flat, _ = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    asked = kwargs.get("device")
    target = bool(there) if asked is None else torch.device(asked).type in NAMES
    if func not in COPIES:
        check(func, args, tensors, there)
    generator = kwargs.get("generator")
    if target and isinstance(generator, torch.Generator) and generator.device.type == "cpu":
        raise RuntimeError(f"{func}: a generator of the CPU cannot fill a tensor elsewhere")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if func in COPIES and func is not aten._to_copy.default:
        target = isinstance(args[0], Elsewhere)
    into = args[0] if args and isinstance(args[0], torch.Tensor) and func._schema.name.endswith("_") else None
    inner = tree_map_only(Elsewhere, lambda x: x.here, (args, kwargs))
    out = func(*inner[0], **inner[1])
    if func is aten._to_copy.default and target and not isinstance(args[0], Elsewhere) and out is args[0]:
        out = out.clone()
    if into is not None:
        return into
    return tree_map_only(torch.Tensor, Elsewhere, out) if target else out


def check(func: Any, args: Any, tensors: list[torch.Tensor], there: list[Elsewhere]) -> None:
    """Raise the RuntimeError that CUDA would."""
    if not there:
        return
    here = [x for x in tensors if not isinstance(x, Elsewhere) and x.dim() > 0]
    if func in INDEXED and isinstance(args[0], Elsewhere):
        indices = [x for x in args[1] if x is not None]
        here = [x for x in here if all(x is not i for i in indices)]
    if here:
        raise RuntimeError(f"{func}: {len(there)} tensors elsewhere and {len(here)} on the CPU, {here[0].shape}")


class Mode(TorchDispatchMode):
    """Lets factories (`torch.zeros(..., device=x.device)`) and `.to(device)` reach the pretended device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Makers(TorchFunctionMode):
    """What torch makes where no dispatch mode can see it: `torch.tensor(..., device=there)`, indices from lists."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (args[0], tuple(torch.tensor(i) if isinstance(i, list) else i for i in index), *args[2:])
        return func(*args, **kwargs)


class NoGrad:
    """Stands for torch's inference mode, which knows no tensors with data of their own."""

    def __init__(self, on: bool):
        self.before = torch.is_grad_enabled()
        torch.set_grad_enabled(self.before and not on)

    def __enter__(self) -> None:
        """Nothing: what is switched is switched when it is made, as in torch."""

    def __exit__(self, *_: object) -> None:
        torch.set_grad_enabled(self.before)


@contextlib.contextmanager
def elsewhere() -> Iterator[torch.device]:
    """A context in which the pretended device exists."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with mock.patch.object(torch._C, "_InferenceMode", NoGrad), Makers(), Mode():
            yield THERE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
