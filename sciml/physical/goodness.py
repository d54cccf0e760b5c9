"""Local losses of a linear layer a = W u + b and their gradients, in closed form. No framework, no transposed weights.

    pair      mean softplus(-theta (G+ - G-)),       G = cos(f(a), xi), one fixed random direction xi    (Momeni et al. 2023)
    contrast  mean -log softmax_c(theta G_c)_y       over all labels c
    heads     mean -log softmax_c(tau cos(a, Xi_c) + context_c)_y,   fixed orthonormal directions Xi_c, a without a label

The gradients are with respect to a; those of W and b are sums of delta u^T and delta. G does not depend on the size of a, so
<dW, W> + <db, b> = 0.
"""

import numpy as np
from scipy.special import erf, expit, log_softmax

TINY = 1e-9


def absolute(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|a| and its derivative."""
    return np.abs(a), np.sign(a)


def identity(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a and one."""
    return a, np.ones_like(a)


def gelu(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a Phi(a) and Phi(a) + a phi(a), Phi the normal distribution."""
    below = 0.5 * (1 + erf(a / np.sqrt(2)))
    return a * below, below + a * np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi)


FUNCTIONS = {"absolute": absolute, "identity": identity, "gelu": gelu}


def cosine(a: np.ndarray, direction: np.ndarray, function: str = "absolute") -> np.ndarray:
    """cos(f(a), xi): a (..., d), xi (d,) to (...)."""
    g = FUNCTIONS[function](a)[0]
    return (g @ direction) / (np.linalg.norm(g, axis=-1) * np.linalg.norm(direction) + TINY)


def _cosine_slope(a: np.ndarray, direction: np.ndarray, function: str) -> tuple[np.ndarray, np.ndarray]:
    """cos(f(a), xi) and its gradient with respect to a."""
    g, slope = FUNCTIONS[function](a)
    unit, size = direction / np.linalg.norm(direction), np.linalg.norm(g, axis=-1, keepdims=True) + TINY
    c = (g @ unit)[..., None] / size
    return c[..., 0], slope * (unit - c * g / size) / size


def pair(
    a: np.ndarray, direction: np.ndarray, theta: float, function: str = "absolute", lead: np.ndarray | float = 0.0
) -> tuple[float, np.ndarray]:
    """Loss and gradient of a (sample, 2, d), the right label first.

    lead : sum of the other layers' G+ - G-, (sample,), which this layer takes as given (collaboration).
    """
    g, slope = _cosine_slope(a, direction, function)
    margin = theta * (g[:, 0] - g[:, 1] + lead)
    weight = -(theta / len(a)) * expit(-margin)[:, None]
    return float(np.logaddexp(0, -margin).mean()), np.stack([weight * slope[:, 0], -weight * slope[:, 1]], axis=1)


def contrast(
    a: np.ndarray, labels: np.ndarray, direction: np.ndarray, theta: float, function: str = "absolute"
) -> tuple[float, np.ndarray]:
    """Loss and gradient of a (sample, class, d), one row for each label that was embedded."""
    g, slope = _cosine_slope(a, direction, function)
    return _softmax(theta * g, labels, theta * slope)


def _softmax(scores: np.ndarray, labels: np.ndarray, slope: np.ndarray) -> tuple[float, np.ndarray]:
    log = log_softmax(scores, axis=1)
    error = np.exp(log)
    error[np.arange(len(labels)), labels] -= 1
    return float(-log[np.arange(len(labels)), labels].mean()), (error / len(labels))[..., None] * slope


def heads(
    a: np.ndarray, labels: np.ndarray, directions: np.ndarray, tau: float, context: np.ndarray | float = 0.0
) -> tuple[float, np.ndarray]:
    """Loss and gradient of a (sample, d), directions (class, d) of unit length.

    context : scores (sample, class) of other layers, taken as given (residual fitting).
    """
    size = np.linalg.norm(a, axis=1, keepdims=True) + TINY
    unit = a / size
    c = unit @ directions.T
    log = log_softmax(tau * c + context, axis=1)
    error = np.exp(log)
    error[np.arange(len(labels)), labels] -= 1
    error *= tau / len(labels)
    # sum_c e_c (Xi_c - c_c unit) / |a|
    delta = (error @ directions - np.sum(error * c, axis=1, keepdims=True) * unit) / size
    return float(-log[np.arange(len(labels)), labels].mean()), delta


def orthonormal(classes: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Fixed directions (class, width): orthonormal, or as far apart as random ones where there are more classes than that."""
    drawn = rng.standard_normal((max(width, classes), max(width, classes)))
    q = np.linalg.qr(drawn)[0][:classes, :width]
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def balanced(width: int, rng: np.random.Generator) -> np.ndarray:
    """A random direction whose positive and negative parts are equally long, so that the reach of G is no matter of luck."""
    xi = rng.standard_normal(width)
    plus, minus = np.clip(xi, 0, None), np.clip(xi, None, 0)
    if not plus.any() or not minus.any():
        return balanced(width, rng)
    xi = plus / np.linalg.norm(plus) + minus / np.linalg.norm(minus)
    return xi / np.linalg.norm(xi)
