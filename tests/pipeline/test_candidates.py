"""What `auto` tries in the time that is granted."""

from dataclasses import replace

import pytest

from fvm_core.config import CrossfitConfig, ModelConfig
from fvm_core.pipeline.candidates import Candidate, affordable, by_stage, left_out_of, not_tried, total
from tests.cases import tiny_config

STAGES = ("prepare", "features", "train", "tune", "curvature", "score", "relabel", "compare", "embed")


def seconds(crossfit, own=0.0, **others):
    """All stages take 0 but these; `own` is that of training."""
    return dict.fromkeys(STAGES, 0.0) | {"crossfit": crossfit, "train": own} | others


@pytest.fixture
def known():
    return [Candidate(title, tiny_config()) for title in ("a head", "small", "last")]


def test_the_first_is_always_tried_whatever_it_takes(known):
    found = affordable(known, [seconds(900), seconds(1), seconds(1)], 60)
    assert [(place, folds) for place, folds, _ in found] == [(0, 5)]


def test_others_are_taken_in_order_of_their_price(known):
    all_of_them = [seconds(10, 1), seconds(100, 5), seconds(30, 2)]
    assert [one[0] for one in affordable(known, all_of_them, 50)] == [0, 2]
    assert [one[0] for one in affordable(known, all_of_them, 145)] == [0, 1, 2]
    assert [one[0] for one in affordable(known, all_of_them, 5)] == [0]


def test_what_does_not_fit_with_all_folds_is_tried_with_three(known):
    found = affordable(known[:2], [seconds(10), seconds(100)], 70)
    assert [(place, folds) for place, folds, _ in found] == [(0, 5), (1, 3)]
    assert found[1][2]["crossfit"] == 50  # two trainings on two thirds in place of four on four fifths
    assert affordable(known[:2], [seconds(10), seconds(100)], 59)[1:] == []


def test_fewer_folds_than_three_stay(known):
    few = [replace(one, config=tiny_config(crossfit=CrossfitConfig(folds=2))) for one in known[:2]]
    found = affordable(few, [seconds(10), seconds(50)], 60)
    assert [(place, folds) for place, folds, _ in found] == [(0, 2), (1, 2)]


def test_a_run_takes_the_stages_of_the_dearest_once():
    two = [seconds(10, 5, prepare=3, features=7, embed=2), seconds(20, 30, prepare=4, features=1)]
    assert total(two) == (3 + 7 + 2 + 10) + (4 + 1 + 20) + 30
    found = by_stage(two)
    assert sum(found.values()) == total(two)
    assert (found["select"], found["crossfit"], found["train"]) == (35, 0, 30)
    assert by_stage(two[:1])["crossfit"] == 10
    assert by_stage(two[:1])["select"] == 0


def test_what_is_left_out_is_told_with_what_it_takes(known):
    all_of_them = [seconds(10), seconds(1000), seconds(30)]
    left_out = left_out_of(known, all_of_them, affordable(known, all_of_them, 60))
    assert left_out == [{"title": "small", "seconds": 1040}]
    assert not_tried(left_out) == (
        "Not tried for want of time: small (the run would take about 17 min 20 s, --budget 18)."
    )
    assert not_tried([]) == ""


def test_candidates_survive_run_json(known):
    one = Candidate("x", tiny_config(model=ModelConfig(name="small_cnn", size=32)))
    assert Candidate.from_dict(one.to_dict()) == one
