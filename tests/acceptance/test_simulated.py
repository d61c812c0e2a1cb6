"""The estimate against a truth that is known, and the promise that labels never become worse."""

from itertools import pairwise

import numpy as np
import pytest

from fvm_core.acceptance.belief import Planted, believe
from fvm_core.acceptance.calibration import fit_scale, informative, log_probabilities
from fvm_core.acceptance.expected import expect
from fvm_core.acceptance.label_noise import fit_transition, posterior, scaled_noise, spread
from fvm_core.acceptance.likely import likely
from fvm_core.acceptance.rule import accept_precision
from tests.acceptance.cases import noisy, simulate


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_the_scale_undoes_what_made_probabilities_too_sure(power):
    case = simulate(0, trusted=2000, shift=2.0, power=power)
    scale = fit_scale(log_probabilities(case.trusted), case.trusted_labels)
    assert scale * power == pytest.approx(1.0, abs=0.12)


def test_few_images_that_are_all_right_do_not_make_the_scale_endless():
    probabilities = np.full((20, 4), 0.05)
    probabilities[:, 1] = 0.85
    scale = fit_scale(log_probabilities(probabilities), np.ones(20, dtype=int))
    assert 1.2 < scale < 4


@pytest.mark.parametrize("classes", [2, 5, 20])
@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
def test_the_transition_is_found_without_true_labels(classes, noise):
    case = simulate(1, samples=10_000, classes=classes, noise=noise, shift=4.0)
    short = likely(case.probabilities, 1.0, case.given)
    kept, others = short.scaled()
    found = fit_transition(kept, others, short.index, case.given, classes)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(found, case.transition, atol=0.03 if classes < 20 else 0.07)


def test_the_transition_is_a_fixed_point_of_expectation_maximisation_written_out():
    case = simulate(2, samples=400, classes=3)
    p, g = case.probabilities.astype(float), case.given
    short = likely(p, 1.0, g)
    start = spread(0.2, 3)
    found = fit_transition(*short.scaled(), short.index, g, 3, start=start, steps=1)
    counts = np.zeros((3, 3))
    for row, label in zip(p, g, strict=True):
        share = row * start[:, label]
        counts[:, label] += share / share.sum()
    counts += 5 * spread(1 - np.trace(counts) / counts.sum(), 3)
    np.testing.assert_allclose(found, counts / counts.sum(1, keepdims=True), rtol=1e-5)


def test_the_posterior_is_bayes_rule():
    p, transition = np.array([[0.7, 0.2, 0.1]]), noisy(0.3, 3)
    short = likely(p, 1.0, np.array([2]))
    joint = p[0] * transition[:, 2]
    found = posterior(*short.scaled(), short.index, np.array([2]), transition)
    np.testing.assert_allclose(found[0], joint / joint.sum(), rtol=1e-9)


def test_the_short_form_of_many_classes_keeps_sums_and_asked_labels():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(100, 0.05), size=50)
    asked = rng.integers(100, size=50)
    short = likely(p, 1.0, asked)
    kept, others = short.scaled()
    np.testing.assert_allclose(kept.sum(1) + others, 1)
    np.testing.assert_allclose(kept[np.arange(50), short.place(asked)], p[np.arange(50), asked], atol=1e-9)
    sharper = p**1.1 / (p**1.1).sum(1, keepdims=True)
    kept, _ = short.scaled(1.1)
    np.testing.assert_allclose(kept, np.take_along_axis(sharper, short.index, 1), atol=2e-3)


def test_noise_is_scaled_by_row_and_stays_a_transition():
    transition = noisy(0.4, 4)
    np.testing.assert_allclose(scaled_noise(transition, 0.0), np.eye(4))
    half = scaled_noise(transition, 0.5)
    np.testing.assert_allclose(1 - np.diag(half), (1 - np.diag(transition)) / 2)
    most = scaled_noise(transition, 100.0)
    np.testing.assert_allclose(most.sum(1), 1)
    assert np.diag(most).min() == pytest.approx(0.05)


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("trusted", [50, 200, 1000])
def test_uninformative_probabilities_are_told_from_informative_ones(classes, trusted):
    told = [
        informative(log_probabilities(case.trusted), case.trusted_labels)
        for case in (simulate(seed, trusted=trusted, classes=classes, shift=0.0) for seed in range(10))
    ]
    assert sum(told) <= 1
    case = simulate(0, trusted=trusted, classes=classes)
    assert informative(log_probabilities(case.trusted), case.trusted_labels)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
@pytest.mark.parametrize(("trusted", "power"), [(100, 1.0), (1000, 3.0)])
def test_intervals_cover_the_truth(noise, trusted, power):
    covered = {"before": 0, "right": 0, "after": 0}
    error = []
    for seed in range(20):
        case = simulate(seed, samples=1500, trusted=trusted, noise=noise, power=power, shift=2.5)
        belief = case.believe(seed=seed)
        accepted = case.suggested != case.given
        expected = expect(belief, accepted)
        truth = {"before": case.wrong, "right": case.right(accepted), "after": case.wrong_after(accepted)}
        for name, value in truth.items():
            interval = getattr(expected, name)
            assert interval.low <= interval.value <= interval.high
            covered[name] += interval.low <= value <= interval.high
        error.append(expected.before.value / case.wrong - 1)
        assert expected.accepted == accepted.sum()
    assert min(covered.values()) >= 16, covered
    assert abs(np.mean(error)) < 0.15


