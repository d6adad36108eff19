import re
from html.parser import HTMLParser

import pytest

from lightning_skills import __main__ as cli
from lightning_skills.groups import group_runs
from lightning_skills.page import page
from lightning_skills.recorded import find_runs
from tests.recorded_runs import write_run

VOID = {"meta", "br", "img", "link", "input"}
SVG = '<?xml version="1.0"?>\n<!DOCTYPE svg SYSTEM "http://w3.org/svg.dtd">\n<svg id="drawn"></svg>\n'


class Page(HTMLParser):
    """What a browser would see: text by element, attributes, whether elements close in turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, key, value) for key, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, key, value) for key, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    @property
    def tags(self):
        return {tag for tag, *_ in self.attributes} | set(self.texts)


def write_pair(root):
    for method, results in (("sac", [1.0, 2.0]), ("spirl", [2.0, 3.0])):
        for seed, result in enumerate(results):
            evaluations = [(100, 1.0, 0.0), (200, result, 0.5)]
            write_run(root, method, seed, evaluations=evaluations, final=(result, 0.5))
    write_run(root, "spirl", 2, evaluations=[(100, 1.0, 0.0)])


def shown(root, *made_by):
    return Page(page(group_runs(find_runs([root])), SVG, made_by))


@pytest.fixture
def made(tmp_path, capsys):
    """The page that the command writes."""
    write_pair(tmp_path / "runs")
    assert cli.main(["report", str(tmp_path / "runs"), f"out={tmp_path / 'out'}"]) == 0
    capsys.readouterr()
    return (tmp_path / "out" / "report.html").read_text()


def test_nothing_lies_outside_of_the_page_and_nothing_runs(made):
    found = Page(made)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "image"}
    addresses = [value for _, key, value in found.attributes if key in ("src", "href", "xlink:href")]
    assert addresses  # an SVG refers to its own parts
    assert all(value.startswith("#") for value in addresses)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", made))
    assert "@import" not in made
    assert [key for _, key, _ in found.attributes if key.startswith("on")] == []
    others = {value for _, key, value in found.attributes if "://" in (value or "") and not key.startswith("xmlns")}
    assert others == set()


def test_the_page_holds_curves_tables_and_commands(made, tmp_path):
    found = Page(made)
    svg = (tmp_path / "out" / "curves.svg").read_text()
    assert svg[svg.index("<svg") :] in made
    assert made.count("<!DOCTYPE") == 1
    assert "<?xml" not in made
    assert found.texts["h2"] == [
        "Learning curves",
        "Final evaluations",
        "Probability of improvement",
        "To reproduce",
    ]
    cells = found.texts["td"]
    assert cells[:12] == [
        *["maze-small20", "sac", "2", "200", "0.5 (0.5, 0.5)", "1.5 (1, 2)"],
        *["maze-small20", "spirl", "2", "200", "0.5 (0.5, 0.5)", "2.5 (2, 3)"],
    ]
    assert cells[12:17] == ["sac", "spirl", "maze-small20", "0.50", "0.12"]  # half of one in four
    assert len([cell for cell in cells if cell.startswith(str(tmp_path))]) == 4
    assert found.texts["li"] == [
        f"maze-small20, spirl, seed 2: rl, 100 of 4,000 env frames ({tmp_path}/runs/spirl/maze-small20/default/seed2)"
    ]
    (code,) = found.texts["pre"]
    sac, spirl, report = code.splitlines()
    assert sac.startswith("python -m lightning_skills train -m method=sac env=maze env.task=small20")
    assert sac.endswith("seed=0,1")
    assert spirl.endswith("seed=0,1,2")
    assert report == f"python -m lightning_skills report {tmp_path / 'runs'} out={tmp_path / 'out'}"


def test_one_group_has_no_pairs_and_no_run_no_table(tmp_path):
    write_run(tmp_path, evaluations=[(100, 1.0, 0.0)])
    found = shown(tmp_path)
    assert found.texts["h2"] == ["Learning curves", "Final evaluations", "To reproduce"]
    assert "No run is finished yet." in found.texts["p"]
    assert "td" not in found.texts
    assert "details" not in found.tags | set(found.texts)


def test_what_users_name_is_text(tmp_path):
    for name in ("<b>&bold", "other"):
        folder = write_run(tmp_path / "runs", name="x" + name[-4:], evaluations=[(100, 1.0, 0.0)], final=(1.0, 0.0))
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace(f"name: x{name[-4:]}", f"name: '{name}'"))
    found = shown(tmp_path, "report", "<i>")
    assert not {"b", "i"} & set(found.texts)
    assert found.texts["h1"] == ["<b>&bold, other"]
    assert "<b>&bold" in found.texts["td"]
    assert "'<i>'" in found.texts["pre"][0]


def test_passwords_are_left_out(tmp_path):
    write_run(tmp_path, evaluations=[(100, 1.0, 0.0)])
    found = shown(tmp_path, "report", "mlflow:x", "uri=postgresql://me:secret@host/db")
    assert found.texts["pre"][0].splitlines()[-1] == "report mlflow:x uri=postgresql://host/db"
    found = shown(tmp_path, "report", "mlflow:x", "uri=sqlite:////a@b/c@d.db")
    assert found.texts["pre"][0].splitlines()[-1] == "report mlflow:x uri=sqlite:////a@b/c@d.db"
