#!/usr/bin/env python3
"""Makes man pages, completions and phubd.conf from what the programs say about themselves.

make_reference.py --version V --templates FOLDER --config FILE --out FOLDER PROGRAM...

A template is a page of man(7) in which @OPTIONS:phubd@, @VERBS:phubctl@, @CONFIG@ or
@COMMANDS:phub-perf@ stands for what the program's --help lists, and @VERSION@ for the version. An
option that is added to a program is therefore in its page and in its completions.
"""
import argparse
import gzip
import pathlib
import re
import subprocess

# "  --name ARGUMENT   help"; phub-perf's only argument is VALUE, and its help may be one space off.
OPTION = re.compile(r"^  --([a-z][a-z0-9-]*)(?: (VALUE)(?= )| (\S+)(?=  ))? +(\S.*)$")
VERB = re.compile(r"^  ([a-z][a-z-]*)(?: (\S+)(?=  ))?  +(\S.*)$")
HELP = ("help", "", "Print the options, and end")


def said(program, *words):
    return subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout


def matches(pattern, text):
    found = (pattern.match(line) for line in text.splitlines())
    return [tuple(g or "" for g in match.groups()) for match in found if match]


def options_of(text):
    options = [(name, value or other, about)
               for name, value, other, about in matches(OPTION, text)]
    return options if any(name == "help" for name, _, _ in options) else options + [HELP]


class Program:
    """A command line: options, and verbs with an argument each; phub-perf has options by verb."""

    def __init__(self, path):
        self.path = path
        self.name = pathlib.Path(path).name
        usage = said(path, "--help")
        self.verbs = matches(VERB, usage)
        self.options = options_of(usage)
        self.options_by_verb = {}
        if self.name == "phub-perf":
            for verb, _, _ in self.verbs:
                self.options_by_verb[verb] = options_of(said(path, verb, "--help"))

    def all_options(self):
        names = dict((option[0], option) for option in self.options)
        for options in self.options_by_verb.values():
            names.update((option[0], option) for option in options if option[0] not in names)
        return list(names.values())


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\\&" + text if text.startswith(".") else text


def sentence(about):
    """With a capital, unless the text begins with values that are typed as they stand."""
    if re.match(r"[a-z0-9_]+(, [a-z0-9_]+)+($| \()", about):
        return roff(about) + "."
    return roff(about[0].upper() + about[1:]) + "."


def paragraph(head, about):
    return f".TP\n{head}\n{sentence(about)}"


def option_paragraph(option):
    name, argument, about = option
    head = f".B \\-\\-{roff(name)}"
    return paragraph(f".BI \\-\\-{roff(name)} \" {roff(argument)}\"" if argument else head, about)


def options_roff(options):
    return "\n".join(option_paragraph(option) for option in options)


def verbs_roff(program):
    return "\n".join(
        paragraph(f".BI {roff(name)} \" {roff(argument)}\"" if argument else f".B {roff(name)}",
                  about) for name, argument, about in program.verbs)


def commands_roff(program):
    parts = []
    for name, _, about in program.verbs:
        parts.append(f".SS phub\\-perf {roff(name)}\n{roff(about[0].upper() + about[1:])}.\n" +
                     options_roff(program.options_by_verb[name]))
    return "\n".join(parts)


def config_roff(program):
    """The rows behind --print-config: what a file may hold."""
    names = re.findall(r"^#?([a-z_]+) = ", said(program.path, "--print-config"), re.MULTILINE)
    by_name = {name.replace("-", "_"): (argument, about)
               for name, argument, about in program.options}
    return "\n".join(
        paragraph(f".BI {name} \" = {roff(by_name[name][0])}\"", by_name[name][1])
        for name in names)


def page(template, programs, version):
    makers = {"OPTIONS": lambda p: options_roff(p.options), "VERBS": verbs_roff,
              "COMMANDS": commands_roff, "CONFIG": config_roff}
    text = template.replace("@VERSION@", version)
    return re.sub(r"^@([A-Z]+):([a-z-]+)@$", lambda m: makers[m[1]](programs[m[2]]), text,
                  flags=re.MULTILINE)


