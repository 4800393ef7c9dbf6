"""The two-stage method from features to intervals, on expressions planted in a small feature store."""

from itertools import combinations
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from planted import planted_store

from mespot import evaluate, feature_store, store, train_multiscale
from mespot.errors import InputError
from mespot.feature_store import load
from mespot.intervals import load_intervals, overlaps
from mespot.networks import temporal
from mespot.networks.clips import batches, clip
from mespot.networks.inputs import CHANNELS
from mespot.networks.multiscale import AUS, OUTPUTS, PROBABILITIES, Multiscale
from mespot.networks.multiscale_trained import curves, load_model
from mespot.networks.multiscale_training import losses
from mespot.networks.trained import load_trained
from mespot.score import score
from mespot.settings import Evaluate, GraphKind, TemporalKind, TwoStage
from mespot.settings import Multiscale as Training
from mespot.spotting.two_stage import by_two_stages, found_in, load_evaluation, spot_video

SMALL = Training(steps=60, batch=8, window=256, channels=16, learning_rate=0.01)
SUBJECTS = [f"s{k}" for k in range(6)]
GROUPS = [SUBJECTS[k::3] for k in range(3)]


class Chain:
    """Training, evaluation and spotting in a folder with features and annotation."""

    def __init__(self, folder, annotation: pd.DataFrame):
        self.folder = folder
        self.features, self.annotation = folder / "features.h5", folder / "annotation.csv"
        planted_store(self.features, len(SUBJECTS), float("nan"))
        annotation.to_csv(self.annotation, index=False)

    def model(self, left_out, settings=SMALL):
        path = self.folder / f"without_{'_'.join(left_out)}.pt"
        if not path.exists():
            train_multiscale.train(
                self.features,
                self.annotation,
                left_out,
                path,
                path.with_suffix(".csv"),
                settings,
            )
        return path

    def learnt(self):
        pairs = [self.model(one + other) for one, other in combinations(GROUPS, 2)]
        out = self.folder / "evaluation.h5"
        evaluate.evaluate(self.features, self.annotation, pairs, out, Evaluate())
        return out

    def spotted(self, left_out, settings=None) -> pd.DataFrame:
        models = [self.model([subject]) for subject in left_out]
        stored = load(self.features)
        settings = settings or TwoStage()
        found = by_two_stages(stored, models, self.folder / "evaluation.h5", settings)
        rows = [
            (one.feature.video, type_, *proposal) for one in found for type_, proposal in one.found
        ]
        return pd.DataFrame(rows, columns=["video", "type", "onset", "apex", "offset", "score"])


