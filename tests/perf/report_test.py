#!/usr/bin/env python3
"""Goal: a report holds every row, the ratios, and the charts that the rows allow.
Method: rows by hand through perf/report.py and perf/plot.py, into a temporary folder.
"""
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "perf"))
import report  # noqa: E402


def row(system, model, size, workers, us, chunk=32768):
    is_phub = system == "phub"
    return {
        "system": system, "algorithm": "hub" if is_phub else "ring", "fabric": "shm",
        "model": model, "bytes": size, "dtype": "fp32", "op": "sum", "optimizer": "none",
        "stores": "auto" if is_phub else "", "workers": workers, "hubs": int(is_phub),
        "shards": 2 * is_phub, "chunk_bytes": chunk * is_phub, "samples": 5,
        "time_us_p50": us, "time_us_p99": us * 1.2, "algbw_GBps": size / us / 1e3,
        "busbw_GBps": size / us / 1e3, "hubbw_GBps": size * workers / us / 1e3, "roof_us": us / 2,
        "roof_percent": 50.0, "wrong": 0, "machine": "a machine", "revision": "r1",
    }


ROWS = [row(system, "resnet50", 102228128, workers, us * workers)
        for system, us in [("phub", 5000), ("openmpi", 20000)] for workers in (2, 4)]
ROWS += [row("phub", "flat", 4096 * 4**i, 2, 10.0 * 3**i) for i in range(4)]
ROWS += [row("phub", "resnet50", 102228128, 4, 21000, chunk) for chunk in (4096, 65536)]


class ReportTest(unittest.TestCase):
    def write(self, lines):
        folder = pathlib.Path(tempfile.mkdtemp())
        path = folder / "rows.jsonl"
        path.write_text("\n".join(lines) + "\n")
        return folder, path

    def test_the_table_has_every_row_and_the_ratio_to_phub(self):
        _, path = self.write([json.dumps(entry) for entry in ROWS])
        lines = report.table(report.load(path))
        self.assertEqual(len(lines), 2 + len(ROWS))
        self.assertEqual(sum("| 4.00 x |" in line for line in lines), 2)

    def test_the_report_names_machine_and_wrong_elements(self):
        folder, path = self.write([json.dumps(dict(ROWS[0], wrong=7))])
        report.write(report.load(path), folder, ["chart"])
        text = (folder / "index.md").read_text()
        self.assertIn("a machine", text)
        self.assertIn("**7**", text)
        self.assertIn("chart.svg", text)

    @unittest.skipIf(report.plot is None, "this Python has no matplotlib")
    def test_every_chart_that_the_rows_allow_is_drawn_twice(self):
        folder, path = self.write([json.dumps(entry) for entry in ROWS])
        names = report.plot.draw(report.load(path), folder)
        for kind in ("by_size", "by_workers", "by_system", "by_chunk"):
            self.assertTrue(any(name.startswith(kind) for name in names), kind)
        for name in names:
            for suffix in ("svg", "png"):
                self.assertGreater((folder / f"{name}.{suffix}").stat().st_size, 1000)

    @unittest.skipIf(report.plot is None, "this Python has no matplotlib")
    def test_of_equal_rows_the_last_counts(self):
        _, path = self.write([json.dumps(ROWS[0]), json.dumps(dict(ROWS[0], time_us_p50=1.0))])
        rows = report.load(path)
        self.assertEqual([entry["time_us_p50"] for entry in rows], [1.0])


if __name__ == "__main__":
    unittest.main()
