"""MXNet's arrays as NumPy's, and sums over the devices of one rank."""
from __future__ import annotations

import ctypes
from typing import List, Sequence, Union

import mxnet as mx
import numpy as np
from mxnet.base import _LIB, check_call

from phub.errors import InvalidArgument, Unimplemented

NDArray = mx.nd.NDArray
Copies = Union[NDArray, Sequence[NDArray]]


def copies(given: Copies, what: str) -> List[NDArray]:
    """One array, or one for each device, as a list."""
    every = [given] if isinstance(given, NDArray) else list(given or ())
    if not every or not all(isinstance(each, NDArray) for each in every):
        raise InvalidArgument(f"{what}: {type(given).__name__}; want an NDArray, or one for each "
                              "device")
    for each in every:
        if each.stype != "default":
            raise Unimplemented(f"{what}: storage type {each.stype}; the hub adds dense arrays: "
                                "leave grad_stype and stype at \"default\"")
        if each.shape != every[0].shape or each.dtype != every[0].dtype:
            raise InvalidArgument(f"{what}: {each.dtype} {each.shape} on {each.context} beside "
                                  f"{every[0].dtype} {every[0].shape} on {every[0].context}; want "
                                  "the same on all devices")
    return every


def add(every: List[NDArray]) -> NDArray:
    """The sum over the devices, in memory of the CPU."""
    if len(every) > 1:
        first = every[0].context
        every = [mx.nd.add_n(*[each.as_in_context(first) for each in every])]
    return on_cpu(every[0])


def on_cpu(array: NDArray) -> NDArray:
    return array if array.context.device_type.startswith("cpu") else array.as_in_context(mx.cpu())


def memory(array: NDArray, is_written: bool = False) -> np.ndarray:
    """The elements of an array in memory of the CPU, where they are.

    After what MXNet still does to them has ended. Good as long as `array` lives, and until MXNet is
    told to do something else with it.
    """
    if is_written:
        check_call(_LIB.MXNDArrayWaitToWrite(array.handle))
    array.wait_to_read()
    address = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    dtype = np.dtype(array.dtype)
    place = (ctypes.c_byte * (array.size * dtype.itemsize)).from_address(address.value)
    return np.frombuffer(place, dtype)


def copied(array: NDArray) -> np.ndarray:
    """As memory(), but a copy."""
    return array.asnumpy().reshape(-1)


def fill(every: Sequence[NDArray], values: np.ndarray) -> None:
    """Copies flat values into the array of each device."""
    for each in every:
        if each.context.device_type.startswith("cpu"):
            memory(each, is_written=True)[:] = values
        else:
            each[:] = values.astype(each.dtype, copy=False).reshape(each.shape)
