"""Judges the Swift sources by the C header: every function they call is there, with as many arguments; every type and
constant they name is there; and the module map names the header. A Swift compiler would do more; there is none here."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "../c/include/mobileone.h"
SOURCES = sorted([*ROOT.glob("Sources/**/*.swift"), *(ROOT / "../../demo/ios").glob("**/*.swift")])


def code(text):
    """`text` without comments and the texts of literals."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', text)


def arguments(text, opening):
    """How many arguments stand between the bracket at `opening` and its partner."""
    depth, commas = 0, 0
    for at in range(opening, len(text)):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth == 0:
                return commas + bool(text[opening + 1 : at].strip())
        elif text[at] == "," and depth == 1:
            commas += 1
    raise ValueError("a bracket without a partner")


def functions(header):
    """The parameters that each function takes."""
    found = {}
    for match in re.finditer(r"^[A-Za-z][\w ]*[ *](mobileone_\w+)\(", header, flags=re.M):
        count = arguments(header, match.end() - 1)
        found[match[1]] = 0 if re.match(r"\s*void\s*\)", header[match.end() :]) else count
    return found


def faults(sources, header):
    declared = functions(header)
    names = set(re.findall(r"\bM(?:obileone|OBILEONE_)\w+", header))
    called = set()
    for name, text in sources:
        for match in re.finditer(r"\b(mobileone_\w+)(\()?", text):
            called.add(match[1])
            if match[1] not in declared:
                yield f"{name}: {match[1]} is not in the header"
            elif match[2] and arguments(text, match.end() - 1) != declared[match[1]]:
                found = arguments(text, match.end() - 1)
                yield f"{name}: {match[1]} takes {declared[match[1]]} arguments, found {found}"
        for word in re.findall(r"\bM(?:obileone[A-Z]|OBILEONE_)\w+", text):
            if word not in names:
                yield f"{name}: {word} is not in the header"
    if len(called) < 10:
        yield f"only {len(called)} functions are called: were the sources found?"


def main():
    header = code(HEADER.read_text())
    sources = [(path.name, code(path.read_text())) for path in SOURCES]
    found = list(faults(sources, header))
    module = (ROOT / "include/module.modulemap").read_text()
    for wanted in ("module CMobileOne {", 'header "mobileone.h"'):
        if wanted not in module:
            found.append(f"module.modulemap: no {wanted}")
    if f'name: "CMobileOne"' not in (ROOT / "Package.swift").read_text():
        found.append("Package.swift: no target CMobileOne")
    # What it is to find, it finds.
    wrong = [("wrong", "mobileone_cancel(a, b(c, d)); mobileone_nothing(); MOBILEONE_NOTHING; MobileoneNothing")]
    if len(list(faults(wrong, header))) != 5:
        found.append("the check itself finds nothing")
    print("\n".join(found) or f"{len(functions(header))} functions, {len(SOURCES)} Swift files: they agree")
    return bool(found)


sys.exit(main())