@pytest.fixture(scope="module")
def annotation(tmp_path_factory) -> pd.DataFrame:
    return planted_store(tmp_path_factory.mktemp("x") / "f.h5", len(SUBJECTS), float("nan"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory, annotation) -> Chain:
    chain = Chain(tmp_path_factory.mktemp("chain"), annotation)
    chain.learnt()
    return chain


def f1(chain, annotation, left_out) -> float:
    videos = {f"v{name[1:]}" for name in left_out}
    truth = annotation[annotation["video"].isin(videos)]
    return score(truth, chain.spotted(left_out), "strict")["overall"].f1


def test_planted_expressions_of_unseen_people_are_spotted(chain, annotation):
    assert f1(chain, annotation, SUBJECTS[:2]) > 0.6


def test_a_held_out_subjects_labels_change_nothing_in_its_intervals(chain, annotation, tmp_path):
    """Neither through its networks nor through what evaluates the candidates."""
    without = Chain(tmp_path, annotation[annotation["subject"] != "s0"])
    without.learnt()
    expected = chain.spotted(["s0"])
    assert len(expected)
    pd.testing.assert_frame_equal(without.spotted(["s0"]), expected)
    # Of others they do change what is learnt.
    ours, theirs = (
        load_evaluation(each.folder / "evaluation.h5", ["s1"])["macro"].weights
        for each in (chain, without)
    )
    assert not np.array_equal(ours, theirs)


def chance(annotation, seed: int) -> pd.DataFrame:
    """The annotated expressions at places that have nothing to do with the videos."""
    rng = np.random.default_rng(seed)
    moved = annotation.copy()
    shift = rng.integers(-30, 150, len(moved))
    for name in ("onset", "apex", "offset"):
        moved[name] = np.clip(moved[name] + shift, 0, 258)
    return moved


def test_shuffled_labels_are_worth_no_more_than_chance(annotation, tmp_path):
    """As many intervals of the same lengths at random places: what such F1 reach by luck."""
    shuffled = Chain(tmp_path, chance(annotation, 0))
    shuffled.learnt()
    reached = f1(shuffled, annotation, SUBJECTS)
    by_luck = [
        score(annotation, chance(annotation, k), "strict")["overall"].f1 for k in range(1, 60)
    ]
    assert reached <= max(by_luck) + 0.05


def test_the_same_training_gives_the_same_bytes(chain, tmp_path):
    path = chain.model(["s0"])
    again = tmp_path / path.name
    train_multiscale.train(
        chain.features, chain.annotation, ["s0"], again, tmp_path / "h.csv", SMALL
    )
    ours, theirs = (torch.load(each, weights_only=True)["state_dict"] for each in (path, again))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_larger_least_probability_gives_fewer_and_surer_intervals(chain):
    many, few = (chain.spotted(["s0"], TwoStage(least=least)) for least in (0, 0.5))
    assert len(few) < len(many)
    assert few["score"].min() >= 0.5
    rows = few.drop(columns="score").itertuples(index=False)
    assert {*rows} <= {*many.drop(columns="score").itertuples(index=False)}


@pytest.mark.parametrize("fps", [25.0, 30.0, 200.0])
def test_what_is_found_lies_within_the_video_and_is_seen(chain, first, fps):
    """At any rate, to the last frame; what is left out for the most part is no candidate."""
    models = [load_model(chain.model([first.subject]))]
    for n in range(200, 208):
        valid = np.ones(n, bool)
        valid[: n // 2] = False
        video = first._replace(mdmo=first.mdmo[:n], valid=valid, fps=fps)
        for frames, told in found_in(video, models)[1].values():
            assert len(frames) == len(told)
            assert (frames >= 0).all()
            assert (frames < n).all()
            assert all(valid[onset : offset + 1].mean() >= 0.5 for onset, offset in frames)
        learnt = load_evaluation(chain.folder / "evaluation.h5", [first.subject])
        for _, one in spot_video(video, models, learnt, TwoStage(least=0)).found:
            assert 0 <= one.onset <= one.apex <= one.offset < n


def test_models_of_the_same_fold_count_as_their_mean(chain, tmp_path):
    one = chain.model(["s0"])
    other = Chain(tmp_path, load_intervals(chain.annotation, ("apex", "au", "subject"))).model(
        ["s0"], SMALL.model_copy(update={"seed": 2})
    )
    feature = load(chain.features)[0]
    models = [load_model(path) for path in (one, other)]
    apart = [curves([model], feature) for model in models]
    np.testing.assert_allclose(curves(models, feature), np.mean(apart, 0), atol=1e-6)
    assert not np.allclose(*apart)


def test_models_of_other_people_than_are_there_are_an_error(chain, tmp_path):
    stored = [one for one in load(chain.features) if one.subject != "s0"]
    with pytest.raises(InputError, match="whom the models left out"):
        list(
            by_two_stages(stored, [chain.model(["s0"])], chain.folder / "evaluation.h5", TwoStage())
        )


def test_the_overlap_is_the_largest_with_any_annotated_expression(chain, first):
    truth = {(first.video, "macro"): np.array([[40.0, 75], [41, 70], [200, 230]])}
    found = evaluate.candidates_of(first, [load_model(chain.model(["s0"]))], truth)
    expected = overlaps(found["macro"].frames, truth[first.video, "macro"]).max(1)
    assert expected.max() > 0.5
    np.testing.assert_array_equal(found["macro"].overlap, expected)
    assert not found["micro"].overlap.any()


def test_a_loss_that_is_no_number_is_an_error(chain, tmp_path):
    fast = SMALL.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(InputError, match=r"no finite number by step \d+; lower multiscale"):
        Chain(tmp_path, load_intervals(chain.annotation, ("apex", "au", "subject"))).model(
            ["s0"], fast
        )
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize(
    ("setting", "told"),
    [({"graph": "conditional"}, "none are linked"), ({"au_weight": 1.0}, "it does nothing")],
)
@pytest.mark.parametrize("au", ["", "4"])
def test_action_units_that_would_do_nothing_are_said(chain, tmp_path, capsys, setting, told, au):
    annotation = load_intervals(chain.annotation, ("apex", "au", "subject")).assign(au=au)
    few = {"steps": 1, "batch": 2, "window": 256, "channels": 16}
    Chain(tmp_path, annotation).model(["s0"], Training(**few, **setting))
    knows = au == "4" and "au_weight" in setting  # the head; no region of the graph moves by it
    assert (told in capsys.readouterr().err) == (not knows)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temporal": "gru", "channels": 15},
        {"temporal": "attention", "channels": 18},
        {"speeds": []},
        {"batch": 1},
    ],
    ids=str,
)
def test_what_no_network_can_be_trained_with_is_refused(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        Training(**wrong)


def test_a_model_of_another_network_is_not_called_damaged(chain, tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"model": "auw_gcn", "state_dict": {}}, path)
    with pytest.raises(InputError, match="a model of the network 'auw_gcn'; 'multiscale' was"):
        load_model(path)
    with pytest.raises(InputError, match="a model of the network 'multiscale'; 'auw_gcn' was"):
        load_trained(chain.model(["s0"]))


