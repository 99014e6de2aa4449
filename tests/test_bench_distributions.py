"""Distances between distributions of motions: against independent implementations, and however the rows are divided."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pytest
import scipy.linalg
from sklearn.neighbors import NearestNeighbors

from csg405.benchmark.clip import Clip, Seen, Sound
from csg405.benchmark.metric import Accumulator, Key, Row, compute, measures
from csg405.benchmark.metrics import diversity, fgd, kgd, prdc
from csg405.benchmark.metrics._distances import Gaussian, Moments, Side, cluster_sums, frechet, mmd_from_sums
from csg405.benchmark.metrics._features import PARTS, Pick, Piece

METRICS = (kgd, fgd, prdc, diversity)


def pieces(count: int, windows: int, *, width: int, clusters: int = 1, name: str = "c", seed: int = 0) -> list[Piece]:
    rng = np.random.default_rng(seed)
    return [
        Piece(f"{name}{i:03d}", i % clusters, rng.normal(0.1 * seed, 1, width) + rng.normal(0, 1, (windows, width)))
        for i in range(count)
    ]


def rows(
    clips: int, windows: int, *, seeds: int = 1, shift: float = 0.0, start: int = 0, width: int = 32
) -> dict[Key, Row]:
    """Clips that differ more from each other than windows do."""
    found = {}
    for clip, seed in itertools.product(range(clips), range(seeds)):
        rng = np.random.default_rng([start, clip, seed])
        own = rng.normal(shift, 1, width)
        found[Key(f"{clip:03d}", seed)] = {
            part: (own + rng.normal(0, 0.5, (windows, width))).astype(np.float32) for part in PARTS
        }
    return found


def mean_kernel(first: Iterable[Piece], second: Iterable[Piece]) -> float:
    """Over pairs of windows of different clips, one at a time."""
    found = [
        (float(np.dot(a, b)) / len(a) + 1) ** 3
        for one, other in itertools.product(first, second)
        if one.clip_id != other.clip_id
        for a in one.features
        for b in other.features
    ]
    return float(np.mean(found))


def mmd(x: list[Piece], y: list[Piece], *, clusters: int = 1) -> float | None:
    whole = np.arange(clusters)
    return mmd_from_sums(cluster_sums(Side(x, clusters), Side(y, clusters)), x=whole, y=whole)


def apart(found: list[Piece], *, name: str) -> list[Piece]:
    """Every window a clip of its own."""
    return [Piece(f"{name}{p.clip_id}{i}", 0, w[None]) for p in found for i, w in enumerate(p.features)]


@pytest.mark.parametrize("width", [1, 2, 7, 32, 70])
def test_the_discrepancy_is_that_of_a_loop_over_pairs_of_different_clips(width: int) -> None:
    x, y = pieces(5, 4, width=width, seed=1), pieces(6, 3, width=width, seed=2)
    wanted = mean_kernel(x, x) - 2 * mean_kernel(x, y) + mean_kernel(y, y)
    assert mmd(x, y) == pytest.approx(wanted, rel=1e-9)


def test_with_windows_as_clips_it_is_the_kernel_distance_of_torchmetrics() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    kid = pytest.importorskip("torchmetrics.image.kid", reason="torchmetrics is not installed")
    x, y = pieces(9, 5, width=32, seed=1), pieces(9, 5, width=32, seed=2)
    first, second = (torch.from_numpy(np.concatenate([p.features for p in side])) for side in (x, y))
    wanted = float(kid.poly_mmd(first, second, degree=3, gamma=None, coef=1.0))
    assert mmd(apart(x, name="x"), apart(y, name="y")) == pytest.approx(wanted, rel=1e-9)


def test_sums_by_clusters_give_any_union_of_them() -> None:
    x, y = pieces(12, 3, width=4, clusters=5, seed=1), pieces(12, 4, width=4, clusters=5, seed=2)
    sums = cluster_sums(Side(x, 5), Side(y, 5))
    for of_x, of_y in (([0, 3], [0, 3]), ([1, 2, 4], [0, 1]), ([4], [0, 1, 2, 3, 4])):
        some_x, some_y = [p for p in x if p.cluster in of_x], [p for p in y if p.cluster in of_y]
        wanted = mean_kernel(some_x, some_x) - 2 * mean_kernel(some_x, some_y) + mean_kernel(some_y, some_y)
        found = mmd_from_sums(sums, x=np.array(of_x), y=np.array(of_y))
        assert found == pytest.approx(wanted, rel=1e-9)


def test_the_truth_is_no_distance_from_itself_and_clips_of_one_kind_none_on_average() -> None:
    x = pieces(30, 9, width=8, seed=1)
    assert mmd(x, x) == pytest.approx(0, abs=1e-12)
    pairs = [(pieces(20, 9, width=8, name="a", seed=0), s) for s in range(40)]
    rng = np.random.default_rng(7)
    found, naive = [], []
    for _ in pairs:
        x, y = (
            [Piece(f"{n}{i}", 0, rng.normal(0, 1, 8) + rng.normal(0, 0.3, (9, 8))) for i in range(20)] for n in "xy"
        )
        found.append(mmd(x, y))
        naive.append(mmd(apart(x, name="x"), apart(y, name="y")))
    error = np.std(found, ddof=1) / len(found) ** 0.5
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(naive) > 5 * error, "windows of one clip taken for independent"


def test_the_distance_of_kernels_needs_two_clips() -> None:
    assert mmd(pieces(1, 9, width=3), pieces(4, 9, width=3)) is None
    assert mmd([], pieces(4, 9, width=3)) is None


def gaussian(samples: np.ndarray) -> Gaussian:
    return Gaussian(samples.mean(axis=0), np.cov(samples.T))


@pytest.mark.parametrize("count", [40, 1000])
def test_the_frechet_distance_is_that_with_scipys_root(count: int) -> None:
    rng = np.random.default_rng(3)
    x, y = gaussian(rng.normal(0, 1, (count, 32))), gaussian(rng.normal(0.2, 1.5, (count, 32)))
    root = scipy.linalg.sqrtm(x.covariance @ y.covariance).real
    wanted = np.sum((x.mean - y.mean) ** 2) + np.trace(x.covariance + y.covariance - 2 * root)
    assert frechet(x, y) == pytest.approx(wanted, rel=1e-6)


def test_the_frechet_distance_of_known_gaussians() -> None:
    x = Gaussian(np.array([1.0, 0.0, 2.0]), np.diag([4.0, 9.0, 0.0]))
    y = Gaussian(np.array([0.0, 2.0, 2.0]), np.diag([1.0, 9.0, 25.0]))
    # (1 + 4) of the means, (2 - 1)^2 + 0 + (0 - 5)^2 of the standard deviations.
    assert frechet(x, y) == pytest.approx(31.0, rel=1e-12)
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-12)


def test_the_frechet_distance_of_singular_covariances_is_finite_and_not_negative() -> None:
    samples = np.random.default_rng(1).normal(0, 1, (10, 32))
    x = gaussian(samples)
    assert frechet(x, x) == pytest.approx(0.0, abs=1e-9)
    assert frechet(x, Gaussian(x.mean + 1, x.covariance)) == pytest.approx(32.0, rel=1e-9)


def test_gaussians_from_sums_are_those_of_numpy() -> None:
    found = pieces(6, 20, width=5, seed=2)
    moments = Moments.of([p.features for p in found], centre=np.full(5, 0.3))
    some = np.concatenate([found[i].features for i in (1, 4)])
    made = moments.gaussian(np.array([1, 4]))
    assert made is not None
    np.testing.assert_allclose(made.mean + 0.3, some.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(made.covariance, np.cov(some.T), rtol=1e-9, atol=1e-12)


def test_the_extrapolated_distance_is_nearer_to_the_true_one() -> None:
    far, near = [], []
    for start in range(6):
        found = fgd.compute(rows(150, 4, start=start), rows(150, 4, start=start + 100))
        far.append(found["fgd"])
        near.append(found["fgd_inf"])
    assert np.mean(far) > 3  # of 0: the samples are of one distribution
    assert abs(np.mean(near)) < 0.2 * np.mean(far)


@pytest.mark.parametrize(
    ("clips", "windows", "plain", "extrapolated"),
    [(16, 4, True, False), (13, 5, True, True), (11, 9, True, False), (8, 4, False, False), (33, 1, True, False)],
)
def test_frechet_distances_are_not_computed_from_too_little(
    clips: int, windows: int, plain: bool, extrapolated: bool
) -> None:
    found = fgd.compute(rows(clips, windows), rows(clips, windows, start=1))
    assert (found["fgd"] is not None, found["fgd_inf"] is not None) == (plain, extrapolated)


def sample(features: np.ndarray, *, name: str | None = None) -> prdc.Sample:
    """Of windows of one clip each, or all of one clip."""
    return prdc.Sample(features, [name or str(i) for i in range(len(features))])


def named(found: prdc.Sample, name: str) -> prdc.Sample:
    return prdc.Sample(found.features, [name + clip_id for clip_id in found.clip_ids])


@pytest.mark.parametrize(("count", "shift"), [(60, 0.0), (200, 0.5), (150, 1.0)])
def test_precision_recall_density_coverage_with_scikit_learns_neighbours(count: int, shift: float) -> None:
    rng = np.random.default_rng(count)
    x, y = rng.normal(shift, 1, (count, 4)), rng.normal(0, 1, (count + 30, 4))
    reach_x, reach_y = (NearestNeighbors(n_neighbors=6).fit(side).kneighbors(side)[0][:, 5] for side in (x, y))
    distance = np.array([[np.linalg.norm(a - b) for b in y] for a in x])
    wanted = {
        "prdc_precision": np.mean((distance <= reach_y).any(axis=1)),
        "prdc_recall": np.mean((distance <= reach_x[:, None]).any(axis=0)),
        "prdc_density": np.sum(distance <= reach_y) / (5 * count),
        "prdc_coverage": np.mean(distance.min(axis=0) <= reach_y),
    }
    assert prdc.prdc(named(sample(x), "x"), named(sample(y), "y")) == pytest.approx(wanted, rel=1e-9)


def test_precision_recall_density_coverage_by_hand() -> None:
    # Balls of the first neighbour: of the truth 1, 1, 2, 4; of the system 0.5, 0.5, 90.
    x, y = np.array([[0.5], [1.0], [91.0]]), np.array([[0.0], [1.0], [3.0], [7.0]])
    found = prdc.prdc(named(sample(x), "x"), named(sample(y), "y"), k=1)
    # 0.5 lies in the balls of 0 and 1; 1 in those of 0, 1 and 3; 91 in none. The ball of 91 holds 1, 3 and 7.
    assert found == pytest.approx(
        {"prdc_precision": 2 / 3, "prdc_recall": 1.0, "prdc_density": 5 / 3, "prdc_coverage": 3 / 4}
    )


def test_windows_of_one_clip_are_no_neighbours() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(0, 1, (40, 3)), rng.normal(0, 1, (40, 3))
    clips = [str(i // 4) for i in range(40)]
    found = prdc.prdc(prdc.Sample(x, clips), prdc.Sample(y, clips), k=3)

    def reach(side: np.ndarray) -> list[float]:
        return [
            sorted(np.linalg.norm(side[i] - side[j]) for j in range(40) if clips[i] != clips[j])[2] for i in range(40)
        ]

    reach_x, reach_y = reach(x), reach(y)
    pairs = {(i, j): np.linalg.norm(x[i] - y[j]) for i in range(40) for j in range(40) if clips[i] != clips[j]}
    inside = {pair for pair, distance in pairs.items() if distance <= reach_y[pair[1]]}
    wanted = {
        "prdc_precision": len({i for i, _ in inside}) / 40,
        "prdc_recall": len({j for (i, j), distance in pairs.items() if distance <= reach_x[i]}) / 40,
        "prdc_density": len(inside) / 120,
        "prdc_coverage": len({j for _, j in inside}) / 40,
    }
    assert found == pytest.approx(wanted, rel=1e-12)
    itself = prdc.prdc(prdc.Sample(y, clips), prdc.Sample(y, clips), k=3)
    assert (itself["prdc_density"], itself["prdc_coverage"]) == (1.0, 1.0)


def test_neighbours_need_enough_windows_of_other_clips() -> None:
    few = sample(np.random.default_rng(0).normal(0, 1, (20, 3)), name="one")
    many = named(sample(np.random.default_rng(1).normal(0, 1, (20, 3))), "y")
    assert set(prdc.prdc(few, many).values()) == {None}
    assert set(prdc.prdc(many, few).values()) == {None}


def test_large_samples_are_thinned_alike_whatever_the_order_of_rows() -> None:
    many, true = rows(300, 9, shift=0.2), rows(300, 9, start=1)
    shuffled = dict(sorted(many.items(), key=lambda item: item[0].clip_id[::-1]))
    found = prdc.compute(many, true)
    assert prdc.compute(shuffled, true) == found
    smaller = prdc.compute(rows(220, 9, shift=0.2), rows(220, 9, start=1))
    assert found["prdc_coverage"] == pytest.approx(smaller["prdc_coverage"], abs=0.05)


def on_line(places: Mapping[tuple[str, int], list[float]]) -> dict[Key, Row]:
    return {Key(*key): {"all": np.array(at, np.float32)[:, None]} for key, at in sorted(places.items())}


def test_diversity_is_the_mean_distance_between_clips_over_the_truths() -> None:
    true = on_line({("a", 0): [0, 2], ("b", 0): [4], ("c", 0): [6]})
    # Pairs of different clips: 4, 2 | 6, 4 | 2.
    made = on_line({("a", 0): [0, 1], ("b", 0): [2], ("c", 0): [3], ("a", 1): [0, 0], ("b", 1): [0], ("c", 1): [9]})
    # Seed 0: 2, 1 | 3, 2 | 1; seed 1: 0, 0 | 9, 9 | 9.
    found = diversity.compute(made, true)
    assert found["diversity"] == pytest.approx((9 / 5 + 27 / 5) / 2 / (18 / 5), rel=1e-12)
    assert found["multimodality"] is None


def test_multimodality_is_the_mean_distance_of_seeds_over_the_truths_diversity() -> None:
    true = on_line({("a", 0): [0], ("b", 0): [4]})
    made = on_line({("a", s): [s, 2 * s] for s in range(3)} | {("b", s): [5] for s in range(3)} | {("c", 0): [7]})
    # Clip a: windows 1, 2, 1 and 2, 4, 2 over pairs of seeds, mean 2; clip b: 0; clip c has too few seeds.
    assert diversity.compute(made, true)["multimodality"] == pytest.approx(1.0 / 4, rel=1e-12)


class Kit:
    """Autoencoders of a kind: fixed projections of windows."""

    def features(self, seen: Seen) -> dict[str, np.ndarray]:
        points = seen.points.reshape(len(seen), -1)
        starts = range(0, len(seen) - 9, 5)
        found = {}
        for i, part in enumerate(PARTS):
            project = np.random.default_rng(i).normal(0, 1, (10 * points.shape[1], 32))
            windows = np.stack([points[s : s + 10].ravel() for s in starts]) if starts else np.zeros((0, len(project)))
            found[part] = np.asarray(windows @ project / len(project) ** 0.5, np.float32)
        return found


def clip(name: str, n_frames: int, *, seed: int) -> Clip:
    rng = np.random.default_rng(seed)
    keypoints = rng.normal(250, 40, (133, 2)) + rng.normal(0, 5, (n_frames, 133, 2))
    keypoints[:, 5], keypoints[:, 6] = [300, 200], [200, 200]
    return Clip(
        clip_id=name,
        video_id=f"file.{name}",
        speaker=name,
        split="test",
        keypoints_px=keypoints.astype(np.float32),
        score=np.ones((n_frames, 133), np.float32),
        sound=Sound(np.zeros(640 * n_frames, np.int16)),
        size_px=512,
    )


def given(at: Clip, *, seed: int, kit: Kit | None) -> Seen:
    noise = np.random.default_rng([seed, len(at)]).normal(0, 6, at.keypoints_px.shape)
    return Seen(at, (at.keypoints_px + noise).astype(np.float32), kit)


@pytest.mark.parametrize("module", METRICS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_any_division_of_the_rows_gives_the_same(module) -> None:
    kit = Kit()
    clips = [clip(f"v{i:02d}", 30 + 3 * i, seed=i) for i in range(13)] + [clip("short", 5, seed=99)]
    truth = Accumulator(module)
    for at in clips:
        truth.update(Seen(at, at.keypoints_px, kit))
    at_once = Accumulator(module)
    parts = [Accumulator(module) for _ in range(3)]
    for number, (at, seed) in enumerate(itertools.product(clips, range(3))):
        at_once.update(given(at, seed=seed, kit=kit), seed=seed)
        parts[number * 7 % 3].update(given(at, seed=seed, kit=kit), seed=seed)
    wanted = at_once.compute(truth)
    assert set(wanted) == {card.name for card in module.CARDS}
    assert None not in wanted.values()
    for order in (parts, parts[::-1]):
        merged = Accumulator(module)
        for part in order:
            merged.merge(part)
        assert merged.compute(truth) == wanted


@pytest.mark.parametrize("module", METRICS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_without_a_kit_nothing_is_computed(module) -> None:
    truth, found = Accumulator(module), Accumulator(module)
    for i in range(3):
        at = clip(f"v{i}", 60, seed=i)
        truth.update(Seen(at, at.keypoints_px))
        found.update(given(at, seed=0, kit=None))
    assert found.compute(truth) == {card.name: None for card in module.CARDS}


def test_the_features_are_taken_once_for_all_of_them() -> None:
    assert list(measures(METRICS)) == ["features"]


@pytest.mark.parametrize("module", [kgd, fgd, prdc], ids=["kgd", "fgd", "prdc"])
def test_with_several_seeds_it_is_the_mean_of_their_values(module) -> None:
    made, true = rows(20, 4, seeds=3, shift=0.3), rows(20, 4, start=1)
    apart = [
        compute(module, {Key(key.clip_id, 0): row for key, row in made.items() if key.seed == seed}, true)
        for seed in range(3)
    ]
    wanted = {name: np.mean([values[name] for values in apart]) for name in apart[0]}
    assert compute(module, made, true) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("module", "name"), [(kgd, "kgd"), (kgd, "kgd_face"), (fgd, "fgd")])
def test_pools_of_clusters_have_the_values_of_their_rows(module, name: str) -> None:
    first, second, true = rows(18, 9, seeds=2, shift=0.2), rows(18, 9, seeds=2, start=5), rows(18, 9, start=1)
    cluster_of = {f"{i:03d}": f"speaker {i % 4}" for i in range(18)}
    pooled = module.pooled([first, second], true, cluster_of=cluster_of)
    picks = [Pick(0, "speaker 1"), Pick(1, "speaker 0"), Pick(1, "speaker 3")]
    names = ["speaker 0", "speaker 1", "speaker 3"]
    mixed = {
        key: row
        for number, system in enumerate((first, second))
        for key, row in system.items()
        if Pick(number, cluster_of[key.clip_id]) in picks
    }
    some = {key: row for key, row in true.items() if cluster_of[key.clip_id] in names}
    assert pooled(picks, names)[name] == pytest.approx(compute(module, mixed, some)[name], rel=1e-9)
