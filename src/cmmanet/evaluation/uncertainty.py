"""How sure a re-identification number is, and whether the gain of one arm over another is real.

An arm is trained in T trials. Its number would be another with other trainings, and with other
people to find. Two kinds of protocol let these be told apart in different ways:

- One fixed split (MARS): every trial of every arm answers the same queries, and a trial is a
  training. Arms, trials and people are crossed, as modalities, readers and cases are where
  radiologists are compared, and `gain_on_one_split` is what is used there: Obuchowski and Rockette
  (Communications in Statistics – Simulation and Computation 24, 1995) with the degrees of freedom
  of Hillis (Statistics in Medicine 26, 2007).
- Several random splits of the same people (iLIDS-VID, PRID-2011): the splits overlap, so that
  their spread is no standard error, and `gain_over_splits` makes up for it: Nadeau and Bengio
  (Machine Learning 52, 2003).

People are what is drawn at random, never their queries: those of one person are hard or easy
together. The gallery stays as it is throughout: no interval here says how a number would change
with other or more wrong answers. Every interval is a 95 % one, for one comparison: of twenty
arms that gain nothing, one is expected to be resolved all the same.

Values are of one query each (rank-k hits, average precisions, measures of attention); gains,
half-widths and draws are in their unit, variances in its square. Queries without a right answer
have no value and are left out before.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95

# A variance with one or two degrees of freedom is near zero too often: trainings can agree by
# chance to the last query.
FEWEST_DEGREES = 3

CHUNK_CELLS = 2**20  # of the matrix of draws by people: 8 MiB

Floats = npt.NDArray[np.float64]


class Variance(NamedTuple):
    """An estimate of a variance.

    Attributes:
        value: NaN where `degrees` is 0.
        degrees: degrees of freedom; 0 where there is nothing to estimate it from.
    """

    value: float
    degrees: float


class Gain(NamedTuple):
    """What one arm has gained over another, on average over the trials.

    Attributes:
        gain: positive where the second arm is better.
        half_width: half of the gain's 95 % interval, greater than 0; None without a verdict.
        degrees: of freedom, of the Student's t behind it; None without a verdict.
        resolved: whether the interval leaves out 0; None without a verdict, which is where there
            are too few trainings or people to judge by, or the trainings show no spread at all.
    """

    gain: float
    half_width: float | None
    degrees: float | None
    resolved: bool | None


def identity_bootstrap(
    values: npt.ArrayLike, pid: npt.ArrayLike, *, draws: int, seed: int
) -> Floats:
    """Redraw the people behind the queries, and give each arm's mean over queries [draws, A].

    A draw takes as many people as there are, with replacement, each with all their queries (the
    bootstrap of clusters: Field and Welsh, J. R. Statist. Soc. B 69, 2007). The arms share each
    draw, so that their differences are paired. Trainings are not redrawn: for an arm whose values
    are means over its trials, the draws say what other people would change, and no more.

    Args:
        values: [A, Q].
        pid: integers [Q], of whom each query is.
        draws: how many; the first n of them do not depend on it.
        seed: the same seed and people give the same draws, whatever the values.

    Raises:
        ValueError: shapes that do not go together, no values, values that are NaN or infinite,
            ids that are not integers, `draws` below 1.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    values = _finite("values", values, "A", "Q")
    sums, queries = _by_identity(values, pid)
    people = len(queries)
    rng = np.random.default_rng(seed)
    chance = np.full(people, 1 / people)
    rows = max(1, CHUNK_CELLS // people)
    means = np.empty((draws, len(values)))
    for start in range(0, draws, rows):
        chunk = means[start : start + rows]
        times = rng.multinomial(people, chance, size=len(chunk)).astype(np.float64)
        chunk[:] = times @ sums.T / (times @ queries)[:, None]
    return means


def percentile_interval(draws: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Give the bounds [A] between which the middle 95 % of bootstrap draws [B, A] lie.

    Raises:
        ValueError: not [B, A], no draws, draws that are NaN or infinite.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_finite("draws", draws, "B", "A"), [tail, 1 - tail], axis=0)
    return low, high


def training_variance(means: npt.ArrayLike) -> Variance:
    """Estimate the variance of one trial's number about what its arm would give on average.

    What all arms share in a trial, an easy split or a lucky seed, is taken out: the estimate is
    the mean square of the residuals of arms × trials, with (A - 1)(T - 1) degrees of freedom.
    It is pooled, as if every arm's trainings spread alike: with few trials a variance for each arm
    would be worth little. Arms that spread more than the others have too short intervals.

    Args:
        means: [A, T], of all arms that were run in the same trials.

    Raises:
        ValueError: not [A, T], no means, means that are NaN or infinite.
    """
    means = _finite("means", means, "A", "T")
    degrees = (means.shape[0] - 1) * (means.shape[1] - 1)
    if not degrees:
        return Variance(np.nan, 0)
    residuals = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
    return _mean_square(residuals, means, degrees)


def own_variance(means: npt.ArrayLike) -> Variance:
    """Estimate the variance of one trial's number about what its arm would give on average.

    As `training_variance`, but what all arms share in a trial stays in, as it does not cancel
    where an arm's number is judged by itself: the mean square about the arms' means, pooled, with
    A(T - 1) degrees of freedom.

    Args:
        means: [A, T], of all arms that were run in the same trials.

    Raises:
        ValueError: not [A, T], no means, means that are NaN or infinite.
    """
    means = _finite("means", means, "A", "T")
    degrees = means.shape[0] * (means.shape[1] - 1)
    if not degrees:
        return Variance(np.nan, 0)
    return _mean_square(means - means.mean(1, keepdims=True), means, degrees)


def added(*parts: Variance) -> Variance:
    """Give the variance of a sum of independent parts, with Satterthwaite's degrees of freedom.

    With a part of too few degrees, which may be near zero by chance and would then weigh too
    little, there is nothing for the sum. Parts without any spread have the degrees of them all.
    """
    if min(part.degrees for part in parts) < FEWEST_DEGREES:
        return Variance(np.nan, 0)
    value = sum(part.value for part in parts)
    if not value:
        return Variance(0.0, sum(part.degrees for part in parts))
    return Variance(value, value**2 / sum(part.value**2 / part.degrees for part in parts))


def identity_variance(gains: npt.ArrayLike, pid: npt.ArrayLike) -> Variance:
    """Estimate the variance that the choice of people gives the mean gain, at any number of trials.

    That is the covariance of two trials' mean gains under a new choice of people, averaged over
    the pairs of trials. What a person gains in one training but not in another cancels in it, as
    that is in `training_variance` already. (The variance of the mean over trials, which is what a
    bootstrap of it gives, has that as well and would count it twice.) The covariance is the
    linearised one of ratios of sums over people, times P / (P - 1): for many people what the
    bootstrap converges to, without its noise.

    Args:
        gains: [T, Q], of one arm over another in the same trial.
        pid: integers [Q], of whom each query is.

    Returns:
        With P - 1 degrees of freedom for P people, 0 if there is one trial. An estimate below 0,
        which chance gives where the arms differ by no person's taste, is 0.

    Raises:
        ValueError: as `identity_bootstrap`, for what applies.
    """
    influence = _influence(gains, pid)
    trials, people = influence.shape
    if trials == 1 or people == 1:
        return Variance(np.nan, 0)
    covariances = np.square(influence.sum(0)).sum() - np.square(influence).sum()
    value = covariances / (trials * (trials - 1)) * people / (people - 1)
    return Variance(max(0.0, float(value)), people - 1)


def fixed_variance(gains: npt.ArrayLike, pid: npt.ArrayLike) -> Variance:
    """Estimate the variance of the gain, averaged over trials, under a new choice of people alone.

    The trainings are taken as they are: what a bootstrap over identities of that mean gives.

    Args:
        gains: [T, Q], of one arm over another in the same trial.
        pid: integers [Q], of whom each query is.

    Returns:
        With P - 1 degrees of freedom for P people.

    Raises:
        ValueError: as `identity_bootstrap`, for what applies.
    """
    influence = _influence(gains, pid)
    people = influence.shape[1]
    if people == 1:
        return Variance(np.nan, 0)
    return Variance(float(np.square(influence.mean(0)).sum()) * people / (people - 1), people - 1)


def gain_on_one_split(gains: npt.ArrayLike, pid: npt.ArrayLike, training: Variance) -> Gain:
    """Judge a gain where all trials answer the same queries: over other trainings and people.

    The variance is `identity_variance` + 2·s²/T, s² being `training`; its degrees of freedom are
    Satterthwaite's. (Hillis leaves out the first term's own uncertainty, which for hundreds of
    people is next to none.) Few trials often make both terms come out too low together; other
    trainings and people can move the gain no less than other people alone do, so that the
    half-width is at least that of `fixed_variance`.

    Args:
        gains: [T, Q], of one arm over another in the same trial.
        pid: integers [Q], of whom each query is.
        training: of `training_variance`, over these trials.

    Raises:
        ValueError: as `identity_bootstrap`, for what applies.
    """
    gains = _finite("gains", gains, "T", "Q")
    gain = float(gains.mean())
    redrawn = Variance(2 * training.value / len(gains), training.degrees)
    both = _judge(gain, identity_variance(gains, pid), redrawn)
    if both.half_width is None:
        return both
    alone = fixed_variance(gains, pid)
    half_width = _half_width(alone)
    if half_width <= both.half_width:
        return both
    return Gain(gain, half_width, float(alone.degrees), abs(gain) > half_width)


def gain_in_these_trainings(gains: npt.ArrayLike, pid: npt.ArrayLike) -> Gain:
    """Judge a gain over other people alone: what holds of these trainings, and of no others.

    For where there are too few trainings for `gain_on_one_split`. The variance is
    `fixed_variance`; there is no verdict where that is 0.

    Args:
        gains: [T, Q], of one arm over another in the same trial.
        pid: integers [Q], of whom each query is.

    Raises:
        ValueError: as `identity_bootstrap`, for what applies.
    """
    return _judge(float(_finite("gains", gains, "T", "Q").mean()), fixed_variance(gains, pid))


def gain_over_splits(gains: npt.ArrayLike, training: Variance, *, test_to_train: float) -> Gain:
    """Judge a gain where every trial has its own random split of the same people.

    The corrected resampled t of Nadeau and Bengio: the variance is 2·s²·(1/T + n_test/n_train),
    s² being `training`. That holds as far as two splits' gains correlate by
    n_test / (n_test + n_train); what is new in every training does not correlate, so that the
    interval errs towards the long side.

    Args:
        gains: [T], of one arm's mean over another's in the same trial.
        training: of `training_variance`, over these trials.
        test_to_train: people to test on for each to train on.

    Raises:
        ValueError: not [T], no gains, gains that are NaN or infinite, a ratio that is not
            positive.
    """
    gains = _finite("gains", gains, "T")
    if not 0 < test_to_train < np.inf:
        raise ValueError(f"test_to_train must be positive, not {test_to_train}")
    factor = 2 * (1 / len(gains) + test_to_train)
    return _judge(float(gains.mean()), Variance(factor * training.value, training.degrees))


def _judge(gain: float, *parts: Variance) -> Gain:
    """Judge by the parts that add up to the gain's variance; the last has to show some spread."""
    # Metrics come in steps (of 1/Q, for hits). Trainings without any spread have one that is too
    # small to see, or are copies of each other; nobody has measured that it is nothing.
    whole = added(*parts)
    if not whole.degrees or not parts[-1].value > 0:
        return Gain(gain, None, None, None)
    half_width = _half_width(whole)
    return Gain(gain, half_width, whole.degrees, abs(gain) > half_width)


def _mean_square(residuals: Floats, means: Floats, degrees: int) -> Variance:
    # What is left of equal numbers is rounding: no spread, and to be known as none.
    residuals[np.abs(residuals) <= 64 * np.finfo(np.float64).eps * np.abs(means).max()] = 0
    return Variance(float(np.square(residuals).sum()) / degrees, degrees)


def _half_width(variance: Variance) -> float:
    return float(stdtrit(variance.degrees, (1 + CONFIDENCE) / 2) * np.sqrt(variance.value))


def _influence(gains: npt.ArrayLike, pid: npt.ArrayLike) -> Floats:
    """Give what each person adds to each trial's mean gain [T, P], linearised; rows sum to 0."""
    gains = _finite("gains", gains, "T", "Q")
    sums, queries = _by_identity(gains, pid)
    centred = sums - gains.mean(1, keepdims=True) * queries
    return np.asarray(centred / queries.sum())


def _finite(name: str, array: npt.ArrayLike, *axes: str) -> Floats:
    array = np.asarray(array, np.float64)
    if array.ndim != len(axes) or not array.size:
        raise ValueError(
            f"{name} must be [{', '.join(axes)}] and not empty, not {list(array.shape)}"
        )
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise ValueError(f"{bad} of {array.size} {name} are NaN or infinite")
    return array


def _by_identity(values: Floats, pid: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Give each person's sums [rows, P] over their queries and number of queries [P]."""
    pid = np.asarray(pid)
    if pid.shape != values.shape[1:]:
        raise ValueError(f"pid must be [{values.shape[1]}], one a query, not {list(pid.shape)}")
    if pid.dtype.kind not in "iu":
        raise ValueError(f"pid must be integers, not {pid.dtype}")
    _, person, queries = np.unique(pid, return_inverse=True, return_counts=True)
    sums = np.array([np.bincount(person, row) for row in values])
    return sums, queries.astype(np.float64)
