"""Escapes text for Markdown (CommonMark with GitHub's tables): it shows as it is and makes no element and no link."""

import re

from markupsafe import Markup

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Characters that mean something anywhere; `_` only beside a space or a sign, `:` and `.` only in what GitHub links.
SIGNS = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
# Characters that begin a heading, a list or a line at the start of a text.
START = re.compile(r"^(\s*)(#|=|[-+](?=[\s-]|$)|[.)](?=\s|$))|^(\s*\d+)([.)])(?=\s|$)")
BREAKS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def escaped(value: object) -> str:
    """`value` as text in one line of Markdown. Markup is left as it is."""
    if isinstance(value, Markup):
        return value
    text = SIGNS.sub(r"\\\g<0>", BREAKS.sub(" ", str(value)))
    text = START.sub(lambda found: f"{found[1] or found[3] or ''}\\{found[2] or found[4]}", text)
    return re.sub("[&<>]", lambda found: ENTITIES[found[0]], text)


def code(text: str) -> Markup:
    """`text` as a code span."""
    text = BREAKS.sub(" ", text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if len(fence) > 1 else ""
    return Markup(f"{fence}{space}{text}{space}{fence}")
