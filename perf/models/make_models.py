#!/usr/bin/env python3
"""Writes the tensor tables of real networks, one CSV a network, from their layers' formulas.

    make_models.py            writes NAME.csv beside this script
    make_models.py --check    exit status 1 if a file differs from what would be written

A line is `tensor_name,element_count`, in the order of the forward pass; only trained parameters
(no batch-norm statistics). Lines with # say where the architecture comes from. No framework is
needed: a network here is nothing but arithmetic on layer sizes.
"""
import pathlib
import sys


class Net:
    """A list of (name, element count), filled layer by layer."""

    def __init__(self):
        self.tensors = []

    def add(self, name, count):
        self.tensors.append((name, count))

    def conv(self, name, inputs, outputs, kernel, bias=False):
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        self.add(name + ".weight", inputs * outputs * height * width)
        if bias:
            self.add(name + ".bias", outputs)

    def norm(self, name, channels):
        self.add(name + ".weight", channels)
        self.add(name + ".bias", channels)

    def linear(self, name, inputs, outputs):
        self.add(name + ".weight", inputs * outputs)
        self.add(name + ".bias", outputs)

    def conv_norm(self, name, inputs, outputs, kernel):
        self.conv(name + ".conv", inputs, outputs, kernel)
        self.norm(name + ".bn", outputs)


def alexnet():
    net = Net()
    for index, (inputs, outputs, kernel) in enumerate(
        [(3, 64, 11), (64, 192, 5), (192, 384, 3), (384, 256, 3), (256, 256, 3)]
    ):
        net.conv(f"conv{index + 1}", inputs, outputs, kernel, bias=True)
    net.linear("fc6", 256 * 6 * 6, 4096)
    net.linear("fc7", 4096, 4096)
    net.linear("fc8", 4096, 1000)
    return net


def vgg(stages):
    net = Net()
    inputs = 3
    for stage, (count, outputs) in enumerate(zip(stages, [64, 128, 256, 512, 512])):
        for index in range(count):
            net.conv(f"conv{stage + 1}_{index + 1}", inputs, outputs, 3, bias=True)
            inputs = outputs
    net.linear("fc6", 512 * 7 * 7, 4096)
    net.linear("fc7", 4096, 4096)
    net.linear("fc8", 4096, 1000)
    return net


def googlenet():
    net = Net()
    net.conv_norm("conv1", 3, 64, 7)
    net.conv_norm("conv2", 64, 64, 1)
    net.conv_norm("conv3", 64, 192, 3)
    blocks = [  # inputs, 1x1, 3x3 reduce, 3x3, second 3x3 reduce, second 3x3, pool projection.
        ("inception3a", 192, 64, 96, 128, 16, 32, 32),
        ("inception3b", 256, 128, 128, 192, 32, 96, 64),
        ("inception4a", 480, 192, 96, 208, 16, 48, 64),
        ("inception4b", 512, 160, 112, 224, 24, 64, 64),
        ("inception4c", 512, 128, 128, 256, 24, 64, 64),
        ("inception4d", 512, 112, 144, 288, 32, 64, 64),
        ("inception4e", 528, 256, 160, 320, 32, 128, 128),
        ("inception5a", 832, 256, 160, 320, 32, 128, 128),
        ("inception5b", 832, 384, 192, 384, 48, 128, 128),
    ]
    for name, inputs, one, reduce_a, three_a, reduce_b, three_b, projection in blocks:
        net.conv_norm(f"{name}.branch1", inputs, one, 1)
        net.conv_norm(f"{name}.branch2.0", inputs, reduce_a, 1)
        net.conv_norm(f"{name}.branch2.1", reduce_a, three_a, 3)
        net.conv_norm(f"{name}.branch3.0", inputs, reduce_b, 1)
        net.conv_norm(f"{name}.branch3.1", reduce_b, three_b, 3)
        net.conv_norm(f"{name}.branch4.1", inputs, projection, 1)
    net.linear("fc", 1024, 1000)
    return net


def inception_a(net, name, inputs, pool):
    net.conv_norm(f"{name}.branch1x1", inputs, 64, 1)
    net.conv_norm(f"{name}.branch5x5_1", inputs, 48, 1)
    net.conv_norm(f"{name}.branch5x5_2", 48, 64, 5)
    net.conv_norm(f"{name}.branch3x3dbl_1", inputs, 64, 1)
    net.conv_norm(f"{name}.branch3x3dbl_2", 64, 96, 3)
    net.conv_norm(f"{name}.branch3x3dbl_3", 96, 96, 3)
    net.conv_norm(f"{name}.branch_pool", inputs, pool, 1)


def inception_b(net, name, inputs):
    net.conv_norm(f"{name}.branch3x3", inputs, 384, 3)
    net.conv_norm(f"{name}.branch3x3dbl_1", inputs, 64, 1)
    net.conv_norm(f"{name}.branch3x3dbl_2", 64, 96, 3)
    net.conv_norm(f"{name}.branch3x3dbl_3", 96, 96, 3)


