#!/usr/bin/env python3
"""Draws what phub-perf measured: report/*.svg and *.png from a JSON Lines file.

    plot.py results.jsonl --out report

Which charts come out depends on what the file holds:
    by_size      algorithm bandwidth over bytes per worker, the machine's roof drawn in
    by_workers   time of a model's exchange over the number of workers
    by_system    models against the systems compared with, one group of bars a model
    by_chunk     time over the chunk size
Rows are those of `phub-perf exchange --json`; of several equal ones the last counts.
"""
import argparse
import collections
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.patheffects as effects  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: E402

INK = "#1f2933"
MUTED = "#7b8794"
GRID = "#e4e7eb"
COLORS = {"phub": "#0b6e99", "openmpi": "#d9822b", "gloo": "#8f6bb3"}
NAMES = {"phub": "PHub", "openmpi": "Open MPI", "gloo": "Gloo"}
MODELS = {
    "alexnet": "AlexNet", "vgg11": "VGG-11", "vgg19": "VGG-19", "googlenet": "GoogLeNet",
    "inception_v3": "Inception-v3", "resnet18": "ResNet-18", "resnet50": "ResNet-50",
    "resnet269": "ResNet-269", "bert_large": "BERT-large", "gpt2": "GPT-2",
}

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 26,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "white",
}


