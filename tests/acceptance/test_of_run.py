"""What a run folder lets one expect, in numbers, in words, and where nothing can be said."""

import numpy as np
import pyarrow as pa
import pytest

from fvm_core.acceptance.of_run import outlook
from fvm_core.acceptance.planted_only import PlantedView, flagged_wrong
from fvm_core.comparison.choice import choose
from fvm_core.comparison.results import Description, write_result
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.review.export import acceptance, export_table
from fvm_core.runs.run_folder import RunFolder
from tests.acceptance.cases import names, run_of, simulate, write_crossfit
from tests.review.cases import decide, store_at


@pytest.fixture
def case():
    return simulate(0, samples=1500, trusted=500, noise=0.2, shift=3.5)


def test_the_readers_give_what_was_written(case, tmp_path):
    run = run_of(case, tmp_path / "run")
    np.testing.assert_array_equal(run.crossfit_probabilities(), case.probabilities)
    assert isinstance(run.crossfit_probabilities(), np.memmap)
    found, labels = run.crossfit_trusted()
    np.testing.assert_array_equal(found, case.trusted)
    np.testing.assert_array_equal(labels, case.trusted_labels)
    older = run_of(case, tmp_path / "older", crossfit=False)
    assert older.crossfit_probabilities() is None and older.crossfit_trusted() is None
    assert older.planted() is None


@pytest.mark.parametrize("damage", ["cut", "rows", "classes", "labels", "kind"])
def test_nonsense_is_a_damaged_file(case, tmp_path, damage):
    run = run_of(case, tmp_path / "run")
    path = run.path / "crossfit" / "probabilities.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif damage == "rows":
        np.save(path, case.probabilities[:-1])
    elif damage == "classes":
        np.save(path, case.probabilities[:, :-1])
    elif damage == "kind":
        np.save(path, case.probabilities.astype(np.float64))
    else:
        run.write_table(
            "crossfit/trusted.parquet",
            pa.table({"row": np.arange(500), "label": case.trusted_labels + 1}),
        )
    with pytest.raises(DamagedFile, match="crossfit"):
        outlook(run)


def test_the_table_takes_what_was_promised(case, tmp_path):
    run, store = run_of(case, tmp_path / "run"), store_at(tmp_path)
    told = acceptance(run, store, accept_precision=95)
    table = export_table(run, store, accept_precision=95)
    taken = (table["status"] == "auto_relabelled").to_numpy()
    np.testing.assert_array_equal(taken, told.accepted)
    labels = np.array(names(5))
    true = labels[case.true]
    right = (table["clean_label"].to_numpy() == true)[taken].mean()
    assert taken.sum() > 100 and right >= 0.93
    assert (table["clean_label"] != true).sum() < case.wrong
    assert told.warning is None
    assert told.sentence.startswith(f"Of {taken.sum()} suggestions about ")
    assert "wrong labels: about" in told.sentence and "→" in told.sentence


def test_what_was_decided_is_neither_accepted_nor_counted(case, tmp_path):
    run, store = run_of(case, tmp_path / "run"), store_at(tmp_path)
    first = int(np.flatnonzero(acceptance(run, store, accept_precision=90).accepted)[0])
    decide(store, run, first, "keep")
    told = acceptance(run, store, accept_precision=90)
    assert not told.accepted[first] and not told.undecided[first]
    assert export_table(run, store, accept_precision=90)["status"][first] == "kept"


def test_a_percentile_that_makes_labels_worse_is_warned_of_and_done(tmp_path):
    case = simulate(1, samples=1500, trusted=500, noise=0.03, shift=1.5)
    run, store = run_of(case, tmp_path / "run"), store_at(tmp_path)
    told = acceptance(run, store, accept_above=50)
    assert case.wrong_after(told.accepted) > case.wrong
    assert told.warning.startswith("This makes the labels worse, not better: about ")
    statuses = export_table(run, store, accept_above=50)["status"]
    np.testing.assert_array_equal(statuses == "auto_relabelled", told.accepted)
    careful = acceptance(run, store, accept_precision=95)
    assert case.wrong_after(careful.accepted) <= case.wrong and careful.warning is None


def test_with_too_few_trusted_images_nothing_is_accepted_and_why_is_said(tmp_path):
    case = simulate(2, samples=500, trusted=20)
    run, store = run_of(case, tmp_path / "run"), store_at(tmp_path)
    told = acceptance(run, store, accept_precision=50)
    assert not told.accepted.any()
    assert "20 trusted images are too few" in told.sentence
    assert set(export_table(run, store, accept_precision=50)["status"]) == {"unreviewed"}


def test_a_model_that_guesses_is_not_believed(tmp_path):
    case = simulate(2, samples=500, trusted=300, shift=0.0)
    told = acceptance(run_of(case, tmp_path / "run"), store_at(tmp_path), accept_precision=50)
    assert not told.accepted.any() and "no better than guessing" in told.sentence


