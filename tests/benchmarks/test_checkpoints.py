from benchmarks.checkpoints import MORE, rows, saves, transitions
from lightning_skills.data.segments import SEGMENT


def test_only_segments_that_changed_are_written(tmp_path):
    size = 3 * SEGMENT
    first, more, wrapped = saves(size, transitions(MORE), tmp_path)
    a_segment = first.whole / (size - 3 * MORE // 2) * SEGMENT
    assert first.new == first.whole
    assert more.new < 1.01 * a_segment < more.whole / 2  # the last one
    assert a_segment < wrapped.new < 2.01 * a_segment < wrapped.whole  # the last and the first
    assert len(rows(size, [[first, more, wrapped]])) == 3
