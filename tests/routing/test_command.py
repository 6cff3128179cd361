"""``sprint-eval train-router`` from arguments to folder."""

import numpy as np
import pytest

from sprint_eval.cli import main
from sprint_eval.outcomes import Outcomes
from sprint_eval.routing import Router


@pytest.fixture
def prepared(make_outcomes, embedder, random_z, monkeypatch):
    """Makes the command read these outcomes and embed without a model."""

    def prepare(z=None):
        outcomes = make_outcomes(random_z(60, 6) if z is None else z)
        monkeypatch.setattr(Outcomes, "load", classmethod(lambda cls, folder: outcomes))
        monkeypatch.setattr("sprint_eval.routing.SentenceEmbedder", lambda name, dtype: embedder)

    return prepare


def test_it_trains_saves_and_says_what_it_did(prepared, tmp_path, capsys, embedder):
    prepared()
    out = tmp_path / "router"
    assert main(["train-router", "runs/z", "--out", str(out), "--seed", "3", "--epochs", "20"]) == 0
    router = Router.load(out, embedder)
    assert router.card.hyperparameters["seed"] == 3
    text = capsys.readouterr().out
    assert "60 used of 60" in text
    assert router.fingerprint in text


@pytest.mark.parametrize(
    ("z", "arguments", "message"),
    [
        (None, ["--selection", "nearst"], "did you mean 'nearest'"),
        (None, ["--dimension", "0"], "dimension must be a whole number of at least 1"),
        (np.zeros((5, 3)), [], "no head of the pool solves any"),
        (np.zeros((0, 3)), [], "no question"),
        (np.ones((5, 3)), [], "by all heads or by none"),
        (np.array([[1], [0]]), [], "two or more"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_no_folder(prepared, tmp_path, capsys, z, arguments, message):
    prepared(z)
    with pytest.raises(SystemExit) as exit_info:
        main(["train-router", "runs/z", "--out", str(tmp_path / "router"), *arguments])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "router").exists()


def test_a_file_in_place_of_the_folder_is_found_before_anything_is_embedded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sprint_eval.routing.SentenceEmbedder", lambda name, dtype: pytest.fail("too late"))
    (tmp_path / "notes").write_text("kept")
    with pytest.raises(SystemExit) as exit_info:
        main(["train-router", "runs/z", "--out", str(tmp_path / "notes")])
    assert exit_info.value.code == 2
    assert "notes is a file; name a folder by --out" in capsys.readouterr().err
    assert (tmp_path / "notes").read_text() == "kept"


def test_a_missing_outcome_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train-router", str(tmp_path / "nothing"), "--out", str(tmp_path / "router")])
    assert "holds no outcomes" in capsys.readouterr().err
