#!/usr/bin/env python3
"""Goal: man pages and completions know every option and command, and read well.

Method: what --help lists is looked for in them; mandoc checks the pages; bash itself runs the
completions.  reference_test.py REFERENCE_FOLDER ENVIRONMENT_CC PROGRAM...
"""
import pathlib
import re
import subprocess
import sys
import unittest

REFERENCE, ENVIRONMENT = map(pathlib.Path, sys.argv[1:3])
PROGRAMS = {pathlib.Path(path).name: path for path in sys.argv[3:] if path}
PAGES = {"phubd": "phubd.8", "phubctl": "phubctl.1", "phub-perf": "phub-perf.1"}


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def page(name):
    return (REFERENCE / "man" / name).read_text().replace("\\-", "-")


def help_of(name):
    """The help texts of a program: its own, and those of phub-perf's commands."""
    texts = [output(PROGRAMS[name], "--help")]
    if name == "phub-perf":
        texts += [output(PROGRAMS[name], verb, "--help") for verb in verbs_of(texts[0])]
    return texts


def options_of(text):
    # Any word behind two dashes at the beginning of a line, whatever follows.
    return re.findall(r"^ *(--[a-z-]+)", text, re.MULTILINE)


def verbs_of(text):
    return re.findall(r"^  ([a-z][a-z-]+) ", text, re.MULTILINE)


def completed(program, *words):
    """What bash offers for the last word."""
    script = (f"source {REFERENCE}/bash/{program}; COMP_WORDS=({program} "
              + " ".join(f"'{word}'" for word in words)
              + f"); COMP_CWORD={len(words)}; _{program.replace('-', '_')} 2>/dev/null;"
              + ' printf "%s\\n" "${COMPREPLY[@]}"')
    return output("bash", "-c", script).split()


class ReferenceTest(unittest.TestCase):
    def test_every_option_is_in_its_page_and_its_completions(self):
        for program in PROGRAMS:
            bash = (REFERENCE / "bash" / program).read_text()
            zsh = (REFERENCE / "zsh" / ("_" + program)).read_text()
            for text in help_of(program):
                self.assertGreater(len(options_of(text)), 1 if program != "phub-perf" else -1)
                for option in options_of(text):
                    with self.subTest(program=program, option=option):
                        self.assertRegex(page(PAGES[program]), rf"(?m)^\.BI? {option}\b")
                        self.assertRegex(bash, rf"{option}[ ')]")
                        self.assertRegex(zsh, rf"'{option}[=\[]")

    def test_every_command_is_in_its_page_and_its_completions(self):
        for program in set(PROGRAMS) - {"phubd"}:
            verbs = verbs_of(help_of(program)[0])
            self.assertGreater(len(verbs), 3)
            for verb in verbs:
                with self.subTest(program=program, verb=verb):
                    self.assertRegex(page(PAGES[program]), rf"(?m)^\.(BI?|SS phub-perf) {verb}\b")
                    self.assertIn(verb, completed(program, ""))
                    self.assertIn(verb + "\\:", (REFERENCE / "zsh" / ("_" + program)).read_text())

    def test_every_line_of_the_configuration_is_explained(self):
        names = re.findall(r"^#?([a-z_]+) = ", (REFERENCE / "phubd.conf").read_text(), re.MULTILINE)
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertRegex(page("phubd.conf.5"), rf"(?m)^\.BI {name} ")

    def test_every_variable_of_workers_is_explained(self):
        names = set(re.findall(r'"([A-Z]+_?[A-Z_]*RANK|[A-Z]+_[A-Z_]+)"', ENVIRONMENT.read_text()))
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertIn(name, page("phub.7"))

    def test_the_shell_completes_options_values_and_nothing_else(self):
        self.assertEqual(completed("phubd", "--socket-m"), ["--socket-mode"])
        self.assertEqual(completed("phubd", "--pin", "o"), ["on", "off"])
        self.assertEqual(completed("phubd", "--shards", ""), [])
        self.assertEqual(completed("phubctl", "dr"), ["drain"])
        self.assertEqual(completed("phubctl", "status", "--js"), ["--json"])
        self.assertIn(str(REFERENCE / "phubd.conf"),
                      completed("phubd", "--config", str(REFERENCE / "phubd.c")))

    def test_pages_are_clean(self):
        for name in (REFERENCE / "man").iterdir():
            if name.suffix == ".gz":
                continue
            with self.subTest(page=name.name):
                self.assertNotRegex(name.read_text(), r"@[A-Z]+", "a place that was not filled")
                mandoc = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", name],
                                        capture_output=True, text=True)
                self.assertEqual(mandoc.stdout, "")

    def test_zsh_can_read_its_completions(self):
        for program in PROGRAMS:
            output("zsh", "-n", str(REFERENCE / "zsh" / ("_" + program)))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