def test_models_that_leave_out_no_pairs_are_an_error(chain, tmp_path):
    with pytest.raises(InputError, match="each pair of at least three groups"):
        evaluate.evaluate(
            chain.features, chain.annotation, [chain.model(["s0"])], tmp_path / "e.h5", Evaluate()
        )


@pytest.mark.parametrize(
    "other",
    [
        *({"graph": kind} for kind in get_args(GraphKind)),
        *({"temporal": kind} for kind in get_args(TemporalKind)),
        {"au_weight": 1.0, "consistency_weight": 0.15},
        {"speeds": [1.0, 0.5]},
        {"mirror": 0.0, "amplitude": 0.0, "distance_weight": 0.0, "dropout": 0.0},
    ],
    ids=str,
)
def test_what_the_literature_names_instead_is_trained_and_spots(chain, tmp_path, other):
    few = {"steps": 3, "batch": 2, "window": 256, "channels": 16}
    out = tmp_path / "model.pt"
    settings = Training(**few, **other)
    train_multiscale.train(
        chain.features, chain.annotation, ["s0"], out, tmp_path / "h.csv", settings
    )
    found = by_two_stages(
        load(chain.features), [out], chain.folder / "evaluation.h5", TwoStage(least=0)
    )
    assert [one.feature.subject for one in found] == ["s0"]


# --- what evaluate is made of --------------------------------------------------------------------------


def test_an_annotated_interval_is_hit_once():
    frames = np.array([[10, 30], [12, 30], [100, 120]])
    assert list(evaluate.matched(frames, np.array([[11.0, 31]]))) == [True, False, False]
    assert not evaluate.matched(frames, np.zeros((0, 2))).any()


def test_probabilities_are_worth_what_they_say():
    rng = np.random.default_rng(4)
    said = rng.uniform(0.02, 0.98, 20_000)
    right = rng.uniform(size=len(said)) < said**2  # too sure by far
    slope, offset = evaluate.worth(said, right)
    logit = np.log(said / (1 - said))
    calibrated = 1 / (1 + np.exp(-(slope * logit + offset)))
    for low in np.arange(0.1, 0.8, 0.1):
        bin_ = (calibrated >= low) & (calibrated < low + 0.1)
        assert abs(right[bin_].mean() - calibrated[bin_].mean()) < 0.06


def test_few_right_ones_do_not_turn_the_order_round():
    """The only one that is right is the least probable but for three."""
    said, right = np.linspace(0.01, 0.3, 40), np.arange(40) == 3
    slope, offset = evaluate.worth(said, right)
    assert slope == 1
    logit = np.log(said / (1 - said)) + offset
    assert 1 < (1 / (1 + np.exp(-logit))).sum() < 2, "two of 42, with the two added"