def inception_c(net, name, inputs, mid):
    net.conv_norm(f"{name}.branch1x1", inputs, 192, 1)
    net.conv_norm(f"{name}.branch7x7_1", inputs, mid, 1)
    net.conv_norm(f"{name}.branch7x7_2", mid, mid, (1, 7))
    net.conv_norm(f"{name}.branch7x7_3", mid, 192, (7, 1))
    net.conv_norm(f"{name}.branch7x7dbl_1", inputs, mid, 1)
    net.conv_norm(f"{name}.branch7x7dbl_2", mid, mid, (7, 1))
    net.conv_norm(f"{name}.branch7x7dbl_3", mid, mid, (1, 7))
    net.conv_norm(f"{name}.branch7x7dbl_4", mid, mid, (7, 1))
    net.conv_norm(f"{name}.branch7x7dbl_5", mid, 192, (1, 7))
    net.conv_norm(f"{name}.branch_pool", inputs, 192, 1)


def inception_d(net, name, inputs):
    net.conv_norm(f"{name}.branch3x3_1", inputs, 192, 1)
    net.conv_norm(f"{name}.branch3x3_2", 192, 320, 3)
    net.conv_norm(f"{name}.branch7x7x3_1", inputs, 192, 1)
    net.conv_norm(f"{name}.branch7x7x3_2", 192, 192, (1, 7))
    net.conv_norm(f"{name}.branch7x7x3_3", 192, 192, (7, 1))
    net.conv_norm(f"{name}.branch7x7x3_4", 192, 192, 3)


def inception_e(net, name, inputs):
    net.conv_norm(f"{name}.branch1x1", inputs, 320, 1)
    net.conv_norm(f"{name}.branch3x3_1", inputs, 384, 1)
    net.conv_norm(f"{name}.branch3x3_2a", 384, 384, (1, 3))
    net.conv_norm(f"{name}.branch3x3_2b", 384, 384, (3, 1))
    net.conv_norm(f"{name}.branch3x3dbl_1", inputs, 448, 1)
    net.conv_norm(f"{name}.branch3x3dbl_2", 448, 384, 3)
    net.conv_norm(f"{name}.branch3x3dbl_3a", 384, 384, (1, 3))
    net.conv_norm(f"{name}.branch3x3dbl_3b", 384, 384, (3, 1))
    net.conv_norm(f"{name}.branch_pool", inputs, 192, 1)


