"""evaluation: the probability that a candidate is an expression, the second stage (BSN, arXiv 1806.02964).

Logistic regression and gradient-boosted trees, both by scikit-learn, their mean; and on top, because
of several candidates for one expression all but one is left out, what such a mean was worth on people
whom neither had seen. Saved as plain arrays: no pickle.
"""

from __future__ import annotations

from typing import NamedTuple

import h5py
import numpy as np
from scipy.special import expit, logit

from mespot import store
from mespot.errors import reading
from mespot.spotting.candidates import TOLD

ENOUGH = 0.5  # IoU with an annotated expression from which on a candidate is right
# scikit-learn's: a strong prior each, for a few hundred right candidates of a few people.
LOGISTIC = {"C": 0.05, "max_iter": 500}
BOOSTING = {
    "max_iter": 60,
    "learning_rate": 0.06,
    "max_leaf_nodes": 6,
    "min_samples_leaf": 60,
    "l2_regularization": 10.0,
    "early_stopping": False,
    "random_state": 0,
}
SURE = 1e-6  # probabilities stay so far from 0 and 1


class Evaluation(NamedTuple):
    """Of candidates told of by F numbers."""

    mean: np.ndarray  # (F,) of the logistic regression's inputs
    std: np.ndarray  # (F,)
    weights: np.ndarray  # (F,)
    bias: float
    # Trees as nodes, row by row: which number is looked at (-1: a leaf), up to which value one goes left,
    # the rows of left and right, and a leaf's value.
    feature: np.ndarray  # (K,) int
    threshold: np.ndarray  # (K,)
    children: np.ndarray  # (K, 2) int
    value: np.ndarray  # (K,)
    roots: np.ndarray  # (trees,) int
    base: float
    scale: tuple[float, float] = (1.0, 0.0)  # of the logit, and added to it: see `calibrated`
    least: float = 0.5  # probability that an interval must have
    overlap: float = 0.2  # IoU with a more probable one, above which a candidate goes

    def probability(self, told: np.ndarray) -> np.ndarray:
        """(N, F) -> (N,): the mean of both."""
        linear = (told - self.mean) / self.std @ self.weights + self.bias
        return (expit(linear) + expit(self._boosted(told))) / 2

    def calibrated(self, probability: np.ndarray) -> np.ndarray:
        """The probability that an interval is right that stands after suppression."""
        slope, offset = self.scale
        return expit(slope * logit(np.clip(probability, SURE, 1 - SURE)) + offset)

    def _boosted(self, told: np.ndarray) -> np.ndarray:
        total = np.full(len(told), self.base)
        for root in self.roots:
            node = np.full(len(told), root)
            inner = self.feature[node] >= 0
            while inner.any():
                at = node[inner]
                right = told[inner, self.feature[at]] > self.threshold[at]
                node[inner] = self.children[at, right.astype(int)]
                inner = self.feature[node] >= 0
            total += self.value[node]
        return total


def fit(told: np.ndarray, overlap: np.ndarray) -> Evaluation:
    """Learn from candidates (N, F) and their largest overlap (N,) with an annotated expression.

    Where all or none of them are right, as in a dataset without micro-expressions, all are as probable.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second
    from sklearn.linear_model import LogisticRegression

    right = overlap >= ENOUGH
    if right.all() or not right.any():
        return alike(told.shape[1], (right.sum() + 1) / (len(right) + 2))
    mean, std = told.mean(0), told.std(0) + 1e-6
    linear = LogisticRegression(**LOGISTIC).fit((told - mean) / std, right)
    boosted = HistGradientBoostingClassifier(**BOOSTING).fit(told, right)
    # No public way out: the nodes of each tree, as scikit-learn numbers them.
    trees = [tree.nodes for (tree,) in boosted._predictors]
    roots = np.cumsum([0, *(len(tree) for tree in trees)])[:-1]
    nodes = np.concatenate(trees)
    leaf = nodes["is_leaf"].astype(bool)
    offset = np.repeat(roots, [len(tree) for tree in trees])[:, None]
    children = np.stack([nodes["left"], nodes["right"]], 1).astype(np.int64) + offset
    return Evaluation(
        mean,
        std,
        linear.coef_[0],
        float(linear.intercept_[0]),
        np.where(leaf, -1, nodes["feature_idx"]).astype(np.int64),
        nodes["num_threshold"].astype(float),
        np.where(leaf[:, None], 0, children),
        nodes["value"].astype(float),
        roots,
        float(boosted._baseline_prediction[0, 0]),
    )


def alike(numbers: int, probability: float) -> Evaluation:
    """To which all candidates, told of by so many `numbers`, are as probable."""
    same, none = float(logit(probability)), np.zeros(1)
    leaf = (np.full(1, -1), none, np.zeros((1, 2), int), none, np.zeros(1, int))
    return Evaluation(np.zeros(numbers), np.ones(numbers), np.zeros(numbers), same, *leaf, same)


def save(group: h5py.Group, evaluation: Evaluation) -> None:
    for name, value in evaluation._asdict().items():
        if np.ndim(value) and name != "scale":
            group[name] = value
        else:
            store.tell(group, **{name: value})


def load(group: h5py.Group) -> Evaluation:
    """What `save` wrote. Raises InputError."""
    n = store.SOME
    mean = store.array(group, "mean", np.floating, n)
    feature = store.array(group, "feature", np.integer, n)
    size = len(mean), len(feature)
    evaluation = Evaluation(
        mean,
        store.array(group, "std", np.floating, size[0]),
        store.array(group, "weights", np.floating, size[0]),
        store.attribute(group, "bias", float),
        feature,
        store.array(group, "threshold", np.floating, size[1]),
        store.array(group, "children", np.integer, size[1], 2),
        store.array(group, "value", np.floating, size[1]),
        store.array(group, "roots", np.integer, n),
        store.attribute(group, "base", float),
        store.attribute(group, "scale", tuple[float, float]),
        store.attribute(group, "least", float),
        store.attribute(group, "overlap", float),
    )
    with reading(group.file.filename):
        if size[0] != len(TOLD):
            raise ValueError(f"{group.name} goes by {size[0]} numbers, not by {len(TOLD)}")
        # A tree's node lies before its children, or a walk down would never end.
        inner = feature >= 0
        own = np.arange(size[1])[:, None]
        below = (evaluation.children > own) & (evaluation.children < size[1])
        roots = (evaluation.roots >= 0) & (evaluation.roots < size[1])
        known = (feature < size[0]).all() and (evaluation.std > 0).all()
        if not (below[inner].all() and roots.all() and known):
            raise ValueError(f"{group.name} is no evaluation")
    return evaluation
