"""Writes flow.safetensors: what SciPy makes of ordinary differential equations and of assignments.

`ode/NAME/...`: solve_ivp's RK45 on the predator-prey equations of tests/autograd/test_ode.c, at several
tolerances: where it ends, and how often it evaluates the slope. `assignment/N/...`: a matrix of costs and
linear_sum_assignment's columns, ties excluded by the numbers being irrational.
"""

import os
import platform

import numpy as np
import safetensors
import scipy
from safetensors.numpy import save_file
from scipy.integrate import solve_ivp
from scipy.optimize import linear_sum_assignment

HERE = os.path.dirname(os.path.abspath(__file__))
arrays = {}


def predators(t, x):
    return [1.5 * x[0] - x[0] * x[1], -3 * x[1] + x[0] * x[1] + 0.1 * np.sin(t)]


for name, t0, t1, rtol, atol in [("loose", 0, 6, 1e-3, 1e-6), ("tight", 0, 6, 1e-9, 1e-9),
                                 ("backwards", 2, -1, 1e-6, 1e-4), ("short", 0, 1e-3, 1e-5, 1e-5)]:
    s = solve_ivp(predators, (t0, t1), [10.0, 5.0], method="RK45", rtol=rtol, atol=atol)
    assert s.success
    arrays[f"ode/{name}/call"] = np.array([t0, t1, rtol, atol])
    arrays[f"ode/{name}/x"] = s.y[:, -1].copy()
    arrays[f"ode/{name}/evaluations"] = np.array([s.nfev, len(s.t) - 1])

for n in 1, 8, 33, 100:
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    cost = np.sin(1.0 + 12.9898 * i + 78.233 * j) * np.cos(0.37 * i * j)
    arrays[f"assignment/{n}"] = linear_sum_assignment(cost)[1].astype(np.int64)

save_file(arrays, os.path.join(HERE, "flow.safetensors"), metadata={
    "made_with": f"scipy {scipy.__version__}, numpy {np.__version__}, safetensors "
                 f"{safetensors.__version__}, Python {platform.python_version()}"})
for name, value in arrays.items():
    print(name, value if value.size < 5 else value.shape)