def test_the_least_probability_is_where_f1_is_to_be_expected_best():
    # Each one less probable than half the best F1 makes it worse (Lipton et al. 2014).
    probability = np.array([0.9, 0.8, 0.7, 0.35, 0.25, 0.1])
    f1_ = {}
    for least in evaluate.GRID:
        over = probability[probability >= least]
        f1_[least] = 2 * over.sum() / (len(over) + 3)
    found = evaluate.enough(probability, 3)
    assert f1_[found] == max(f1_.values())
    assert 0.35 < found <= 0.7
    assert abs(found - 0.7) < 1e-9, "of equals the largest"
    assert evaluate.enough(np.zeros(0), 3) == evaluate.GRID[-1]


def test_without_one_micro_expression_macro_expressions_are_spotted(annotation, tmp_path):
    alone = Chain(tmp_path, annotation[annotation["type"] == "macro"])
    alone.learnt()
    found = alone.spotted(["s0"])
    assert set(found["type"]) == {"macro"}


def test_a_group_whose_videos_all_failed_is_learnt_nothing_from(chain, tmp_path):
    stored = [one for one in load(chain.features) if one.subject not in GROUPS[1]]
    path = tmp_path / "features.h5"
    with store.create(
        path, stage="features", settings={}, fps=30.0, source="s", missing="{}"
    ) as file:
        for one in stored:
            feature_store.write(file, one)
    pairs = [chain.model(one + other) for one, other in combinations(GROUPS, 2)]
    out = tmp_path / "e.h5"
    evaluate.evaluate(path, chain.annotation, pairs, out, Evaluate())
    found = list(by_two_stages(stored, [chain.model(["s0"])], out, TwoStage()))
    assert len(found) == 1


# --- clips and losses -----------------------------------------------------------------------------------


@pytest.fixture
def first(chain):
    return load(chain.features)[0]


def test_marks_are_where_they_are_annotated(first, annotation):
    its = annotation[annotation["video"] == first.video]
    one = clip(first, its)
    row = its[its["type"] == "macro"].iloc[0]
    of = dict(zip(PROBABILITIES, one.targets, strict=False))
    for mark in ("onset", "apex", "offset"):
        assert of[f"macro_{mark}"][getattr(row, mark)] == 1
    inside = of["macro_inside"]
    assert inside[row.onset] == inside[row.offset] == 1
    assert inside[row.onset - 1] == inside[row.offset + 1] == 0
    since, until = one.targets[len(PROBABILITIES) + 2 :][:2]
    assert since[row.onset] == 0
    assert np.isclose(np.expm1(until[row.onset]), row.offset - row.onset, atol=1e-3)
    assert one.targets[len(OUTPUTS) + AUS.index(12), row.apex] == 1


def test_a_marks_gaussian_is_whole(first, annotation):
    """As far as float32 tells it from nothing beside 1, which is what the loss takes."""
    its = annotation[(annotation["video"] == first.video) & (annotation["type"] == "macro")].head(1)
    targets = dict(zip(PROBABILITIES, clip(first, its).targets, strict=False))
    row, t = its.iloc[0], np.arange(len(first.mdmo))
    width = 0.12 * (row.offset - row.onset + 1)
    whole = np.exp(-(((t - row.apex) / width) ** 2) / 2).astype(np.float32)
    one = np.float32(1)
    np.testing.assert_array_equal(one - targets["macro_apex"], one - whole)


def test_a_video_at_half_speed_lasts_twice_as_long_and_may_change_its_type(first, annotation):
    its = annotation[annotation["video"] == first.video]
    slow = clip(first, its, 0.5)
    assert len(slow.inputs) == 2 * len(first.mdmo)
    micro = its[its["type"] == "micro"].iloc[0]
    of = dict(zip(PROBABILITIES, slow.targets, strict=False))
    assert of["macro_inside"][2 * micro.apex] == 1
    assert not of["micro_inside"].any()


def test_an_interval_that_is_none_is_an_error(first, annotation):
    its = annotation[annotation["video"] == first.video].copy()
    its.iloc[0, its.columns.get_loc("offset")] = 1
    with pytest.raises(ValueError, match="0 <= onset <= offset"):
        clip(first, its)


@pytest.fixture
def batch(first, annotation):
    return next(batches([clip(first, annotation[annotation["video"] == first.video])], SMALL, 0))


