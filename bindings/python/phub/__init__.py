"""PHub: a hub that adds the gradients of all ranks of a training, in the order of ranks.

    import numpy as np, phub

    with phub.Worker() as worker:        # PHUB_HUB; rank and size from mpirun, torchrun, Slurm, ...
        (fc,) = worker.register_tensors([phub.TensorSpec("fc.weight", 1000, op="mean")])
        gradient = np.asarray(worker.allocate(1000))        # The hub reads it where it is.
        mean = np.asarray(worker.push_pull(fc, gradient).wait())

Errors are phub.Error, with a subclass for each code. Nothing waits without a deadline.
`python -m phub.launch -n 4 train.py` starts a hub and four workers on this machine; phub.torch is
for PyTorch, phub.mxnet for MXNet.
"""
from phub.errors import (Aborted, AlreadyExists, Error, FailedPrecondition, Internal,
                         InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, TimedOut,
                         Unavailable, Unimplemented)
from phub.messenger import ANY_PEER, Messenger, Transfer
from phub.operation import Operation
from phub.types import (DataType, Optimizer, OptimizerKind, ReduceOp, StateKind, Tensor,
                        TensorSpec)
from phub.worker import Worker

__all__ = [
    "ANY_PEER", "Aborted", "AlreadyExists", "DataType", "Error", "FailedPrecondition", "Internal",
    "InvalidArgument", "Messenger", "NotFound", "Operation", "Optimizer", "OptimizerKind",
    "PermissionDenied", "ReduceOp", "ResourceExhausted", "StateKind", "Tensor", "TensorSpec",
    "TimedOut", "Transfer", "Unavailable", "Unimplemented", "Worker",
]