def values_of(argument):
    """What can be completed: words, "FILE", or nothing."""
    if argument.startswith("FILE"):
        return "FILE"
    return argument.split("|") if re.fullmatch(r"[a-z0-9_]+(\|[a-z0-9_]+)+", argument) else []


def bash(program):
    lines = [f"# Completions of {program.name} for bash; made from its --help.",
             f"_{program.name.replace('-', '_')}() {{",
             "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}",
             "  local options verbs",
             "  COMPREPLY=()", "  case $before in"]
    for name, argument, _ in program.all_options():
        values = values_of(argument)
        if values == "FILE":
            lines.append(f"    --{name}) compopt -o filenames; "
                         "mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;")
        elif values:
            lines.append(f"    --{name}) mapfile -t COMPREPLY < "
                         f"<(compgen -W '{' '.join(values)}' -- \"$word\"); return ;;")
        elif argument:
            lines.append(f"    --{name}) return ;;")
    lines.append("  esac")
    lines.append(f"  options='{' '.join('--' + o[0] for o in program.options)}'")
    if program.options_by_verb:
        lines.append("  case ${COMP_WORDS[1]} in")
        for verb, options in program.options_by_verb.items():
            lines.append(f"    {verb}) options='{' '.join('--' + o[0] for o in options)}' ;;")
        lines.append("  esac")
    lines.append(f"  verbs='{' '.join(verb for verb, _, _ in program.verbs)}'")
    lines += ["  (( COMP_CWORD == 1 )) || verbs=''",
              "  [[ $word == -* ]] && verbs='' || options=''",
              "  mapfile -t COMPREPLY < <(compgen -W \"$options $verbs\" -- \"$word\")",
              "}", f"complete -F _{program.name.replace('-', '_')} {program.name}"]
    return "\n".join(lines) + "\n"


def zsh_option(option):
    name, argument, about = option
    about = re.sub(r"([\[\]:'\\])", "", about)
    if not argument:
        return f"'--{name}[{about}]'"
    values = values_of(argument)
    action = "_files" if values == "FILE" else f"({' '.join(values)})" if values else ""
    return f"'--{name}=[{about}]:{argument.replace('|', ' or ').replace(':', ' ')}:{action}'"


def zsh(program):
    lines = [f"#compdef {program.name}",
             f"# Completions of {program.name} for zsh; made from its --help."]
    arguments = [zsh_option(option) for option in program.all_options()]
    if program.verbs:
        about = [f"{verb}\\:\"{re.sub(chr(34) + '|:', '', text)}\"".replace("'", "")
                 for verb, _, text in program.verbs]
        arguments.append(f"'1:verb:(({' '.join(about)}))'")
    lines.append("_arguments -s \\\n  " + " \\\n  ".join(arguments))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--templates", type=pathlib.Path, required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("programs", nargs="+")
    given = parser.parse_args()
    programs = {program.name: program for program in map(Program, given.programs)}

    for folder in ("man", "bash", "zsh"):
        (given.out / folder).mkdir(parents=True, exist_ok=True)
    for template in sorted(given.templates.glob("*.in")):
        if template.name.startswith("phub-perf") and "phub-perf" not in programs:
            continue
        text = page(template.read_text(), programs, given.version)
        # Without a time, so that the same sources make the same package.
        packed = gzip.compress(text.encode(), mtime=0)
        (given.out / "man" / template.stem).write_text(text)
        (given.out / "man" / (template.stem + ".gz")).write_bytes(packed)
    for name, program in programs.items():
        (given.out / "bash" / name).write_text(bash(program))
        (given.out / "zsh" / ("_" + name)).write_text(zsh(program))
    (given.out / "phubd.conf").write_text(
        said(programs["phubd"].path, "--config", given.config, "--print-config"))


if __name__ == "__main__":
    main()
