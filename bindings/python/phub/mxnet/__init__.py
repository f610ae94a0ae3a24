"""PHub for MXNet 1.9: a KVStore for gluon.Trainer, unmodified.

    import phub.mxnet
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 1e-3},
                            kvstore=mx.kv.create("phub"))

Its optimizer steps at the hub; with update_on_kvstore=False at each worker.
"""
from phub.mxnet.store import PHub

__all__ = ["PHub"]
