"""An optimizer whose steps the hub takes."""
from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch

from phub.errors import FailedPrecondition, InvalidArgument, Unimplemented
from phub.operation import Operation
from phub.torch import optimizer_state
from phub.registry import default_worker, registry_of
from phub.types import Optimizer, OptimizerKind, Tensor, TensorSpec, data_type
from phub.worker import Worker

_NUMBERS = ("lr", "momentum", "dampening", "weight_decay", "betas", "eps")


class HubOptimizer(torch.optim.Optimizer):
    """torch.optim's SGD, Adam or AdamW over the mean gradient of all ranks, at the hub.

    backward() pushes each gradient as it appears, front layers first when they queue up; the hub
    steps when all ranks have pushed; step() waits and puts the new weights into the parameters.
    No DistributedDataParallel is needed. All ranks construct it with the same parameters in the
    same order; rank 0's values become everybody's.

    params     as for torch.optim: parameters, (name, parameter) pairs, or groups; fp32, fp16 or
               bf16 on the CPU. The hub's weights and state are fp32 throughout.
    optimizer  "sgd" (with momentum, dampening, nesterov), "adam" or "adamw"
    max_norm   scales all gradients of a step to at most this 2-norm, after averaging, as
               clip_grad_norm_ does under DDP. (That function itself comes too late here: gradients
               are on their way before backward() returns. step() refuses gradients changed since.)
    worker     None: the process's own

    Learning-rate schedulers work as long as all groups have one rate, or none changes its own.
    state_dict() has torch.optim's form, so that checkpoints go both ways.
    """

    def __init__(self, params: Any, optimizer: str = "sgd", lr: float = 1e-3, *,
                 momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False,
                 betas: Tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, max_norm: Optional[float] = None,
                 worker: Optional[Worker] = None):
        if optimizer not in ("sgd", "adam", "adamw"):
            raise InvalidArgument(f"optimizer {optimizer!r}; want sgd, adam or adamw")
        self._name = optimizer
        self._max_norm = max_norm
        self._worker = worker or default_worker()
        self._registry = registry_of(self._worker)
        self._group = self._registry.new_group("optimizer")
        self._is_local = False
        self._is_joining = False
        self._scale = 1.0
        self._operations: Dict[int, Tuple[Operation, torch.Tensor, int]] = {}
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening,
                                  "nesterov": nesterov, "betas": betas, "eps": eps,
                                  "weight_decay": weight_decay})
        self._parameters: List[torch.Tensor] = []
        self._specs: List[TensorSpec] = []
        for group in self.param_groups:
            self._add_specs(group)
        self._registered_rates = self._rates()
        self._sent_rate: Optional[float] = None
        self._specs = [self._with_priority(i) for i in range(len(self._specs))]
        # One more, to count who still has batches (join).
        self._active = TensorSpec(f"{self._group}.active", 1, "fp32", "sum", priority=1 << 30)
        self._tensors: List[Tensor] = []
        self.broadcast()
        for index, parameter in enumerate(self._parameters):
            parameter.register_post_accumulate_grad_hook(self._hook_of(index))

    def _add_specs(self, group: Dict[str, Any]) -> None:
        names = group.get("param_names") or [None] * len(group["params"])
        for parameter, name in zip(group["params"], names):
            index = len(self._parameters)
            if not parameter.requires_grad:
                continue
            if parameter.device.type != "cpu" or parameter.dtype not in (
                    torch.float32, torch.float16, torch.bfloat16):
                raise InvalidArgument(f"parameter {index} {name or ''}: {parameter.dtype} on "
                                      f"{parameter.device}; want float32, float16 or bfloat16 on "
                                      "the CPU")
            self._parameters.append(parameter)
            self._specs.append(TensorSpec(f"{self._group}.{name or index}", parameter.numel(),
                                          data_type(parameter.dtype), "mean",
                                          self._hub_optimizer(group)))

    def _hub_optimizer(self, group: Dict[str, Any]) -> Optimizer:
        kind = OptimizerKind[self._name]
        if self._name == "sgd" and group["momentum"] != 0:
            kind = OptimizerKind.nesterov if group["nesterov"] else OptimizerKind.momentum
        return Optimizer(kind, group["lr"], group["momentum"], group["dampening"],
                         group["weight_decay"], *group["betas"], group["eps"],
                         self._max_norm or 0.0)

    def _with_priority(self, index: int) -> TensorSpec:
        spec = self._specs[index]
        return TensorSpec(spec.name, spec.count, spec.dtype, spec.op, spec.optimizer,
                          len(self._specs) - index)

    @torch.no_grad()
    def broadcast(self, root: int = 0) -> None:
        """root's parameters become the hub's and everybody's: after changing them by hand.

        Collective; between steps only.
        """
        tensors = self._registry.replace(self._group, [*self._specs, self._active])
        self._tensors = tensors[:-1]
        operations = []
        for tensor, parameter in zip(self._tensors, self._parameters):
            data = parameter.detach().contiguous().clone()
            operations.append(self._worker.broadcast(tensor, data, root))
        for operation, parameter in zip(operations, self._parameters):
            parameter.copy_(operation.wait())

    def _tensor(self, index: int) -> Tensor:
        self._tensors[index] = self._registry.find(self._tensors[index])
        return self._tensors[index]

    def _hook_of(self, index: int) -> Callable[[torch.Tensor], None]:
        def on_gradient(parameter: torch.Tensor) -> None:
            if not self._is_local:
                self._push(index, parameter.grad)
        return on_gradient

    def _push(self, index: int, gradient: Optional[torch.Tensor]) -> None:
        if index in self._operations:
            raise FailedPrecondition(
                f"{self._specs[index].name}: its gradient of this step is on its way already; call "
                "step() after each backward(), or all but the last backward() under no_sync()")
        if not self._operations:
            self._begin_step()
        if gradient is None:
            gradient = torch.zeros_like(self._parameters[index])
        elif gradient.is_sparse:
            raise Unimplemented(f"{self._specs[index].name}: its gradient is sparse")
        sent = gradient.detach()
        if self._scale != 1.0:
            sent = sent * self._scale
        sent = sent.to(self._parameters[index].dtype).contiguous()
        operation = self._worker.push_pull(self._tensor(index), sent)
        self._operations[index] = (operation, gradient, gradient._version)

    def _begin_step(self) -> None:
        self._send_rate()
        self._scale = 1.0
        if self._is_joining:
            self._scale = self._worker.size / self._count_active(True)

    def _rates(self) -> List[float]:
        return [float(group["lr"]) for group in self.param_groups]

    def _send_rate(self) -> None:
        rates = self._rates()
        is_changed = rates != self._registered_rates or self._sent_rate is not None
        if not is_changed or (len(set(rates)) == 1 and rates[0] == self._sent_rate):
            return
        if len(set(rates)) > 1:
            raise Unimplemented(f"groups with learning rates {rates}: the hub changes the rate of "
                                "all tensors at once; give all groups one, or keep each group's")
        self._sent_rate = rates[0]
        if self._worker.rank == 0:
            self._worker.set_step(rates[0])

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> Any:
        """Waits for the new weights of all parameters. Those without a gradient count as zeros.

        Aborted, TimedOut, Unavailable: names the rank or the hub; see phub.Operation.wait.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for index, parameter in enumerate(self._parameters):
            if index not in self._operations:
                self._push(index, parameter.grad)
        self._finish()
        return loss

    def _finish(self) -> None:
        for index, (operation, gradient, version) in sorted(self._operations.items()):
            if gradient._version != version:
                raise FailedPrecondition(
                    f"{self._specs[index].name}: its gradient was changed after backward() had "
                    "pushed it; to clip, give HubOptimizer max_norm")
            weights = torch.from_dlpack(operation.wait())
            parameter = self._parameters[index]
            parameter.copy_(weights.view(parameter.shape))
        self._operations.clear()

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """backward() under it only adds to the gradients, as under DDP's."""
        was_local, self._is_local = self._is_local, True
        try:
            yield
        finally:
            self._is_local = was_local

    @contextlib.contextmanager
    def join(self) -> Iterator[None]:
        """For ranks with different numbers of batches: around the loop over them, on all ranks.

        Who has no more answers for the others until all are done; the mean is over those who still
        have batches. Costs one small exchange in each step.
        """
        self._is_joining = True
        try:
            yield
            with torch.no_grad():
                while self._count_active(False) > 0:
                    self._send_rate()
                    self._scale = 1.0
                    zeros = [torch.zeros_like(parameter) for parameter in self._parameters]
                    for index, zero in enumerate(zeros):
                        operation = self._worker.push_pull(self._tensor(index), zero)
                        self._operations[index] = (operation, zero, zero._version)
                    self._finish()
        finally:
            self._is_joining = False

    def _count_active(self, is_active: bool) -> int:
        tensor = next(t for t in self._worker.tensors if t.spec is self._active)
        count = torch.tensor([1.0 if is_active else 0.0])
        return round(self._worker.push_pull(tensor, count, count).wait().item())

    def state_dict(self) -> Dict[str, Any]:
        """In the form of torch.optim's; the hub's state is fetched. Any rank, between steps."""
        packed = super().state_dict()
        packed["state"] = optimizer_state.read(self._worker, self._places(), self._name)
        return packed

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Rank 0's state, and the present parameters, become the hub's. Collective.

        Load the model first. Understands what torch.optim's state_dict() gave, too.
        """
        super().load_state_dict({**state_dict, "state": {}})
        self._sent_rate = None if self._rates() == self._registered_rates else -1.0
        self.broadcast()
        if self._worker.rank == 0:
            optimizer_state.write(self._worker, self._places(), state_dict["state"])
        self._worker.barrier()

    def _places(self) -> optimizer_state.Places:
        if self._operations:
            raise FailedPrecondition("the optimizer's state: a step is going on; call step() first")
        tensors = iter([(self._tensor(i), p) for i, p in enumerate(self._parameters)])
        return [next(tensors) if parameter.requires_grad else None
                for group in self.param_groups for parameter in group["params"]]