def logits_of(batch) -> torch.Tensor:
    """Logits that are right."""
    n = len(PROBABILITIES)
    sure = torch.logit(batch.targets.clamp(1e-3, 1 - 1e-3))
    sure[:, n : len(OUTPUTS)] = batch.targets[:, n : len(OUTPUTS)]
    return sure


def test_what_is_right_costs_less(batch):
    settings = Training(au_weight=1, consistency_weight=1)
    right = logits_of(batch)
    wrong = right.clone()
    wrong[:, : len(PROBABILITIES)] *= -1
    wrong[:, len(PROBABILITIES) : len(OUTPUTS)] += 2
    wrong[:, len(OUTPUTS) :] *= -1
    good, bad = (losses(each, batch, settings) for each in (right, wrong))
    assert set(good) == {"peaks", "inside", "distances", "consistency", "aus"}
    for name in ("peaks", "inside", "distances", "aus"):
        assert good[name] < bad[name], name


def test_macro_expressions_do_not_drown_the_marks_of_micro_expressions(batch):
    """What a micro-expression's marks cost is the same beside one macro-expression and beside many."""
    macro = [k for k, name in enumerate(PROBABILITIES) if name.startswith("macro")]
    logits = torch.zeros_like(batch.targets, requires_grad=True)
    more = batch._replace(targets=batch.targets.clone())
    more.targets[:, macro] = 1
    micro = PROBABILITIES.index("micro_apex")
    pulls = [
        torch.autograd.grad(losses(logits, each, Training())["peaks"], logits)[0][:, micro]
        for each in (batch, more)
    ]
    assert pulls[0].abs().sum() > 0
    assert torch.equal(*pulls)


def test_nothing_that_counts_costs_a_finite_amount(batch):
    nothing = batch._replace(counts=torch.zeros_like(batch.counts))
    settings = Training(au_weight=1, consistency_weight=1)
    terms = losses(torch.randn_like(batch.targets), nothing, settings)
    assert all(torch.isfinite(term) for term in terms.values())


def test_rows_that_do_not_count_cost_nothing(batch):
    hidden = batch._replace(counts=batch.counts.clone())
    hidden.counts[:, :, 100:] = 0
    logits = torch.zeros_like(batch.targets)
    changed = logits.clone()
    changed[:, :, 100:] = 5
    settings = Training(au_weight=1)
    for name, term in losses(logits, hidden, settings).items():
        assert torch.equal(term, losses(changed, hidden, settings)[name]), name


# --- the network ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [None, "learned", torch.eye(12)])
@pytest.mark.parametrize("kind", temporal.KINDS)
def test_each_kind_tells_of_each_row(kind, graph):
    network = Multiscale(12, 2 * CHANNELS, 16, 0.0, kind, graph, aus=True)
    out = network(torch.zeros(2, 101, 12, 2 * CHANNELS))
    assert out.shape == (2, len(OUTPUTS) + len(AUS), 101)
    out.sum().backward()
    # A row's features are heard there.
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("kind", [kind for kind in temporal.KINDS if kind != "gru"])
def test_a_long_video_in_parts_gives_the_same(kind):
    torch.manual_seed(1)
    network = Multiscale(12, 2 * CHANNELS, 16, 0.0, kind).eval()
    seen = torch.randn(1, 1500, 12, 2 * CHANNELS)
    with torch.inference_mode():
        whole = network(seen)
        parts = network.in_parts(seen, 512)
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)


def test_regions_hear_their_neighbours_alone():
    adjacency = torch.zeros(12, 12)
    adjacency[0, 1] = 1
    network = Multiscale(12, 4, 16, 0.0, graph=adjacency)
    seen = torch.zeros(1, 5, 12, 4)
    still = network.graph(seen)
    moved = seen.clone()
    moved[:, :, 1] = 1
    differs = (network.graph(moved) != still).any(3).any(1)[0]
    assert differs.nonzero().flatten().tolist() == [0, 1]


def test_a_model_of_another_kind_is_an_error(chain, tmp_path):
    content = torch.load(chain.model(["s0"]), weights_only=True)
    for key, value in (("channels", 17), ("temporal", "gru"), ("regions", ["a"])):
        path = tmp_path / f"{key}.pt"
        torch.save(content | {key: value}, path)
        with pytest.raises(InputError, match=path.name):
            load_model(path)