def human_bytes(value, _=None):
    for unit, size in [("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)]:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def key_of(row):
    names = ["system", "fabric", "model", "bytes", "dtype", "op", "optimizer", "stores", "workers",
             "shards", "chunk_bytes", "compute_us"]
    return tuple(row.get(name) for name in names)


def load(path):
    rows = collections.OrderedDict()
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            sys.exit(f"{path}, line {number}: {error}")
        rows[key_of(row)] = row
    return list(rows.values())


def best_per(rows, field):
    """system -> {value of field: the fastest row}: sweeps over other things leave the best."""
    result = collections.defaultdict(dict)
    for row in rows:
        have = result[row["system"]].get(row[field])
        if have is None or row["time_us_p50"] < have["time_us_p50"]:
            result[row["system"]][row[field]] = row
    return {system: dict(sorted(points.items())) for system, points in result.items()}


def in_order(systems):
    return sorted(systems, key=lambda name: list(COLORS).index(name) if name in COLORS else 9)


def figure(title, subtitle, machine, width=7.6, height=4.6):
    fig, axes = plt.subplots(figsize=(width, height))
    axes.set_title(title)
    axes.text(0, 1.035, subtitle, transform=axes.transAxes, color=MUTED, fontsize=9.5)
    fig.text(0.985, 0.015, machine, color=MUTED, fontsize=8, ha="right")
    return fig, axes


def save(fig, folder, name, written):
    fig.tight_layout(rect=(0, 0.035, 1, 1))  # Above the machine.
    for suffix in ("svg", "png"):
        fig.savefig(folder / f"{name}.{suffix}", dpi=160)
    plt.close(fig)
    written.append(name)


def label_ends(axes, ends):
    """Names the lines at their right ends, pushed apart where they would touch."""
    axes.figure.canvas.draw()
    to_pixels = axes.transData.transform
    last = None
    for x, y, text, color in sorted(ends, key=lambda end: to_pixels((end[0], end[1]))[1]):
        pixel = to_pixels((x, y))[1]
        shift = 0 if last is None else max(0, last + 17 - pixel)
        last = pixel + shift
        axes.annotate(text, (x, y), xytext=(8, shift * 72 / axes.figure.dpi),
                      textcoords="offset points", va="center", color=color, fontweight="bold",
                      annotation_clip=False)


def size_axis(axes, sizes):
    """A logarithmic axis of bytes with its ticks on measured sizes, at most nine of them."""
    axes.set_xscale("log", base=2)
    sizes = sorted(sizes)
    step = -(-len(sizes) // 9)
    axes.set_xticks(sizes[::step])
    axes.xaxis.set_major_formatter(FuncFormatter(human_bytes))
    axes.xaxis.set_minor_locator(NullLocator())


def machine_of(rows):
    return rows[0].get("machine") or "unknown machine"


def plot_by_size(rows, folder, written):
    groups = collections.defaultdict(list)
    for row in rows:
        if row["model"] == "flat" and row["optimizer"] == "none" and not row.get("compute_us"):
            groups[(row["workers"], row["dtype"], row["op"])].append(row)
    for (workers, dtype, op), group in sorted(groups.items()):
        systems = best_per(group, "bytes")
        if max(len(points) for points in systems.values()) < 3:
            continue
        fig, axes = figure(f"Exchange by size, {workers} workers",
                           f"bytes per worker over median time; {dtype} {op}", machine_of(group))
        ends = []
        roof = {row["bytes"]: row["bytes"] / row["roof_us"] / 1e3
                for row in group if row.get("roof_us")}
        if roof:
            sizes = sorted(roof)
            axes.plot(sizes, [roof[size] for size in sizes], color=MUTED, linewidth=1.4,
                      linestyle=(0, (4, 3)))
            ends.append((sizes[-1], roof[sizes[-1]], "roof", MUTED))
        for system in in_order(systems):
            points = systems[system]
            speeds = [row["algbw_GBps"] for row in points.values()]
            color = COLORS.get(system, INK)
            axes.plot(list(points), speeds, color=color, linewidth=2.2, marker="o", markersize=4.5)
            ends.append((list(points)[-1], speeds[-1], NAMES.get(system, system), color))
        size_axis(axes, {row["bytes"] for row in group})
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("bytes per worker")
        axes.set_ylabel("GB/s per worker, each way")
        label_ends(axes, ends)
        axes.margins(x=0.03)
        save(fig, folder, f"by_size_{workers}_workers_{dtype}_{op}", written)


def plot_by_workers(rows, folder, written):
    groups = collections.defaultdict(list)
    for row in rows:
        if row["model"] != "flat" and row["optimizer"] == "none" and not row.get("compute_us"):
            groups[(row["model"], row["dtype"], row["op"])].append(row)
    for (model, dtype, op), group in sorted(groups.items()):
        systems = best_per(group, "workers")
        if max(len(points) for points in systems.values()) < 2:
            continue
        name = MODELS.get(model, model)
        fig, axes = figure(f"{name} by number of workers",
                           f"median time of one exchange of {human_bytes(group[0]['bytes'])};"
                           f" {dtype} {op}", machine_of(group))
        ends = []
        roof = {row["workers"]: row["roof_us"] / 1e3 for row in group if row.get("roof_us")}
        if roof:
            counts = sorted(roof)
            axes.plot(counts, [roof[count] for count in counts], color=MUTED, linewidth=1.4,
                      linestyle=(0, (4, 3)))
            ends.append((counts[-1], roof[counts[-1]], "roof", MUTED))
        for system in in_order(systems):
            points = systems[system]
            times = [row["time_us_p50"] / 1e3 for row in points.values()]
            color = COLORS.get(system, INK)
            axes.plot(list(points), times, color=color, linewidth=2.2, marker="o", markersize=5)
            ends.append((list(points)[-1], times[-1], NAMES.get(system, system), color))
        axes.set_xticks(sorted({row["workers"] for row in group}))
        axes.set_ylim(bottom=0)
        axes.set_xlabel("workers")
        axes.set_ylabel("ms per exchange (less is better)")
        label_ends(axes, ends)
        save(fig, folder, f"by_workers_{model}_{dtype}_{op}", written)


def plot_by_system(rows, folder, written):
    groups = collections.defaultdict(list)
    for row in rows:
        if row["model"] != "flat" and row["optimizer"] == "none" and not row.get("compute_us"):
            groups[(row["workers"], row["dtype"], row["op"])].append(row)
    for (workers, dtype, op), group in sorted(groups.items()):
        systems = best_per(group, "model")
        if len(systems) < 2:
            continue
        sizes = {row["model"]: row["bytes"] for row in group}
        models = sorted(sizes, key=sizes.get)
        order = in_order(systems)
        fig, axes = figure(f"Exchanges per second, {workers} workers",
                           f"1 / median time, with the machine's roof; {dtype} {op}",
                           machine_of(group), width=max(7.6, 2.0 + 1.5 * len(models)))
        width = 0.8 / len(order)
        for index, system in enumerate(order):
            for place, model in enumerate(models):
                row = systems[system].get(model)
                if row is None:
                    continue
                rate = 1e6 / row["time_us_p50"]
                x = place - 0.4 + width * (index + 0.5)
                axes.bar(x, rate, width * 0.92, color=COLORS.get(system, INK),
                         label=NAMES.get(system, system) if place == 0 else None)
                label = axes.text(x, rate, f"{rate:.3g}", ha="center", va="bottom", fontsize=8.5,
                                  color=COLORS.get(system, INK), fontweight="bold")
                label.set_path_effects([effects.withStroke(linewidth=3, foreground="white")])
                label.set_zorder(5)
        for place, model in enumerate(models):
            roofs = [row["roof_us"] for row in group
                     if row["model"] == model and row.get("roof_us")]
            if roofs:
                axes.hlines(1e6 / min(roofs), place - 0.42, place + 0.42, color=MUTED,
                            linestyle=(0, (4, 3)), linewidth=1.4,
                            label="roof" if place == 0 else None)
        axes.set_xticks(range(len(models)))
        axes.set_xticklabels([f"{MODELS.get(model, model)}\n{human_bytes(sizes[model])}"
                              for model in models])
        axes.set_ylabel("exchanges per second")
        axes.legend(ncol=4, loc="upper right", bbox_to_anchor=(1, 1.0))
        axes.margins(y=0.16)
        save(fig, folder, f"by_system_{workers}_workers_{dtype}_{op}", written)


def plot_by_chunk(rows, folder, written):
    groups = collections.defaultdict(dict)
    for row in rows:
        if row["system"] == "phub" and row["optimizer"] == "none" and not row.get("compute_us"):
            key = (row["model"], row["bytes"], row["workers"], row["dtype"], row["op"])
            groups[key].setdefault(row.get("stores") or "auto", {})[row["chunk_bytes"]] = row
    for (model, size, workers, dtype, op), stores in sorted(groups.items()):
        if max(len(points) for points in stores.values()) < 3:
            continue
        name = MODELS.get(model, human_bytes(size))
        rows_here = [row for points in stores.values() for row in points.values()]
        fig, axes = figure(f"{name} by chunk size, {workers} workers",
                           f"median time of one exchange; {dtype} {op}", machine_of(rows_here))
        ends = []
        shades = {"auto": "#0b6e99", "non_temporal": "#0b6e99", "ordinary": "#5aa9c7"}
        for store, points in sorted(stores.items()):
            points = dict(sorted(points.items()))
            if len(points) < 3:
                continue
            times = [row["time_us_p50"] / 1e3 for row in points.values()]
            color = shades.get(store, INK)
            axes.plot(list(points), times, color=color, linewidth=2.2, marker="o", markersize=5)
            label = "PHub" if store == "auto" else store.replace("_", "-") + " stores"
            ends.append((list(points)[-1], times[-1], label, color))
        size_axis(axes, {row["chunk_bytes"] for row in rows_here})
        axes.set_ylim(bottom=0)
        axes.set_xlabel("bytes per chunk")
        axes.set_ylabel("ms per exchange (less is better)")
        label_ends(axes, ends)
        save(fig, folder, f"by_chunk_{model}_{workers}_workers_{dtype}_{op}", written)


def draw(rows, folder):
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with plt.rc_context(STYLE):
        for plot in (plot_by_system, plot_by_workers, plot_by_size, plot_by_chunk):
            plot(rows, folder, written)
    return written


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", help="JSON Lines file of phub-perf exchange --json")
    parser.add_argument("--out", default="report", help="folder to write to [report]")
    arguments = parser.parse_args()
    rows = load(arguments.results)
    if not rows:
        sys.exit(f"{arguments.results} holds no rows")
    for name in draw(rows, pathlib.Path(arguments.out)):
        print(f"{arguments.out}/{name}.svg, .png")


if __name__ == "__main__":
    main()
