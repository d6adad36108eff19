import re
import sys

from benchmarks import ahead


def test_both_sides_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(ahead, "WARM_UP", 3)
    monkeypatch.setattr(sys, "argv", ["ahead", "--seconds", "0.1", "--rounds", "2"])
    ahead.main()
    numbers = [float(number) for number in re.findall(r": ([\d.]+) \(", capsys.readouterr().out)]
    assert len(numbers) == 3
    assert min(numbers) > 0
