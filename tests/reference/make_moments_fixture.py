"""Mean and covariance of the features of Fashion-MNIST's 60,000 training images, by Ito's classifier,
which tests/examples/ddpm/test_samplers.c compares samples with:
    build/examples/ito-ddpm eval ... --save-features features.npy
    python3 tests/reference/make_moments_fixture.py features.npy
"""
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

features = np.load(sys.argv[1]).astype(np.float64)
assert features.shape == (60000, 96)
save_file(
    {"mean": features.mean(0).astype(np.float32), "covariance": np.cov(features.T).astype(np.float32)},
    pathlib.Path(__file__).parent / "fashion_mnist_moments.safetensors",
)
