#!/usr/bin/env python3
"""Counts what test.sh ran: summary.py FOLDER; exit status 1 when anything failed.

FOLDER/steps      one line per command: STAGE NAME passed, or STAGE NAME failed: COMMAND
FOLDER/STAGE.xml  what ctest saw (JUnit), with the output of every test

A GoogleTest program counts by its cases, any other ctest entry and any step as one.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

RUN = re.compile(r"^\[ RUN      \] (\S+)")
# With a time at the end: the list of failures below the cases repeats their names without it.
END = re.compile(r"^\[( +OK |  FAILED  |  SKIPPED )\] ([^\s,]+).*\(\d+ ms\)$")


class Summary:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add_steps(self, path):
        for line in path.read_text().splitlines():
            stage, name, verdict = line.split(" ", 2)
            if verdict == "passed":
                self.passed += 1
            else:
                self.failed.append(f"{stage}: {name}: {verdict[len('failed: '):]}")

    def add_stage(self, path):
        for entry in ElementTree.parse(path).getroot().iter("testcase"):
            name = f"{path.stem}: {entry.get('name')}"
            failed_before = len(self.failed)
            output = entry.findtext("system-out") or ""
            is_counted = self.add_cases(name, output)
            status = entry.get("status")
            if status == "run":
                self.passed += not is_counted
            elif status == "fail":
                # A crash, a time-out or a sanitizer's finding may have no case of its own.
                if len(self.failed) == failed_before:
                    self.failed.append(f"{name}: {last_line(output) or 'timed out'}")
            else:
                self.skipped.append(f"{name}: {last_line(output) or 'no reason given'}")

    def add_cases(self, name, output):
        """Counts GoogleTest's cases; False when there are none."""
        running, said, count = None, [], 0
        for line in output.splitlines():
            start, end = RUN.match(line), END.match(line)
            if start:
                if running:  # It died, but another program's cases follow in the same output.
                    self.failed.append(f"{name}: {running}: did not end")
                running, said = start.group(1), []
            elif end:
                count += 1
                self.add_case(end.group(1).strip(), f"{name}: {end.group(2)}", said)
                running = None
            else:
                said.append(line.strip())
        if running:
            self.failed.append(f"{name}: {running}: did not end")
        return count > 0 or running is not None

    def add_case(self, verdict, name, said):
        if verdict == "OK":
            self.passed += 1
        elif verdict == "FAILED":
            self.failed.append(name)
        else:
            why = " ".join(line for line in said if line and not line.endswith(": Skipped"))
            self.skipped.append(f"{name}: {why or 'no reason given'}")


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def main():
    folder = pathlib.Path(sys.argv[1])
    summary = Summary()
    summary.add_steps(folder / "steps")
    for path in sorted(folder.glob("*.xml")):
        summary.add_stage(path)
    for line in summary.failed:
        print(f"failed   {line}")
    for line in summary.skipped:
        print(f"skipped  {line}")
    failed, skipped = len(summary.failed), len(summary.skipped)
    print(f"{summary.passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
