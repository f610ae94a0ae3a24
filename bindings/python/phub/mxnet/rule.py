"""An optimizer of MXNet as the hub's: a name and numbers."""
from __future__ import annotations

import warnings
import weakref
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx

from phub.errors import Unimplemented
from phub.types import Optimizer
from phub.worker import Worker

Key = Any
# What rank 0 last told the hub: for every round that it starts from then on, of any store.
_in_force: "weakref.WeakKeyDictionary[Worker, Tuple[float, float]]" = weakref.WeakKeyDictionary()
_AT_WORKERS = "let each worker take the step: update_on_kvstore=False"


class Rule:
    """What the hub does in place of a mxnet.optimizer.Optimizer. Unimplemented: it cannot."""

    def __init__(self, optimizer: mx.optimizer.Optimizer):
        kind = type(optimizer)
        if kind not in (mx.optimizer.SGD, mx.optimizer.ccSGD, mx.optimizer.NAG,
                        mx.optimizer.Adam):
            raise Unimplemented(f"optimizer {kind.__name__.lower()} at the hub: it has sgd, nag "
                                f"and adam; {_AT_WORKERS}")
        if optimizer.clip_gradient:
            raise Unimplemented(f"clip_gradient={optimizer.clip_gradient} at the hub: it does not "
                                f"clip single elements; {_AT_WORKERS}")
        self.optimizer = optimizer
        self._has_warned = False
        self._rates: Dict[Key, float] = {}

    def same_as(self, optimizer: mx.optimizer.Optimizer) -> bool:
        """Whether the hub would do the same for it."""
        mine, other = self.optimizer, optimizer
        names = ("momentum", "beta1", "beta2", "epsilon", "wd")
        return type(mine) is type(other) and all(
            getattr(mine, name, None) == getattr(other, name, None) for name in names)

    def for_key(self, key: Key) -> Optimizer:
        """The hub's optimizer of one tensor."""
        mine = self.optimizer
        numbers = {"learning_rate": mine._get_lr(key), "weight_decay": mine._get_wd(key)}
        if isinstance(mine, mx.optimizer.Adam):
            return Optimizer("adam", beta1=mine.beta1, beta2=mine.beta2, epsilon=mine.epsilon,
                             **numbers)
        if mine.momentum == 0:
            return Optimizer("sgd", **numbers)
        kind = "nesterov" if isinstance(mine, mx.optimizer.NAG) else "momentum"
        return Optimizer(kind, momentum=mine.momentum, **numbers)

    def is_trained(self, key: Key) -> bool:
        """False for what never gets a gradient, as gluon says: running means."""
        parameter = self.optimizer.param_dict.get(key)
        return parameter is None or parameter.grad_req != "null"

    def last_key(self, keys: List[Key]) -> Optional[Key]:
        """Which key ends a step, where a Trainer pushes all of them in the order of its own."""
        trained = [key for key in self.optimizer.param_dict if self.is_trained(key)]
        return max(trained) if trained and set(trained) <= set(keys) else None

    def before_push(self, worker: Worker, key: Key) -> None:
        """Counts the step, and tells the hub its rate, with lr_mult, and rescale_grad: rank 0."""
        mine = self.optimizer
        mine._update_count(key)
        rate, scale = mine._get_lr(key), mine.rescale_grad
        if self._rates.setdefault(key, rate) != rate and getattr(mine, "momentum", 0) != 0:
            self._warn_of_momentum()
        if worker.rank == 0 and _in_force.get(worker) != (rate, scale):
            worker.set_step(rate, scale)
            _in_force[worker] = (rate, scale)

    def _warn_of_momentum(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn("phub: the learning rate changes with momentum: the hub multiplies the "
                          "velocity by the new rate, MXNet each gradient by the rate of its time")
