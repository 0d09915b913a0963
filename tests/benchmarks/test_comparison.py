from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import comparison
from tests.benchmarks.documents import document, failed, result


def verdicts(old, new):
    return {c.library: c.verdict for c in comparison.changes(document(*old), document(*new))}


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "slower"), (1.02, "same"), (0.98, "same"), (0.6, "faster")])
def test_changes_of_ours_beyond_the_noise_have_a_verdict(factor, verdict):
    assert verdicts([result("funcgrad", 1e-5)], [result("funcgrad", factor * 1e-5)]) == {"funcgrad": verdict}


@given(st.floats(0.2, 5.0))
def test_changes_of_the_machine_alone_are_none(drift):
    names = ("funcgrad", "jax", "numpy")
    found = verdicts([result(n, 1e-5) for n in names], [result(n, drift * 1e-5) for n in names])
    assert set(found.values()) == {"same"}


def test_changes_with_wide_quartiles_are_noise():
    noisy = result("funcgrad", 1.3e-5, low=0.8e-5, high=2e-5)
    assert verdicts([result("funcgrad", 1e-5)], [noisy]) == {"funcgrad": "same"}


def test_changes_leave_out_what_one_run_did_not_measure():
    assert verdicts([result("funcgrad", 1e-5), failed("jax")], [result("jax", 1e-5), failed("funcgrad")]) == {}


def written(path, whole):
    path.write_text(json.dumps(whole))
    return str(path)


def test_main_status_says_whether_something_became_slower(tmp_path, capsys):
    old = written(tmp_path / "old.json", document(result("funcgrad", 1e-5)))
    new = written(tmp_path / "new.json", document(result("funcgrad", 2e-5)))
    assert comparison.main([old, new]) == 1
    assert "slower" in capsys.readouterr().out
    assert comparison.main([new, old]) == 0
    assert comparison.main([old, old]) == 0
    assert "no change beyond the noise" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "other"}'])
def test_main_with_another_file_names_it(tmp_path, capsys, content):
    good = written(tmp_path / "good.json", document(result("funcgrad", 1e-5)))
    bad = tmp_path / "bad.json"
    bad.write_text(content)
    assert comparison.main([good, str(bad)]) == 2
    assert "bad.json" in capsys.readouterr().err
    assert comparison.main([good, str(tmp_path / "missing.json")]) == 2
