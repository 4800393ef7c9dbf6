import h5py
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from mespot.errors import InputError
from mespot.spotting import evaluation
from mespot.spotting.candidates import TOLD
from mespot.spotting.evaluation import BOOSTING, LOGISTIC


@pytest.fixture(scope="module")
def told():
    """What tells of 3000 candidates, and how far they overlap: right ones have larger numbers."""
    rng = np.random.default_rng(7)
    overlap = rng.uniform(size=3000) ** 2
    numbers = rng.normal(size=(3000, len(TOLD)))
    numbers[:, :3] += (overlap >= 0.5)[:, None] * [1, 0.5, 2]
    return numbers, overlap


def test_the_probability_is_the_mean_of_scikit_learns_two(told):
    numbers, overlap = told
    right = overlap >= 0.5
    mean, std = numbers.mean(0), numbers.std(0) + 1e-6
    linear = LogisticRegression(**LOGISTIC).fit((numbers - mean) / std, right)
    boosted = HistGradientBoostingClassifier(**BOOSTING).fit(numbers, right)
    asked = np.random.default_rng(8).normal(size=(500, len(TOLD))) * 2
    expected = (
        linear.predict_proba((asked - mean) / std)[:, 1] + boosted.predict_proba(asked)[:, 1]
    ) / 2
    np.testing.assert_allclose(evaluation.fit(*told).probability(asked), expected, rtol=1e-9)


def test_what_is_right_is_more_probable(told):
    probability = evaluation.fit(*told).probability(told[0])
    right = told[1] >= 0.5
    assert probability[right].mean() > probability[~right].mean() + 0.3


@pytest.mark.parametrize(("overlap", "probability"), [(0.0, 1 / 3002), (0.9, 3001 / 3002)])
def test_where_all_candidates_are_alike_so_are_their_probabilities(told, overlap, probability):
    learnt = evaluation.fit(told[0], np.full(3000, overlap))
    np.testing.assert_allclose(learnt.probability(told[0][:5]), probability)


@pytest.fixture
def saved(told, tmp_path):
    learnt = evaluation.fit(*told)._replace(scale=(1.5, -0.3), least=0.4, overlap=0.3)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        evaluation.save(file.create_group("macro"), learnt)
    return learnt, tmp_path / "e.h5"


def test_it_comes_back_from_its_file(saved):
    learnt, path = saved
    with h5py.File(path) as file:
        loaded = evaluation.load(file["macro"])
    asked = np.random.default_rng(9).normal(size=(50, len(TOLD)))
    np.testing.assert_array_equal(loaded.probability(asked), learnt.probability(asked))
    assert (loaded.scale, loaded.least, loaded.overlap) == ((1.5, -0.3), 0.4, 0.3)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("children", 0, [0, 0]),  # a walk down would not end
        ("children", 0, [10**6, 1]),
        ("children", 0, [-5, 1]),
        ("feature", 0, len(TOLD)),
        ("roots", 0, 10**6),
        ("roots", 0, -1),
    ],
)
def test_a_tree_that_is_none_is_an_error(saved, name, at, value):
    _, path = saved
    with h5py.File(path, "r+") as file:
        file["macro"][name][at] = value
    with h5py.File(path) as file, pytest.raises(InputError, match="no evaluation"):
        evaluation.load(file["macro"])
