"""How a curve grows: least squares of the cost against the logarithm of N, its root and N itself."""

import math
from dataclasses import dataclass

# Counts repeat to 1 to 2%: what rises by less over the whole range does not grow.
FLAT = 0.05

# What the cost may be proportional to, slowest first.
SHAPES = {"logarithmic": math.log10, "root": math.sqrt, "linear": float}
BOUNDED = ("flat", "logarithmic")


@dataclass
class Fit:
    """The growth of one curve: `cost = base + slope x f(N)`, with f of the shape (log10 for a flat one)."""

    shape: str
    base: float
    slope: float

    def is_bounded(self):
        """Tells whether it grows no faster than the logarithm."""
        return self.shape in BOUNDED

    def says(self, unit="instructions", each=""):
        """Describes it in a few words; `each` is what N counts."""
        slope = f"{self.slope:+,.0f}" if abs(self.slope) >= 1000 else f"{self.slope:+.3g}"
        if self.shape in BOUNDED:
            return f"{self.shape}: {slope} {unit} for each tenfold"
        if self.shape == "root":
            return f"root: {slope} {unit} for each unit of the square root"
        return f"linear: {slope} {unit} for each {each}".rstrip()


def line(xs, ys):
    """Returns base and slope of the line of least squares, and the sum of what it misses, squared."""
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / spread if spread else 0.0
    base = mean_y - slope * mean_x
    return base, slope, sum((y - base - slope * x) ** 2 for x, y in zip(xs, ys))


def fit(points):
    """Returns the growth of (N, cost) points with rising N: the shape that misses least, or flat."""
    costs = [cost for _, cost in points]
    fitted = {}
    for shape, function in SHAPES.items():
        fitted[shape] = line([function(n) for n, _ in points], costs)
    if max(costs) - min(costs) <= FLAT * min(costs):
        base, slope, _ = fitted["logarithmic"]
        return Fit("flat", base, slope)
    # Less with every step is a start that is dearer, not growth.
    if fitted["logarithmic"][1] <= 0:
        base, slope, _ = fitted["logarithmic"]
        return Fit("flat", base, slope)
    shape = min(fitted, key=lambda name: fitted[name][2])
    base, slope, _ = fitted[shape]
    return Fit(shape, base, slope)


def exponent(points):
    """Returns e of `cost ~ N^e` over the last two points: 1 is proportional, 2 is a list that is walked for each of its entries."""
    (few, less), (many, more) = points[-2:]
    return math.log(more / less) / math.log(many / few)
