"""PHub for PyTorch.

    model = DistributedDataParallel(model)
    model.register_comm_hook(phub.torch.State(), phub.torch.hook)     # Under an unmodified trainer.

or, for all that torch.distributed does:

    torch.distributed.init_process_group("phub")                      # And then DDP, FSDP, ZeRO.

or, with the optimizer at the hub, and without torch.distributed:

    optimizer = phub.torch.HubOptimizer(model.parameters(), optimizer="adamw", lr=1e-3)
"""
from phub.torch.average import average
from phub.torch import group
from phub.torch.hook import State, hook
from phub.torch.optimizer import HubOptimizer
from phub.torch.parameters import broadcast_parameters

__all__ = ["HubOptimizer", "State", "average", "broadcast_parameters", "hook"]

group.register()