def test_few_trusted_images_make_wide_intervals():
    widths = []
    for trusted in (30, 200, 2000):
        case = simulate(3, trusted=trusted, shift=2.0)
        before = expect(case.believe(), case.suggested != case.given).before
        widths.append(before.high - before.low)
    assert widths[0] > 1.2 * widths[1] > 1.4 * widths[2]


@pytest.mark.parametrize("target", [0.9, 0.95])
@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
@pytest.mark.parametrize(("trusted", "classes"), [(50, 5), (200, 2), (200, 10), (1000, 30)])
def test_of_what_is_accepted_the_share_asked_for_is_right(target, noise, trusted, classes):
    right = accepted = 0
    for seed in range(4):
        case = simulate(seed, trusted=trusted, classes=classes, noise=noise, shift=3.5, power=2.0)
        chosen = accept_precision(case.believe(), target).accepted
        right, accepted = right + case.right(chosen), accepted + int(chosen.sum())
        assert case.wrong_after(chosen) <= case.wrong
    assert accepted == 0 or right / accepted >= target - 0.02
    if trusted >= 200 and noise >= 0.2:
        assert accepted > 100  # careful is not the same as useless


@pytest.mark.parametrize("trusted", [20, 50, 200, 1000])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
@pytest.mark.parametrize(
    ("shift", "power"), [(0.0, 1.0), (0.0, 8.0), (0.7, 1.0), (1.5, 10.0), (1.5, 0.2), (4.0, 6.0)]
)
def test_accepting_never_raises_the_number_of_wrong_labels(trusted, noise, shift, power):
    for seed in range(2):
        case = simulate(seed, samples=1500, trusted=trusted, classes=6, noise=noise, shift=shift, power=power)
        chosen = accept_precision(case.believe(draws=40), 0.95).accepted
        assert case.wrong_after(chosen) <= case.wrong
        if shift == 0 or noise == 0:
            assert not chosen.any()


def test_a_lower_share_accepts_more_and_what_is_decided_is_left_alone():
    case = simulate(5, trusted=1000, shift=2.5)
    belief = case.believe()
    sets = [accept_precision(belief, target).accepted for target in (0.5, 0.8, 0.95, 0.99)]
    assert all((few <= many).all() for many, few in pairwise(sets))
    assert sets[0].sum() > sets[3].sum()
    undecided = np.ones(len(case.given), dtype=bool)
    undecided[np.flatnonzero(sets[2])[:10]] = False
    again = accept_precision(belief, 0.95, undecided).accepted
    assert not (again & ~undecided).any() and again.any()
    whole, rest = expect(belief, sets[2]), expect(belief, again, undecided)
    assert rest.before.value < whole.before.value


def test_no_suggestion_sure_enough_is_said():
    case = simulate(0, trusted=40, noise=0.02, shift=1.5)
    chosen = accept_precision(case.believe(), 0.99)
    assert not chosen.accepted.any()
    assert "sure enough that 99 % are right" in chosen.reason


def test_samples_without_label_or_probabilities_are_left_out():
    case = simulate(6, samples=1000)
    given, probabilities = case.given.copy(), case.probabilities.copy()
    given[:100] = -1
    probabilities[100:200] = np.nan
    belief = believe(probabilities, given, case.suggested, case.trusted, case.trusted_labels)
    assert np.isnan(belief.given_right[:200]).all() and np.isfinite(belief.given_right[200:]).all()
    assert belief.rows.min() >= 200
    assert not accept_precision(belief, 0.5).accepted[:200].any()
    assert expect(belief, np.ones(1000, dtype=bool)).before.high <= 800


def test_planted_images_that_contradict_lower_what_is_accepted():
    case = simulate(7, trusted=1000, noise=0.2)
    plain = accept_precision(case.believe(), 0.95).accepted
    rng = np.random.default_rng(0)
    other = simulate(8, samples=200, noise=0.0)
    played = (other.true + 1) % 5
    agrees = Planted(other.probabilities, played, other.true)
    contradicts = Planted(other.probabilities, played, rng.integers(5, size=200))
    assert accept_precision(case.believe(planted=agrees), 0.95).accepted.sum() == plain.sum() > 0
    assert not accept_precision(case.believe(planted=contradicts), 0.95).accepted.any()


def test_right_planted_labels_that_raise_alarms_lower_what_is_accepted():
    case = simulate(7, trusted=200, noise=0.2)
    other = simulate(8, samples=200, noise=0.0)
    unlike = Planted(other.probabilities, (other.suggested + 1) % 5, (other.suggested + 1) % 5)
    many = accept_precision(case.believe(), 0.9).accepted.sum()
    few = accept_precision(case.believe(planted=unlike), 0.9).accepted.sum()
    assert few < many / 4


def test_the_same_data_give_the_same_numbers():
    case = simulate(9, samples=500)
    first, second = (expect(case.believe(), case.suggested != case.given) for _ in range(2))
    assert first == second
