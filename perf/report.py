#!/usr/bin/env python3
"""Writes report/index.md, tables and plots, from a JSON Lines file of phub-perf exchange.

    report.py results.jsonl --out report

Without matplotlib the tables come alone, and the report says so.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
try:
    import plot
except ImportError:
    plot = None


def human_bytes(value):
    for unit, size in [("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)]:
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value} B"


def load(path):
    if plot is not None:
        return plot.load(path)
    import json

    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line]


def case_of(row):
    return (row["model"], row["bytes"], row["dtype"], row["op"], row["optimizer"], row["workers"],
            row.get("compute_us", 0))


def table(rows):
    """One line a row; the ratio is the time of the system over PHub's in the same case."""
    lines = [
        "| model | bytes | type | workers | system | time p50 | p99 | algbw GB/s | busbw GB/s |"
        " hubbw GB/s | % of roof | wrong | PHub is faster by |",
        "|---|---:|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ours = {}
    for row in rows:
        key = case_of(row)
        if row["system"] == "phub":
            if key not in ours or row["time_us_p50"] < ours[key]:
                ours[key] = row["time_us_p50"]
    for row in sorted(rows, key=lambda row: (case_of(row), row["system"] != "phub")):
        ratio = ""
        if row["system"] != "phub" and ours.get(case_of(row)):
            ratio = f"{row['time_us_p50'] / ours[case_of(row)]:.2f} x"
        name = row["system"]
        if row["system"] == "phub":
            name += f", {row['shards']} shards, {human_bytes(row['chunk_bytes'])} chunks"
            if row["optimizer"] != "none":
                name += f", {row['optimizer']}"
        elif row.get("algorithm"):
            name += f" ({row['algorithm']})"
        lines.append(
            f"| {row['model']} | {human_bytes(row['bytes'])} | {row['dtype']} {row['op']} |"
            f" {row['workers']} | {name} |"
            f" {time(row['time_us_p50'])} | {time(row['time_us_p99'])} |"
            f" {row['algbw_GBps']:.2f} | {row['busbw_GBps']:.2f} | {row['hubbw_GBps']:.2f} |"
            f" {row['roof_percent']:.0f} | {row['wrong']} | {ratio} |")
    return lines


def time(us):
    return f"{us / 1e3:.2f} ms" if us >= 1000 else f"{us:.1f} us"


def write(rows, folder, charts):
    first = rows[0]
    wrong = sum(row["wrong"] for row in rows)
    lines = [
        "# PHub on this machine",
        "",
        f"Machine: {first.get('machine', 'unknown')}."
        f" Revision: {first.get('revision', 'unknown')}.",
        f"Wrong elements over all rounds: **{wrong}**.",
        "",
        "Times are the slowest rank's, between barriers; systems took turns in one run. The roof",
        "is what this machine needs at the very least to read every worker's gradient and write",
        "every worker's result once. algbw: bytes per worker over time; busbw: times 2(n-1)/n;",
        "hubbw: times n. GB = 1e9 bytes. The others exchange a model as one fused buffer, their",
        "best case.",
        "",
    ]
    lines += table(rows)
    lines.append("")
    for chart in charts:
        lines += [f"![{chart.replace('_', ' ')}]({chart}.svg)", ""]
    if plot is None:
        lines += ["No plots: this Python has no matplotlib (apt install python3-matplotlib).", ""]
    (folder / "index.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", help="JSON Lines file of phub-perf exchange --json")
    parser.add_argument("--out", default="report", help="folder to write to [report]")
    arguments = parser.parse_args()
    rows = load(arguments.results)
    if not rows:
        sys.exit(f"{arguments.results} holds no rows")
    folder = pathlib.Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    charts = plot.draw(rows, folder) if plot is not None else []
    write(rows, folder, charts)
    print(f"{folder}/index.md and {len(charts)} plots")


if __name__ == "__main__":
    main()
