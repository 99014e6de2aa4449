"""Intervals hold what they say they hold; tests agree with scipy's, exactly where they are exact."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from csg405.benchmark.metric import Card, Key, Row, Rows
from csg405.benchmark.metrics import fgd, kgd
from csg405.benchmark.metrics._features import Pick
from csg405.benchmark.statistics import (
    Interval,
    Rank,
    holm,
    mean_interval,
    pooled_values,
    ranks,
    seed_spread,
    set_comparison,
    set_interval,
    set_intervals,
    sign_flip_test,
    smallest_difference,
    swap_test,
)
from csg405.benchmark.statistics.intervals import ClusterSums

DIMENSIONS = 4


def alone(values: Sequence[float]) -> tuple[dict[str, float], dict[str, str]]:
    """Values of clips that are a cluster each."""
    names = [f"c{i:03d}" for i in range(len(values))]
    return dict(zip(names, map(float, values), strict=True)), {name: name for name in names}


def clustered(
    rng: np.random.Generator, clusters: int, *, effect: Callable[[], float]
) -> tuple[dict[str, float], dict[str, str]]:
    """Speakers with 1 to some 20 clips, whose values share an effect of their speaker of mean 0."""
    values, cluster_of = {}, {}
    for speaker in range(clusters):
        own = effect()
        for i in range(rng.geometric(0.15)):
            values[f"{speaker}-{i}"] = own + rng.normal(0, 0.7)
            cluster_of[f"{speaker}-{i}"] = str(speaker)
    return values, cluster_of


# Means


def test_without_clusters_the_standard_error_is_the_usual_one() -> None:
    values, cluster_of = alone(np.random.default_rng(1).gamma(2, 1, 30))
    sums = ClusterSums.of(values, cluster_of=cluster_of)
    assert sums.mean == pytest.approx(np.mean(list(values.values())), rel=1e-12)
    assert sums.se == pytest.approx(stats.sem(list(values.values())), rel=1e-12)


def test_the_interval_of_a_mean_is_scipys_bootstrap_of_t() -> None:
    sample = np.random.default_rng(2).gamma(2, 1, 25)
    values, cluster_of = alone(sample)
    found = mean_interval(values, cluster_of=cluster_of, draws=19_999)

    def t(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return (drawn.mean(axis=axis) - sample.mean()) / stats.sem(drawn, axis=axis)

    quantiles = stats.bootstrap(
        (sample,), t, method="percentile", n_resamples=19_999, rng=np.random.default_rng(3)
    ).confidence_interval
    low, high = sample.mean() - quantiles.high * stats.sem(sample), sample.mean() - quantiles.low * stats.sem(sample)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))  # two Monte Carlos
    assert (found.value, found.clusters) == (pytest.approx(sample.mean()), 25)


@pytest.mark.parametrize(("clusters", "skewed"), [(10, False), (12, True), (30, True)])
def test_intervals_of_means_hold_the_truth_as_often_as_they_say(clusters: int, skewed: bool) -> None:
    rng = np.random.default_rng([clusters, skewed])
    effect = (lambda: rng.gamma(2) - 2) if skewed else rng.normal
    held = 0
    for _ in range(400):
        values, cluster_of = clustered(rng, clusters, effect=effect)
        found = mean_interval(values, cluster_of=cluster_of, draws=999)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / 400 <= 0.99


def test_an_interval_that_knows_no_speakers_is_too_narrow() -> None:
    values, cluster_of = clustered(np.random.default_rng(4), 15, effect=np.random.default_rng(5).normal)
    by_speaker = mean_interval(values, cluster_of=cluster_of)
    by_clip = mean_interval(values, cluster_of={clip_id: clip_id for clip_id in values})
    assert by_speaker is not None
    assert by_clip is not None
    assert by_speaker.se > 1.5 * by_clip.se


def test_intervals_and_tests_do_not_know_the_order_of_clips() -> None:
    values, cluster_of = clustered(np.random.default_rng(6), 14, effect=np.random.default_rng(7).normal)
    turned = dict(reversed(values.items()))
    zero = dict.fromkeys(values, 0.0)
    assert mean_interval(values, cluster_of=cluster_of) == mean_interval(turned, cluster_of=cluster_of)
    assert sign_flip_test(values, zero, cluster_of=cluster_of) == sign_flip_test(turned, zero, cluster_of=cluster_of)


def test_too_few_speakers_have_no_interval_and_equal_values_a_point() -> None:
    def of(*values: float) -> Interval | None:
        found, cluster_of = alone(values)
        return mean_interval(found, cluster_of=cluster_of)

    assert of(1, 2, 3, 4) is None
    found = of(*[2.5] * 6)
    assert found is not None
    assert (found.low, found.value, found.high, found.se) == (2.5, 2.5, 2.5, 0.0)
    # A third of all draws leave the only other value out, and have no spread.
    assert of(1, 0, 0, 0, 0, 0) is None


# Sets


def usual_mean(values: dict[str, float]) -> Callable[[Sequence[str]], float]:
    return lambda clusters: float(np.mean([values[name] for name in clusters]))


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values, _ = alone(np.random.default_rng(8).normal(3, 2, 20))
    found = set_interval(usual_mean(values), reversed(list(values)))
    sample = list(values.values())
    wanted = stats.ttest_1samp(sample, 0.0).confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)
    assert found.se == pytest.approx(stats.sem(sample), rel=1e-9)
    assert found.bias == pytest.approx(0.0, abs=1e-9)


def test_the_jackknife_knows_the_bias_of_a_variance() -> None:
    values, _ = alone(np.random.default_rng(9).normal(0, 1, 30))
    found = set_interval(lambda names: float(np.var([values[name] for name in names])), values)
    assert found is not None
    assert found.value - (found.bias or 0) == pytest.approx(np.var(list(values.values()), ddof=1), rel=1e-9)


def test_groups_of_clusters_have_nearly_the_error_of_single_ones() -> None:
    values, _ = alone(np.random.default_rng(10).normal(0, 1, 400))
    calls: list[int] = []

    def compute(names: Sequence[str]) -> float:
        calls.append(len(names))
        return usual_mean(values)(names)

    found = set_interval(compute, values)
    assert found is not None
    assert sorted(set(calls)) == [390, 400]
    assert len(calls) == 41
    assert found.se == pytest.approx(stats.sem(list(values.values())), rel=0.3)


def test_sets_that_cannot_be_computed_have_no_interval() -> None:
    assert set_interval(lambda names: 1.0, "abcd") is None
    assert set_interval(lambda names: None, "abcdef") is None
    assert set_interval(lambda names: 1.0 if "a" in names else None, "abcdef") is None


def talkers(
    rng: np.random.Generator, count: int, *, shift: float, scale: float, width: int = DIMENSIONS
) -> tuple[Rows, Rows, dict[str, str]]:
    """A system and the truth: speakers of 3 clips of 6 windows, alike in both, with variance 1 of a window."""
    system: dict[Key, Row] = {}
    truth: dict[Key, Row] = {}
    cluster_of = {}
    for speaker, clip in itertools.product(range(count), range(3)):
        if clip == 0:
            own = rng.normal(0, 0.6, (2, width))
        key = Key(f"{speaker:03d}-{clip}", 0)
        cluster_of[key.clip_id] = f"{speaker:03d}"
        centre = own + rng.normal(0, 0.5, (2, width))
        spread = (1 - 0.6**2 - 0.5**2) ** 0.5
        true, other = (at + rng.normal(0, spread, (6, width)) for at in centre)
        truth[key] = {"all": true}
        system[key] = {"all": shift + scale * (0.6 * np.broadcast_to(centre[0], other.shape) + 0.8 * other)}
        # 0.6 of what the truth's clip shares, 0.8 of its own: unlike the truth's variance by a known amount.
    return system, truth, cluster_of


def moments(mean: float, variance: float) -> list[np.ndarray]:
    """First three of a Gaussian with equal means and independent, equal variances."""
    at, eye = np.full(DIMENSIONS, mean), np.eye(DIMENSIONS)
    third = np.einsum("i,j,k", at, at, at)
    for order in ("i,jk", "j,ik", "k,ij"):
        third = third + variance * np.einsum(f"{order}->ijk", at, eye)
    return [np.array(1.0), at, np.outer(at, at) + variance * eye, third]


def true_distance(shift: float, scale: float) -> float:
    """The discrepancy of endless speakers."""
    x, y = moments(shift, scale**2 * (0.6**2 * 0.61 + 0.8**2)), moments(0.0, 1.0)

    def kernel(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        return sum(
            c * float(np.sum(a * b)) / DIMENSIONS**k
            for k, (c, a, b) in enumerate(zip((1, 3, 3, 1), first, second, strict=True))
        )

    return kernel(x, x) - 2 * kernel(x, y) + kernel(y, y)


@pytest.mark.parametrize(("speakers", "shift", "scale"), [(12, 0.3, 1.0), (20, 0.6, 1.3), (24, 0.0, 0.7)])
def test_intervals_of_the_kernel_distance_hold_that_of_endless_speakers(
    speakers: int, shift: float, scale: float
) -> None:
    rng = np.random.default_rng(speakers)
    held, estimates, errors = 0, [], []
    for _ in range(150):
        system, truth, cluster_of = talkers(rng, speakers, shift=shift, scale=scale)
        found = set_intervals(kgd, system, truth, cluster_of=cluster_of)["kgd"]
        assert found is not None
        held += found.low <= true_distance(shift, scale) <= found.high
        estimates.append(found.value - (found.bias or 0))
        errors.append(found.se)
    assert 0.90 <= held / 150 <= 0.99
    assert np.mean(estimates) == pytest.approx(true_distance(shift, scale), abs=4 * np.std(estimates) / 150**0.5)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.35)


def test_the_error_of_a_frechet_distance_is_the_spread_between_test_sets() -> None:
    rng = np.random.default_rng(11)
    found = []
    for _ in range(100):
        system, truth, cluster_of = talkers(rng, 25, shift=0.5, scale=1.3)
        interval = set_intervals(fgd, system, truth, cluster_of=cluster_of)["fgd"]
        assert interval is not None
        found.append((interval.value, interval.se))
    values, errors = np.transpose(found)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def without_pools() -> types.ModuleType:
    """The kernel distance, as a metric that offers no pools."""
    module = types.ModuleType("slow")
    module.CARDS = (Card(name="kgd", title="", unit="1", direction="lower"),)
    module.compute = kgd.compute
    return module


def test_a_metric_without_pools_is_computed_from_the_rows_it_would_pool() -> None:
    rng = np.random.default_rng(12)
    first, truth, cluster_of = talkers(rng, 6, shift=0.2, scale=1.0)
    second = talkers(rng, 6, shift=0.5, scale=1.2)[0]
    picks = [Pick(0, "000"), Pick(1, "001"), Pick(1, "004")]
    for of_truth in (["000", "001"], ["003", "004", "005"]):
        fast, slow = (
            pooled_values(module, [first, second], truth, cluster_of=cluster_of)(picks, of_truth)["kgd"]
            for module in (kgd, without_pools())
        )
        assert fast == pytest.approx(slow, rel=1e-9)
    whole = set_comparison(kgd, first, second, truth, cluster_of=cluster_of, name="kgd")
    again = set_comparison(without_pools(), first, second, truth, cluster_of=cluster_of, name="kgd")
    assert whole[1] == again[1]
    assert whole[0] is not None
    assert again[0] is not None
    assert (whole[0].value, whole[0].se) == pytest.approx((again[0].value, again[0].se), rel=1e-9)
    assert whole[0].value == pytest.approx(
        kgd.compute(first, truth)["kgd"] - kgd.compute(second, truth)["kgd"], rel=1e-9
    )


# Comparisons


def test_swapping_all_ways_is_scipys_exact_permutation_test() -> None:
    rng = np.random.default_rng(13)
    for count in (5, 9, 12):
        first, cluster_of = alone(rng.normal(0.4, 1, count))
        second, _ = alone(rng.normal(0, 1, count))
        exact = stats.permutation_test(
            (list(first.values()), list(second.values())),
            lambda a, b, axis: np.mean(a - b, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert sign_flip_test(first, second, cluster_of=cluster_of) == pytest.approx(exact.pvalue, rel=1e-12)


def test_random_swaps_come_near_to_the_exact_test_and_never_to_zero() -> None:
    rng = np.random.default_rng(14)
    first, cluster_of = alone(rng.normal(0.5, 1, 14))
    second = dict.fromkeys(first, 0.0)
    signs = np.array(list(itertools.product((1, -1), repeat=14)))
    sums = np.abs(signs @ np.array(list(first.values())))
    exact = np.mean(sums >= abs(sum(first.values())) - 1e-9)
    assert sign_flip_test(first, second, cluster_of=cluster_of) == pytest.approx(exact, abs=3 * (exact / 9999) ** 0.5)
    far, cluster_of = alone([100.0 + i for i in range(30)])
    assert sign_flip_test(far, dict.fromkeys(far, 0.0), cluster_of=cluster_of) == 1e-4


def test_clips_of_a_speaker_are_swapped_together() -> None:
    first = {f"c{i}": 1.0 for i in range(40)}
    second = dict.fromkeys(first, 0.0)
    one_speaker_each = {name: name for name in first}
    three_speakers = {name: str(i % 3) for i, name in enumerate(first)}
    assert sign_flip_test(first, second, cluster_of=one_speaker_each) < 0.001
    assert sign_flip_test(first, second, cluster_of=three_speakers) == 2 / 8


def test_the_test_is_not_significant_too_often() -> None:
    rng = np.random.default_rng(15)
    found = []
    for _ in range(500):
        values, cluster_of = clustered(rng, 10, effect=rng.normal)
        found.append(sign_flip_test(values, dict.fromkeys(values, 0.0), cluster_of=cluster_of))
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.075


@pytest.mark.parametrize("count", [7, 15])
def test_swaps_of_sets_are_sign_flips_if_the_value_is_a_mean(count: int) -> None:
    rng = np.random.default_rng(16)
    first, cluster_of = alone(rng.normal(0.5, 1, count))
    second, _ = alone(rng.normal(0, 1, count))
    apart = np.array([first[name] - second[name] for name in sorted(first)])
    by_sets = swap_test(lambda swapped: np.where(swapped, -apart, apart).mean(axis=1), count, draws=999)
    by_means = sign_flip_test(first, second, cluster_of=cluster_of, draws=999)
    assert by_sets == pytest.approx(by_means, rel=1e-12)


def test_systems_whose_distance_differs_are_told_apart_and_a_system_not_from_itself() -> None:
    rng = np.random.default_rng(17)
    near, truth, cluster_of = talkers(rng, 14, shift=0.1, scale=1.0)
    far = {key: {"all": row["all"] + 0.5} for key, row in near.items()}
    difference, p = set_comparison(kgd, near, far, truth, cluster_of=cluster_of, name="kgd")
    assert difference is not None
    assert difference.high < 0
    assert p is not None
    assert p < 0.05
    same, p = set_comparison(kgd, near, near, truth, cluster_of=cluster_of, name="kgd")
    assert same is not None
    assert (same.value, p) == (0.0, 1.0)


def test_a_difference_that_cannot_be_computed_has_no_p_value() -> None:
    assert swap_test(lambda swapped: np.full(len(swapped), np.nan), 5) is None
    assert swap_test(lambda swapped: np.where(swapped.all(axis=1), np.nan, 1.0), 5) is None


def test_holms_adjustment_by_hand() -> None:
    # Sorted: .005 x 4, .01 x 3, .03 x 2, .04 x 1; the last is raised to the one before it.
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({("a", "b"): 0.6, ("a", "c"): 0.7}) == {("a", "b"): 1.0, ("a", "c"): 1.0}
    assert holm({}) == {}


def test_ranks_are_ranges_and_not_different_from_both_is_tied_with_the_best() -> None:
    # A beats C and D, B beats D: B is as good as A may be, and C as B may be.
    found = ranks(["A", "B", "C", "D"], beats=[("A", "C"), ("A", "D"), ("B", "D")])
    assert found == {"A": Rank(1, 2), "B": Rank(1, 3), "C": Rank(2, 4), "D": Rank(3, 4)}
    assert ranks(["A", "B"], beats=[]) == {"A": Rank(1, 2), "B": Rank(1, 2)}


def test_the_smallest_difference_is_that_of_the_tables() -> None:
    # Cohen: a paired difference of half a standard deviation is found with a power of 0.8 from 34 pairs on.
    def of(count: int) -> float:
        return smallest_difference(1 / count**0.5, clusters=count) or 0.0

    assert of(34) <= 0.5 < of(33)
    assert smallest_difference(1.0, clusters=1) is None


def test_the_smallest_difference_is_found_in_80_of_100_test_sets() -> None:
    rng = np.random.default_rng(18)
    true = smallest_difference(1 / 20**0.5, clusters=20)
    samples = rng.normal(true, 1, (4000, 20))
    found = np.mean(stats.ttest_1samp(samples, 0.0, axis=1).pvalue <= 0.05)
    assert found == pytest.approx(0.8, abs=0.02)


def test_the_spread_over_seeds() -> None:
    assert seed_spread([1.0, None, 2.0, 3.0]) == pytest.approx(1.0)
    assert seed_spread([1.0, None]) is None