def test_without_probabilities_and_planted_images_nothing_is_known(case, tmp_path):
    run, store = run_of(case, tmp_path / "run", crossfit=False), store_at(tmp_path)
    told = acceptance(run, store, accept_precision=50)
    assert not told.accepted.any()
    assert "is not known" in told.sentence and "200" in told.sentence
    above = acceptance(run, store, accept_above=80)
    assert above.accepted.any() and "is not known" in above.sentence


def with_planted_scores(
    run: RunFolder, case, *, good: bool, count: int = 100, suggest: bool = False, learnt: bool = True
) -> None:
    """Planted samples, half of them wrong; `good`: these are suspicious and no others, and with `suggest` their
    true label is suggested. Otherwise all are suspicious, and another label is suggested for each.
    """
    wrong = np.arange(count) < count // 2
    labels = names(5)
    table = {
        "row": np.arange(count),
        "id": [f"p{k}" for k in range(count)],
        "true_label": [labels[0]] * count,
        "planted_label": [labels[1] if one else labels[0] for one in wrong],
        "wrong": wrong,
    }
    run.write_table("planted.parquet", pa.table(table))
    estimated = 0.1 * len(case.given)
    run.update(
        summary={"threshold": 0.5, "flagged": 10, "suggested_relabels": 10, "estimated_wrong": estimated}
    )
    suspicion = run.read_scores(["suspicion"])["suspicion"].to_numpy()
    run.update(planted={"samples": count, "wrong": count // 2, "in_training": learnt}, validation_samples=500)
    planted = np.where(wrong, 2.0, 0.001) if good else np.full(count, 2.0)
    if suggest:
        suggested = [labels[0] if good else labels[2]] * count
        run.write_table("planted_suggestions.parquet", pa.table({"suggested_label": suggested}))
    write_result(run.path, Description("fvm", "FVM", "high", planted=planted.tolist()), suspicion)


def test_suggestions_for_planted_images_tell_how_many_are_right(case, tmp_path):
    run, store = run_of(case, tmp_path / "good", crossfit=False), store_at(tmp_path)
    # Images of the same kind, half of them with another label.
    other = simulate(1, samples=600, noise=0.0, shift=3.5)
    wrong = np.arange(600) < 300
    with_planted_scores(run, case, good=True, count=600)
    played = np.where(wrong, (other.true + 1) % 5, other.true)
    labels = np.array(names(5), dtype=object)
    table = {"true_label": labels[other.true], "planted_label": labels[played], "wrong": wrong}
    rows = {"row": np.arange(600), "id": [f"p{k}" for k in range(600)]}
    run.write_table("planted.parquet", pa.table(rows | {k: list(v) for k, v in table.items()}))
    run.write_table(
        "planted_suggestions.parquet", pa.table({"suggested_label": list(labels[other.suggested])})
    )
    planted = 1 - other.probabilities[np.arange(600), played]
    suspicion = run.read_scores(["suspicion"])["suspicion"].to_numpy()
    write_result(run.path, Description("fvm", "FVM", "high", planted=planted.tolist()), suspicion)
    told = acceptance(run, store, accept_precision=80)
    expected = told.outlook.expect(told.accepted, told.undecided)
    assert told.accepted.sum() == expected.accepted > 100
    assert told.sentence.startswith(f"Of {expected.accepted} suggestions about ") and "→" in told.sentence
    assert told.warning is None
    assert expected.right.low <= case.right(told.accepted) <= expected.right.high
    assert case.wrong_after(told.accepted) < case.wrong
    table = export_table(run, store, accept_precision=80)
    np.testing.assert_array_equal(table["status"] == "auto_relabelled", told.accepted)


def test_suggestions_that_hit_right_labels_are_warned_of(case, tmp_path):
    run, store = run_of(case, tmp_path / "bad", crossfit=False), store_at(tmp_path)
    with_planted_scores(run, case, good=False, suggest=True)
    told = acceptance(run, store, accept_above=50)
    assert told.warning.startswith("This makes the labels worse, not better: about ")
    careful = acceptance(run, store, accept_precision=60)
    assert not careful.accepted.any() and "would hardly change that" in careful.sentence


def test_too_few_planted_images_accept_nothing_and_say_how_many_would(case, tmp_path):
    run, store = run_of(case, tmp_path / "run", crossfit=False), store_at(tmp_path)
    with_planted_scores(run, case, good=True, count=20, suggest=True)
    told = acceptance(run, store, accept_precision=95)
    assert not told.accepted.any()
    assert "sure enough that 95 % are right" in told.sentence
    assert "10 planted wrong labels and 10 planted right ones" in told.sentence
    assert "trusted images of which half is planted (--planted 0.5)" in told.sentence
    other = run_of(case, tmp_path / "fewer", crossfit=False)
    with_planted_scores(other, case, good=True, count=18, suggest=True)
    told = acceptance(other, store, accept_precision=95)
    assert "9 planted wrong labels and 9 right ones are too few" in told.sentence


def test_a_score_that_suggests_is_tried_by_its_own_suggestions(case, tmp_path):
    run, store = run_of(case, tmp_path / "run", crossfit=False), store_at(tmp_path)
    with_planted_scores(run, case, good=True, suggest=True)
    labels, suspicion = names(5), run.read_scores(["suspicion"])["suspicion"].to_numpy()
    planted = np.where(np.arange(100) < 50, 2.0, 0.001).tolist()
    for name, found in (("tuned_margin", [labels[3]] * 100), ("older", [])):
        about = Description(name, name, "high", relabels=True, planted=planted, planted_suggested=found)
        write_result(run.path, about, suspicion, [labels[k] for k in case.suggested])
    assert acceptance(run, store, accept_precision=50).accepted.any()
    choose(run, "tuned_margin")
    trial = acceptance(run, store, accept_precision=50).outlook.trial
    assert not trial.planted_found.any() and trial.planted_differs.all()
    choose(run, "older")
    known = acceptance(run, store, accept_precision=50)
    assert known.outlook.trial is None and "kept no suggestions of planted images" in known.sentence


def test_planted_labels_that_the_model_has_not_learnt_are_no_trial(case, tmp_path):
    run, store = run_of(case, tmp_path / "run", crossfit=False), store_at(tmp_path)
    with_planted_scores(run, case, good=True, suggest=True, learnt=False)
    told = acceptance(run, store, accept_precision=50)
    assert not told.accepted.any() and "has not learnt the planted labels" in told.sentence
    assert told.outlook.flagged_wrong(told.outlook.differs) is not None


def test_suggestions_of_other_planted_images_are_a_damaged_file(case, tmp_path):
    run = run_of(case, tmp_path / "run", crossfit=False)
    with_planted_scores(run, case, good=True, suggest=True)
    run.write_table("planted_suggestions.parquet", pa.table({"suggested_label": ["class 0"] * 99}))
    with pytest.raises(DamagedFile, match="planted_suggestions"):
        outlook(run)


def test_runs_that_kept_no_suggestions_tell_how_many_labels_are_wrong(case, tmp_path):
    run, store = run_of(case, tmp_path / "good", crossfit=False), store_at(tmp_path)
    with_planted_scores(run, case, good=True)
    told = acceptance(run, store, accept_above=90)
    assert "labels that would be replaced about" in told.sentence and "planted" in told.sentence
    assert "kept no suggestions of planted images" in told.sentence
    assert told.outlook.flagged_wrong(told.accepted).value == 1
    assert not acceptance(run, store, accept_precision=60).accepted.any()
    other = run_of(case, tmp_path / "bad", crossfit=False)
    with_planted_scores(other, case, good=False)
    told = acceptance(other, store, accept_above=90)
    assert told.outlook.flagged_wrong(told.accepted).value == pytest.approx(0.1)
    assert "worse" in told.warning


def test_planted_shares_are_turned_to_those_of_the_run():
    wrong = np.arange(200) < 100
    suspicion = np.where(np.arange(200) % 100 < np.where(wrong, 80, 10), 1.0, 0.0)
    found = flagged_wrong(PlantedView(suspicion, wrong, 0.1), 0.5)
    assert found.value == pytest.approx(0.08 / (0.08 + 0.09))
    assert found.low < 0.4 < found.value < 0.6 < found.high


def test_planted_rows_of_a_cross_fitted_run_are_asked_too(case, tmp_path):
    run = run_of(case, tmp_path / "run")
    other = simulate(9, samples=60, noise=0.0, shift=3.5)
    labels = np.array(names(5), dtype=object)
    wrong = np.arange(60) < 30
    played = np.where(wrong, (other.true + 1) % 5, other.true)
    table = {
        "row": np.arange(60),
        "id": [f"p{k}" for k in range(60)],
        "true_label": list(labels[other.true]),
        "planted_label": list(labels[played]),
        "wrong": wrong,
    }
    run.write_table("planted.parquet", pa.table(table))
    with pytest.raises(DamagedFile, match="1,560 × 5"):
        outlook(run)
    both = np.concatenate([case.probabilities, other.probabilities])
    write_crossfit(run, both, case.trusted, case.trusted_labels)
    belief = outlook(run).belief
    assert len(belief.alarms) == 500 + 30 and len(belief.found) == 30
    assert belief.found_right.mean() > 0.8


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_a_share_out_of_range_is_refused(case, tmp_path, percent):
    run, store = run_of(case, tmp_path / "run", crossfit=False), store_at(tmp_path)
    for call in (export_table, acceptance):
        with pytest.raises(SaltflatError, match="above 0 and at most 100"):
            call(run, store, accept_precision=percent)
        with pytest.raises(SaltflatError, match="not both"):
            call(run, store, accept_precision=95, accept_above=95)
