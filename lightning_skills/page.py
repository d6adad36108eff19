"""The report as one HTML page: no script, and nothing that lies outside of the file."""

import html
import re
import shlex
from collections.abc import Sequence

from lightning_skills import tables, unseen
from lightning_skills.groups import Group
from lightning_skills.report import html_table
from lightning_skills.reproduce import commands

STYLE = """\
body { margin: 2.5rem auto; max-width: 76rem; padding: 0 1.5rem; color: #333a45; background: #fff;
       font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 0.6rem; }
p { color: #6b7380; margin: 0.5rem 0; max-width: 60rem; }
svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.3rem 1.2rem 0.3rem 0; border-bottom: 1px solid #e6e8ec; white-space: nowrap; }
th { color: #6b7380; font-weight: 600; }
pre { background: #f5f6f8; padding: 0.8rem 1rem; overflow-x: auto; font-size: 0.85rem; }
summary { cursor: pointer; }
"""


def page(groups: Sequence[Group], curves: str, made_by: Sequence[str] = (), unseen_curves: str = "") -> str:
    """The page.

    Args:
        groups: What is compared.
        curves: Their learning curves, an SVG file.
        made_by: The command that makes the report; passwords in its URLs are left out.
        unseen_curves: Those over episodes in tasks to test on, an SVG file; empty if there are none.

    Returns:
        The file.
    """
    runs = [run for group in groups for run in group.runs]
    finals, pairs, every = tables.final_rows(groups), tables.improvements(groups), tables.every_run(groups)
    waiting = tables.without_result(groups)
    report = [re.sub(r"://[^/@]*@", "://", shlex.join(made_by))] if made_by else []
    parts = [
        f"<h1>{html.escape(', '.join(dict.fromkeys(map(str, groups))))}</h1>",
        _text(f"{', '.join(tables.by_task(groups))}; {len(runs)} runs"),
        "<h2>Learning curves</h2>",
        _picture(curves),
        "<h2>Final evaluations</h2>",
        *([_table(finals), _text(tables.FINAL_NOTE)] if finals else [_text("No run is finished yet.")]),
        *(["<h2>Tasks to test on, episode by episode</h2>", _picture(unseen_curves)] if unseen_curves else []),
        *([_table(unseen.rows(groups)), _text(unseen.NOTE)] if unseen_curves else []),
        *(["<h2>Probability of improvement</h2>", _table(pairs), _text(tables.PAIRS_NOTE)] if pairs else []),
        *([_text(tables.NO_RESULT), _list(waiting)] if waiting else []),
        *([f"<details>\n<summary>Every run</summary>\n{_table(every)}\n</details>"] if every else []),
        "<h2>To reproduce</h2>",
        f"<pre>{html.escape(chr(10).join([*commands(runs), *report]))}</pre>",
    ]
    head = f'<meta charset="utf-8">\n<title>Comparison of runs</title>\n<style>\n{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _picture(svg: str) -> str:
    """What comes before the element names a file elsewhere."""
    return svg[svg.index("<svg") :]


def _text(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _table(rows: Sequence[tables.Row]) -> str:
    return f'<div class="wide">\n{html_table(rows)}\n</div>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "\n</ul>"
