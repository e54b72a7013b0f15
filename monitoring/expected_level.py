"""What the next level of a loss is expected to be, and how surprising it is that it came higher.

The level of a window is taken to be a steady level, plus what hour and weekday add, plus a disturbance that windows
share, plus the chance of its rows:

    y_t = m + x_t'b + u_t + e_t,    u_t = phi u_(t-1) + noise,    var(u) = (ratio s)^2,    var(e_t) = c / rows_t

The chance of the rows is known from the rows; phi and ratio are not, so every pair of a small grid runs a Kalman filter
of its own, with a variance factor that it learns, and each counts as much as it has foretold (Bayesian model averaging;
Harvey, "Forecasting, structural time series models and the Kalman filter", 1989, chapter 3). So little is paid for lags
and calendar terms that are not needed, and lasting disturbances are believed only where windows show them. m and b are
integrated out.

The score of a window is the normal value of its tail under the mixture of all forecasts, each a Student t. Scores are
about standard normal and independent while nothing changes, whatever phi and ratio are: they are recursive residuals
(Brown, Durbin, Evans 1975) of a model that need not be chosen.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from monitoring.evidence import CLIP

Array = npt.NDArray[np.float64]

# how long a disturbance lasts, and how large it is in standard deviations of a window's chance: the largest make a
# disturbance of 10 % of windows of 50,000 rows
PHIS = (0.5, 0.8, 0.95)
RATIOS = (0.35, 0.7, 1.4, 2.8, 5.6, 11.0, 22.0)
# every model also learns by how much its variance is off; the first guess counts for so many windows, and the last so
# many are remembered
SCALE_PRIOR, SCALE_MEMORY = 20.0, 200.0
# belief beforehand: rows explain all; windows differ, each for itself; windows differ and resemble the one before
NO_DISTURBANCE, ALONE, LASTING = 0.6, 0.2, 0.2
# a disturbance of more than this share of the loss is believed the less the larger it is: half at 3.2 times as much
USUAL, USUAL_FACTOR = 0.05, float(np.e)
CALENDAR = 0.5  # belief that hour and weekday matter, where the reference can tell
CALENDAR_SIZE = 0.2  # what an hour or a weekday adds, typically, as a share of the loss
UNKNOWN = 2.0  # standard deviation of a level of which nothing is known: a factor of seven
# a level further out than this teaches as if it were only that far out
MOST_LESSON = 2.5
# how much a window says of phi and ratio: all while few are known, half of it afterwards, for a rise that lasts looks
# like a disturbance that lasts and is learned as one (a rise of 10 % under phi = 0.5 took twice as long)
LEARNING, LEARNING_FROM = 0.5, 100


class ExpectedLevel:
    """The filters of one stream of windows, or of many streams in step.

    row_deviation: standard deviation of a typical window's level by the chance of its rows, an array of any shape
    with one entry a stream; a single stream has shape (). scale: of the levels, 1 where they are logs. terms: number
    of calendar terms. Levels are given less the reference level, so that they lie about 0.
    """

    def __init__(self, row_deviation: Array, scale: Array, terms: int = 0) -> None:
        phi, ratio, belief, calendar = _models(calendar=terms > 0)
        streams, size = row_deviation.shape, 2 + terms
        self.phi, self._calendar, self._seen = phi, calendar, 0
        self._scale = np.asarray(scale, dtype=np.float64)[..., None]
        self._disturbance = (ratio * row_deviation[..., None]) ** 2
        self._mean = np.zeros((*streams, len(phi), size))
        self._covariance = np.zeros((*streams, len(phi), size, size))
        for place in range(2, size):
            self._covariance[..., place, place] = calendar * (CALENDAR_SIZE * self._scale) ** 2
        share = np.sqrt(self._disturbance) / self._scale
        excess = np.log(np.maximum(share / USUAL, 1.0)) / np.log(USUAL_FACTOR)
        self._log_weight = np.log(belief) - 0.5 * excess**2
        self._factor = np.ones((*streams, len(phi)))
        self._freedom = np.full((*streams, 1), SCALE_PRIOR)
        self.forget_level()

    def forget_level(self, level: Array | float = 0.0, error: Array | float | None = None) -> None:
        """The next windows are of other rows, whose level is not known, or known with a standard error."""
        covariance = self._covariance
        covariance[..., :2, :] = 0.0
        covariance[..., :, :2] = 0.0
        covariance[..., 0, 0] = self._disturbance
        known = UNKNOWN * self._scale if error is None else np.asarray(error, dtype=np.float64)[..., None]
        covariance[..., 1, 1] = known**2
        self._mean[..., 0] = 0.0
        self._mean[..., 1] = np.asarray(level, dtype=np.float64)[..., None]

    @property
    def streams(self) -> tuple[int, ...]:
        """The shape of the streams, () for a single one."""
        return tuple(self._mean.shape[:-2])

    @property
    def weights(self) -> Array:
        """How much each model counts, shape (streams, models), sum 1."""
        weights = np.exp(self._log_weight - self._log_weight.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))

    @property
    def error(self) -> Array:
        """Standard error of the steady level, over all models, shape (streams)."""
        return np.asarray(np.sqrt((self.weights * self._factor * self._covariance[..., 1, 1]).sum(axis=-1)))

    def at(self, rise: Array | float) -> ExpectedLevel:
        """These filters with the steady level fixed, higher by `rise`."""
        fixed = copy.copy(self)
        fixed._mean, fixed._covariance = self._mean.copy(), self._covariance.copy()
        fixed._mean[..., 1] += np.asarray(rise, dtype=np.float64)[..., None]
        fixed._covariance[..., 1, :] = 0.0
        fixed._covariance[..., :, 1] = 0.0
        return fixed

    def skip(self) -> None:
        """A window that says nothing passes: disturbances fade."""
        self._mean, self._covariance = self._moved()

    def update(
        self, level: Array, variance: Array, terms: Array, learn: npt.NDArray[np.bool_] | bool = True
    ) -> Array:
        """The score of the next window, at most `CLIP`, shape (streams); then what it teaches.

        level, variance: of the window by the chance of its rows, shape (streams). terms: shape (terms,). learn:
        whether it may change what is known of the steady level, the calendar and the models; the disturbance, which
        the next window shares, is read off it in any case (Schmidt's consider filter).
        """
        mean, covariance = self._moved()
        row = np.concatenate([[1.0, 1.0], terms])
        shared = covariance @ row
        total = shared @ row + variance[..., None]
        deviation = np.sqrt(total * self._factor)
        surprise = (level[..., None] - mean @ row) / deviation
        score = self._score(surprise)
        lesson = np.clip(surprise, -MOST_LESSON, MOST_LESSON)
        learns = np.asarray(learn)[..., None]
        gain = shared / total[..., None]
        gain[..., 1:] *= learns[..., None]
        self._mean = mean + gain * (lesson * deviation)[..., None]
        cross = gain[..., :, None] * shared[..., None, :]
        squared = gain[..., :, None] * gain[..., None, :]
        self._covariance = covariance - cross - np.swapaxes(cross, -1, -2) + squared * total[..., None, None]
        self._judge(lesson, deviation, learns)
        return score

    def _judge(self, lesson: Array, deviation: Array, learns: npt.NDArray[np.bool_]) -> None:
        """What a window says of the models: how well each foretold it, and by how much its variance is off."""
        freedom, speed = self._freedom, 1.0 if self._seen < LEARNING_FROM else LEARNING
        misfit = 0.5 * (freedom + 1) * np.log1p(lesson**2 / freedom) + np.log(deviation)
        self._log_weight = self._log_weight - learns * speed * misfit
        self._factor = self._factor * (1 + learns * (lesson**2 - 1) / (freedom + 1))
        self._freedom = np.minimum(freedom + learns, SCALE_MEMORY)
        self._seen += 1

    def _moved(self) -> tuple[Array, Array]:
        """Mean and covariance one window on."""
        mean, covariance = self._mean.copy(), self._covariance.copy()
        mean[..., 0] *= self.phi
        covariance[..., 0, :] *= self.phi[:, None]
        covariance[..., :, 0] *= self.phi[:, None]
        covariance[..., 0, 0] += (1 - self.phi**2) * self._disturbance
        return mean, covariance

    def _score(self, surprise: Array) -> Array:
        from scipy.special import ndtri, stdtr

        above = (self.weights * stdtr(self._freedom, -surprise)).sum(axis=-1)
        return np.asarray(np.minimum(-ndtri(np.clip(above, 1e-300, 1 - 1e-12)), CLIP))


def _models(*, calendar: bool) -> tuple[Array, Array, Array, Array]:
    """phi, ratio, belief and whether the calendar counts, of every model."""
    pairs = [(0.0, 0.0, NO_DISTURBANCE)]
    pairs += [(0.0, ratio, ALONE / len(RATIOS)) for ratio in RATIOS]
    pairs += [(phi, ratio, LASTING / len(RATIOS) / len(PHIS)) for phi in PHIS for ratio in RATIOS]
    phi, ratio, belief = np.array(pairs).T
    if not calendar:
        return phi, ratio, belief, np.zeros(len(phi))
    with_it = np.repeat([0.0, 1.0], len(phi))
    shares = np.where(with_it > 0, CALENDAR, 1 - CALENDAR)
    return np.tile(phi, 2), np.tile(ratio, 2), np.tile(belief, 2) * shares, with_it
