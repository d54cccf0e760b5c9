"""Training on a stream is training on the file."""

import numpy as np
import pytest

import pdes
import sciml
from solvers.errors import SettingError


@pytest.mark.parametrize(("operator", "problem"), [("linear", "poisson_dirichlet"), ("fno:tiny", "burgers")])
def test_fit_and_evaluate_take_a_stream_as_they_take_a_file(operator, problem, tmp_path, monkeypatch):
    stored = pdes.generate(problem, 20, 16, seed=7, path=tmp_path / "data.h5", progress=False)
    monkeypatch.setattr("sciml.fitting.IN_MEMORY_BYTES", 0)  # batch by batch, as streams that are larger than memory
    options = {} if operator == "linear" else {"epochs": 2}
    results = [
        sciml.fit(operator, data, task="final" if problem == "burgers" else None, progress=False, **options)
        for data in (stored, pdes.stream(problem, 16, 7, n=20))
    ]
    a, b = (result.operator.state() for result in results)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    reports = [sciml.evaluate(results[0].operator, data, timing=False) for data in (stored, pdes.stream(problem, 16, 7, n=20))]
    assert reports[0].label_error == reports[1].label_error is not None
    np.testing.assert_array_equal(*(report.scores[0].errors["relative_l2"] for report in reports))


def test_a_stream_without_an_end_asks_for_n():
    with pytest.raises(SettingError, match=r"Pass n= to pdes\.stream"):
        sciml.fit("linear", pdes.stream("poisson_dirichlet", 16), progress=False)
