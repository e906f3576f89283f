"""Check values of schedules, samplers and bounds, computed here with NumPy alone.

Each line printed has the value, what it is expected to be and whether they agree; README.md states
the conventions. Exit code 1 if any disagrees.
"""

import math
import sys

import numpy as np

import formula

T = 1000
failures = []


def check(name, value, expected, tolerance):
    good = abs(value - expected) <= tolerance
    if not good:
        failures.append(name)
    print("%-4s %-58s %.10g (expected %.10g)" % ("ok" if good else "BAD", name, value, expected))


def to_digits(name, value, expected, digits):
    """Agreement to the digits that the expected value is written with."""
    step = 10.0 ** (math.floor(math.log10(abs(expected))) + 1 - digits)
    check(name, value, expected, 0.51 * step)


# Schedules, in double: t = 0..T-1; alpha_bar before step 0 is 1.


def linear():
    return np.linspace(1e-4, 0.02, T)


def cosine():
    def f(s):
        return math.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])


def tables(beta):
    ab = np.cumprod(1 - beta)
    ab_prev = np.concatenate([[1.0], ab[:-1]])
    return 1 - beta, ab, ab_prev, (1 - ab_prev) / (1 - ab) * beta


def check_constants():
    _, ab, _, beta_tilde = tables(linear())
    to_digits("linear alpha_bar_500", ab[500], 0.077796658, 8)
    to_digits("linear alpha_bar_999", ab[999], 4.03583e-5, 6)
    to_digits("linear beta~_1", beta_tilde[1], 5.4531877e-5, 8)
    beta = cosine()
    to_digits("cosine beta_0", beta[0], 4.12842e-5, 6)
    to_digits("cosine alpha_bar_500", np.cumprod(1 - beta)[500], 0.49228517, 8)


def check_closed_form():
    """x_0 ~ N(0, 1/4): the best eps is sqrt(1-ab) x / D with D = ab/4 + 1 - ab."""
    beta = linear()
    alpha, ab, ab_prev, small = tables(beta)
    D = 0.25 * ab + 1 - ab
    mse = 0.25 * ab / D
    to_digits("irreducible L_simple, mean over t", mse.mean(), 0.173053406, 9)
    for name, sigma2, expected, bits in (
        ("small", small, 0.246125211, 6.30243688),
        ("large", beta, 0.250752075, 5.64564104),
    ):
        v = 1.0
        for t in range(T - 1, -1, -1):  # no noise at t = 0
            v *= ((1 - beta[t] / D[t]) / math.sqrt(alpha[t])) ** 2
            v += sigma2[t] if t > 0 else 0.0
        to_digits("variance of ancestral samples, " + name, v, expected, 9)
        s = slice(1, T)
        gap = beta[s] ** 2 / (alpha[s] * (1 - ab[s])) * mse[s]
        r = small[s] / sigma2[s]
        kl = 0.5 * (r - 1 - np.log(r) + gap / sigma2[s])
        to_digits("sum of KL, t >= 1, bits per dim, " + name, kl.sum() / math.log(2), bits, 9)
    prior = 0.5 * (0.25 * ab[-1] + (1 - ab[-1]) - 1 - math.log(1 - ab[-1])) / math.log(2)
    to_digits("L_T, bits per dim", prior, 7.27867696e-6, 9)
    for steps, expected in (
        (10, 0.374128494),
        (50, 0.472439113),
        (100, 0.485980567),
        (1000, 0.498495283),
    ):
        gain, stride = 1.0, T // steps
        for t in range((steps - 1) * stride, -1, -stride):
            to = ab[t - stride] if t >= stride else 1.0
            gain *= (
                math.sqrt(to / ab[t]) * (1 - (1 - ab[t]) / D[t])
                + math.sqrt((1 - to) * (1 - ab[t])) / D[t]
            )
        to_digits("DDIM gain, %d steps" % steps, gain, expected, 9)


def check_decoder():
    """Eq. 13 at 8 bits: -log2 of the mass within 1/255 of x; the ends reach to infinity."""

    def exact(z):
        return 0.5 * math.erfc(-z / math.sqrt(2))

    def tanh(z):
        return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    sigma = math.sqrt(tables(linear())[3][1])
    edge = 1 / 255 / sigma
    for name, cdf, inner, outer in (
        ("erf", exact, 1.305378, 0.509825),
        ("tanh", tanh, 1.305665, 0.509908),
    ):
        to_digits(
            "L_0 in bits, x = m = 1/255, " + name, -math.log2(cdf(edge) - cdf(-edge)), inner, 7
        )
        to_digits("L_0 in bits, x = m = 1, " + name, -math.log2(1 - cdf(-edge)), outer, 6)
        to_digits("L_0 in bits, x = m = -1, " + name, -math.log2(cdf(edge)), outer, 6)


