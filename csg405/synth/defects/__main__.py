"""`python -m csg405.synth.defects`: write the table of defects into docs/synthetic.md."""

from __future__ import annotations

from pathlib import Path

from csg405.synth.defects import DEFECTS, Defect
from csg405.table import write_text

PAGE = Path("docs/synthetic.md")

_BEGIN, _END = "<!-- table of defects: python -m csg405.synth.defects -->", "<!-- end of the table -->"


def table() -> str:
    """The defects as a table in Markdown."""
    head = ["| defect | what | mild, middle, gross | named by |", "|---|---|---|---|"]
    return "\n".join([*head, *map(_row, DEFECTS.values())])


def _row(defect: Defect) -> str:
    names = ", ".join(f"`{name}`" for name in defect.names) or f"nothing yet: awaits `{defect.awaits}`"
    sizes = ", ".join(f"{size:g}" for size in defect.sizes)
    return f"| `{defect.name}` | {defect.what} | {sizes} ({defect.unit}) | {names} |"


def renewed(page: str) -> str:
    """A page with its table as it should be today."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    write_text(PAGE, renewed(PAGE.read_text(encoding="utf-8")))
