from benchmarks import frames


def test_a_whole_phase_is_timed(monkeypatch):
    monkeypatch.setattr(frames, "WARM_UP", 5)
    monkeypatch.setattr(frames, "MEASURED", 5)
    report = frames.whole_phase()
    for part in ("env frames/s", "collection", "sampling", "update", "the rest"):
        assert part in report


def test_worlds_step():
    frames.worlds(3)()
    frames.point_maze()()