# The fixture of diffusers' scheduler tests.


def start():
    """[4, 3, 8, 8], (c, h, w, b) counting up from 0 in steps of 1/768."""
    x = np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768
    return x.transpose(3, 0, 1, 2)


def model(x, t):
    return x * t / (t + 1)


def single_precision_table(T):
    """Linear: float32 betas from a two-sided linspace; products in double, rounded to float32."""
    f = np.float32
    step = (f(0.02) - f(1e-4)) / f(T - 1)
    i = np.arange(T)
    up, down = f(1e-4) + step * i.astype(f), f(0.02) - step * (T - 1 - i).astype(f)
    alpha = f(1) - np.where(i < T // 2, up, down).astype(f)
    return np.cumprod(alpha.astype(np.float64)).astype(f).astype(np.float64)


AB = single_precision_table(T)


def alpha_bar(t):
    return AB[t] if t >= 0 else 1.0


def x0_of(x, eps, ab, clip):
    x0 = (x - math.sqrt(1 - ab) * eps) / math.sqrt(ab)
    return np.clip(x0, -1, 1) if clip else x0


def ddim(x, times, gap, clip=True, eta=0.0, rederive=False, noise=None):
    """From each t to t - gap; behind the last lies alpha_bar = 1."""
    for t in times:
        ab, to, eps = alpha_bar(t), alpha_bar(t - gap), model(x, t)
        x0 = x0_of(x, eps, ab, clip)
        if rederive:
            eps = (x - math.sqrt(ab) * x0) / math.sqrt(1 - ab)
        sigma = eta * math.sqrt((1 - to) / (1 - ab) * (1 - ab / to))
        x = math.sqrt(to) * x0 + math.sqrt(1 - to - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * noise(t)
    return x


def ddim_inversion(x, times, gap):
    """The model is asked at t, x counts as lying at t - gap, and goes to t."""
    for t in times:
        ab, to, eps = alpha_bar(t - gap), alpha_bar(t), model(x, t)
        x = math.sqrt(to) * x0_of(x, eps, ab, True) + math.sqrt(1 - to) * eps
    return x


def ancestral(x, large, noise):
    """Clip x_0-hat, then mean of eq. 7; noise at every step but the last."""
    for t in range(T - 1, -1, -1):
        ab, to = alpha_bar(t), alpha_bar(t - 1)
        beta = 1 - ab / to
        x0 = x0_of(x, model(x, t), ab, True)
        x = math.sqrt(to) * beta / (1 - ab) * x0 + math.sqrt(1 - beta) * (1 - to) / (1 - ab) * x
        if t > 0:
            x = x + math.sqrt(beta if large else (1 - to) / (1 - ab) * beta) * noise(t)
    return x


def noise(t):
    """Unit variance, made like eps, of stream 20000 + t; [4, 3, 8, 8] row-major."""
    values = formula.uniform(20000 + t, 768) * np.float32(np.sqrt(3.0))
    return values.astype(np.float64).reshape(4, 3, 8, 8)


def spaced(steps):
    """steps + 1 times from T - 1 to 0, the 0 left off."""
    return np.round(np.linspace(0, T - 1, steps + 1))[:0:-1].astype(int)


def nodes(times):
    """(alpha, sigma, lambda) at each time and, behind them, at t = 0."""
    ab = np.array([AB[t] for t in times] + [AB[0]])
    a, s = np.sqrt(ab), np.sqrt(1 - ab)
    return a, s, np.log(a / s)


def dpm_solver_pp_2m(x, times):
    """Lu et al. 2022, algorithm 2: first step of order 1, the last one of order 2."""
    a, s, lam = nodes(times)
    old = None
    for i, t in enumerate(times):
        h = lam[i + 1] - lam[i]
        x0 = x0_of(x, model(x, t), a[i] ** 2, False)
        D = x0 if old is None else x0 + 0.5 * h / (lam[i] - lam[i - 1]) * (x0 - old)
        x, old = s[i + 1] / s[i] * x - a[i + 1] * math.expm1(-h) * D, x0
    return x


def unipc_bh2(x, times):
    """UniPC of order 2 for x_0, B(h) = e^-h - 1; corrector but at the first, last of order 1."""
    a, s, lam = nodes(times)
    past, before, order = [], None, 0
    for i, t in enumerate(times):
        x0 = x0_of(x, model(x, t), a[i] ** 2, False)
        if i > 0:  # corrector: from the point before, now that x0 here is known
            x = unipc_update(before, past, x0, order, i - 1, a, s, lam)
        past, before = past[-1:] + [x0], x
        order = min(2, i + 1, len(times) - i)
        x = unipc_update(before, past, None, order, i, a, s, lam)
    return x


def unipc_update(x, past, ahead, order, i, a, s, lam):
    """From node i to i + 1; past[-1] is x_0-hat at i, ahead (if known) at i + 1."""
    h = lam[i + 1] - lam[i]
    B = math.expm1(-h)
    r, D = 0.0, 0.0
    if order == 2:
        r = (lam[i - 1] - lam[i]) / h
        D = (past[-2] - past[-1]) / r
    if ahead is None:
        correction = 0.5 * D
    elif order == 1:
        correction = 0.5 * (ahead - past[-1])
    else:
        phi = B / -h - 1
        b = np.array([phi, 2 * (phi / -h - 0.5)]) / B
        rho = np.linalg.solve(np.array([[1.0, 1.0], [r, 1.0]]), b)
        correction = rho[0] * D + rho[1] * (ahead - past[-1])
    return s[i + 1] / s[i] * x - a[i + 1] * B * past[-1] - a[i + 1] * B * correction


def euler(x, steps, heun, T=1000, rescale=True):
    """dx/dsigma = eps at times linspace(T-1, 0), sigma = sqrt((1-ab)/ab) linear in between, then 0.

    Starts from sigma_max x. The network sees x / sqrt(sigma^2 + 1); Heun's second slope is asked at
    the next time, and never at sigma = 0. diffusers' tests step from the scaled x as well, which is
    no solver of the equation any more: rescale = False repeats them.
    """
    ab = single_precision_table(T)
    times = np.linspace(T - 1, 0, steps)
    sigma = np.append(np.interp(times, np.arange(T), np.sqrt((1 - ab) / ab)), 0.0)
    x = x * sigma[0]
    for i in range(steps):
        scaled = x / math.hypot(sigma[i], 1)
        x = x if rescale else scaled
        slope = model(scaled, times[i])
        to = x + (sigma[i + 1] - sigma[i]) * slope
        if heun and sigma[i + 1] > 0:
            to /= math.hypot(sigma[i + 1], 1)
            other = model(to, times[i + 1])
            to = x + (sigma[i + 1] - sigma[i]) * 0.5 * (slope + other)
        x = to
    return x


def check_samplers():
    def small(t, to):
        return (1 - AB[to]) / (1 - AB[t]) * (1 - AB[t] / AB[to])

    check("fixedsmall variance at 487", small(487, 486), 0.00979, 1e-5)
    check("fixedsmall variance at 999", small(999, 998), 0.02, 1e-5)
    check("DDIM variance (420, 400)", small(420, 400), 0.14771, 1e-5)
    check("DDIM variance (980, 960)", small(980, 960), 0.32460, 1e-5)

    def both(name, x, total=None, mean=None):
        x = np.abs(x)
        print("     %-58s sum %.6f mean %.8f" % (name, x.sum(), x.mean()))
        if total is not None:
            check(name + ": sum", x.sum(), total, 1e-2)
        if mean is not None:
            check(name + ": mean", x.mean(), mean, 1e-3)

    down = range(900, -1, -100)
    both("DDIM, eta 0, 10 steps, clipped", ddim(start(), down, 100), 172.0067, 0.223967)
    wide, half = 4 * start(), range(900, 0, -100)  # the fixture itself never reaches the clip
    both("  from 4 x, all but the last step", ddim(wide, half, 100))
    both("  the same, eps derived again", ddim(wide, half, 100, rederive=True))
    both("  the same, not clipped", ddim(wide, half, 100, clip=False))
    both("  eta 1, clipped, noise(t)", ddim(start(), down, 100, eta=1.0, noise=noise))
    both(
        "DDIM inversion, 10 steps",
        ddim_inversion(start(), range(0, 1000, 100), 100),
        671.6816,
        0.8746,
    )
    both("ancestral, fixedsmall, clipped, noise(t)", ancestral(start(), False, noise))
    both("ancestral, fixedlarge, clipped, noise(t)", ancestral(start(), True, noise))
    both("ancestral, fixedsmall, clipped, no noise", ancestral(start(), False, lambda t: 0.0))
    both("DPM-Solver++ 2M, 10 steps", dpm_solver_pp_2m(start(), spaced(10)), None, 0.3301)
    both("UniPC bh2 order 2, 10 steps", unipc_bh2(start(), spaced(10)), None, 0.2464)
    both(
        "Heun, 10 steps, T = 1100, as diffusers' test",
        euler(start(), 10, True, 1100, False),
        0.1233,
        0.0002,
    )
    both(
        "Euler, 10 steps, T = 1100, as diffusers' test",
        euler(start(), 10, False, 1100, False),
        10.0807,
        0.0131,
    )
    both("Heun, 10 steps", euler(start(), 10, True))
    both("Euler, 10 steps", euler(start(), 10, False))


if __name__ == "__main__":
    print("numpy", np.__version__)
    check_constants()
    check_closed_form()
    check_decoder()
    check_samplers()
    sys.exit(1 if failures else 0)