def inception_v3():
    net = Net()
    for name, inputs, outputs, kernel in [
        ("Conv2d_1a_3x3", 3, 32, 3),
        ("Conv2d_2a_3x3", 32, 32, 3),
        ("Conv2d_2b_3x3", 32, 64, 3),
        ("Conv2d_3b_1x1", 64, 80, 1),
        ("Conv2d_4a_3x3", 80, 192, 3),
    ]:
        net.conv_norm(name, inputs, outputs, kernel)
    inception_a(net, "Mixed_5b", 192, 32)
    inception_a(net, "Mixed_5c", 256, 64)
    inception_a(net, "Mixed_5d", 288, 64)
    inception_b(net, "Mixed_6a", 288)
    for name, mid in [("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)]:
        inception_c(net, f"Mixed_{name}", 768, mid)
    net.conv_norm("AuxLogits.conv0", 768, 128, 1)
    net.conv_norm("AuxLogits.conv1", 128, 768, 5)
    net.linear("AuxLogits.fc", 768, 1000)
    inception_d(net, "Mixed_7a", 768)
    inception_e(net, "Mixed_7b", 1280)
    inception_e(net, "Mixed_7c", 2048)
    net.linear("fc", 2048, 1000)
    return net


def resnet18():
    net = Net()
    net.conv("conv1", 3, 64, 7)
    net.norm("bn1", 64)
    inputs = 64
    for stage, outputs in enumerate([64, 128, 256, 512]):
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            net.conv(f"{name}.conv1", inputs, outputs, 3)
            net.norm(f"{name}.bn1", outputs)
            net.conv(f"{name}.conv2", outputs, outputs, 3)
            net.norm(f"{name}.bn2", outputs)
            if inputs != outputs:
                net.conv(f"{name}.downsample.0", inputs, outputs, 1)
                net.norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    net.linear("fc", 512, 1000)
    return net


def resnet50():
    net = Net()
    net.conv("conv1", 3, 64, 7)
    net.norm("bn1", 64)
    inputs = 64
    for stage, (blocks, mid) in enumerate(zip([3, 4, 6, 3], [64, 128, 256, 512])):
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            net.conv(f"{name}.conv1", inputs, mid, 1)
            net.norm(f"{name}.bn1", mid)
            net.conv(f"{name}.conv2", mid, mid, 3)
            net.norm(f"{name}.bn2", mid)
            net.conv(f"{name}.conv3", mid, 4 * mid, 1)
            net.norm(f"{name}.bn3", 4 * mid)
            if block == 0:
                net.conv(f"{name}.downsample.0", inputs, 4 * mid, 1)
                net.norm(f"{name}.downsample.1", 4 * mid)
            inputs = 4 * mid
    net.linear("fc", 2048, 1000)
    return net


def resnet269():
    net = Net()
    net.norm("bn_data", 3)
    net.conv("conv0", 3, 64, 7)
    net.norm("bn0", 64)
    inputs = 64
    for stage, (units, outputs) in enumerate(zip([3, 30, 48, 8], [256, 512, 1024, 2048])):
        mid = outputs // 4
        for unit in range(units):
            name = f"stage{stage + 1}_unit{unit + 1}"
            net.norm(f"{name}_bn1", inputs)
            net.conv(f"{name}_conv1", inputs, mid, 1)
            net.norm(f"{name}_bn2", mid)
            net.conv(f"{name}_conv2", mid, mid, 3)
            net.norm(f"{name}_bn3", mid)
            net.conv(f"{name}_conv3", mid, outputs, 1)
            if unit == 0:
                net.conv(f"{name}_sc", inputs, outputs, 1)
            inputs = outputs
    net.norm("bn1", 2048)
    net.linear("fc1", 2048, 1000)
    return net


def bert_large():
    net = Net()
    hidden, inner = 1024, 4096
    net.add("embeddings.word_embeddings.weight", 30522 * hidden)
    net.add("embeddings.position_embeddings.weight", 512 * hidden)
    net.add("embeddings.token_type_embeddings.weight", 2 * hidden)
    net.norm("embeddings.LayerNorm", hidden)
    for layer in range(24):
        name = f"encoder.layer.{layer}"
        for part in ["query", "key", "value"]:
            net.linear(f"{name}.attention.self.{part}", hidden, hidden)
        net.linear(f"{name}.attention.output.dense", hidden, hidden)
        net.norm(f"{name}.attention.output.LayerNorm", hidden)
        net.linear(f"{name}.intermediate.dense", hidden, inner)
        net.linear(f"{name}.output.dense", inner, hidden)
        net.norm(f"{name}.output.LayerNorm", hidden)
    net.linear("pooler.dense", hidden, hidden)
    return net


def gpt2():
    net = Net()
    hidden = 768
    net.add("wte.weight", 50257 * hidden)
    net.add("wpe.weight", 1024 * hidden)
    for layer in range(12):
        name = f"h.{layer}"
        net.norm(f"{name}.ln_1", hidden)
        net.linear(f"{name}.attn.c_attn", hidden, 3 * hidden)
        net.linear(f"{name}.attn.c_proj", hidden, hidden)
        net.norm(f"{name}.ln_2", hidden)
        net.linear(f"{name}.mlp.c_fc", hidden, 4 * hidden)
        net.linear(f"{name}.mlp.c_proj", 4 * hidden, hidden)
    net.norm("ln_f", hidden)
    return net


MODELS = {
    "alexnet": (
        alexnet,
        "AlexNet in the one-column form of Krizhevsky, arXiv 1404.5997, as torchvision builds it",
    ),
    "vgg11": (
        lambda: vgg([1, 1, 2, 2, 2]),
        "VGG-11, configuration A of Simonyan and Zisserman, arXiv 1409.1556; no batch norm",
    ),
    "vgg19": (
        lambda: vgg([2, 2, 4, 4, 4]),
        "VGG-19, configuration E of Simonyan and Zisserman, arXiv 1409.1556; no batch norm",
    ),
    "googlenet": (
        googlenet,
        "GoogLeNet, Szegedy et al., arXiv 1409.4842, as torchvision builds it (batch norm, 3x3 in"
        " branch 3), without the auxiliary classifiers",
    ),
    "inception_v3": (
        inception_v3,
        "Inception-v3, Szegedy et al., arXiv 1512.00567, as torchvision builds it, with the"
        " auxiliary classifier (without it: 23,834,568)",
    ),
    "resnet18": (resnet18, "ResNet-18, He et al., arXiv 1512.03385"),
    "resnet50": (resnet50, "ResNet-50, He et al., arXiv 1512.03385"),
    "resnet269": (
        resnet269,
        "ResNet-269: pre-activation bottlenecks 3, 30, 48, 8 (He et al., arXiv 1603.05027) in the"
        " form of MXNet's example symbol, shortcut without batch norm, batch norm on the data",
    ),
    "bert_large": (
        bert_large,
        "BERT-large uncased, Devlin et al., arXiv 1810.04805: embeddings, encoder and pooler",
    ),
    "gpt2": (
        gpt2,
        "GPT-2 small, Radford et al., 2019; the output layer shares the embedding's weights",
    ),
}


def table(name):
    build, source = MODELS[name]
    tensors = build().tensors
    total = sum(count for _, count in tensors)
    lines = [f"# {source}", f"# {len(tensors)} tensors, {total} elements"]
    lines += [f"{tensor},{count}" for tensor, count in tensors]
    return "\n".join(lines) + "\n"


def main():
    folder = pathlib.Path(__file__).resolve().parent
    stale = 0
    for name in MODELS:
        path = folder / f"{name}.csv"
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != table(name):
                print(f"{path.name} is not what make_models.py writes; run it again")
                stale += 1
        else:
            path.write_text(table(name))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
