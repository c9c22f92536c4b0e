"""Multivariate skewness and kurtosis of codes in the form in which autoencoders were compared by them.

They follow Knop et al. (JMLR 21, 2020, section 5), who neither centre nor whiten the codes. So they measure mean and
variance as well, and differ from Mardia's (`aae.distances.mardia`). The number of codes belongs to every figure: the
skewness of n samples of N(0, I) in d dimensions is about d (d + 2) (d + 4) / n.
"""

import numpy as np


def raw_skewness(codes: np.ndarray) -> float:
    """The mean of (x·y)³ over all pairs of `codes`, float64 [n, d]; 0 for N(0, I) with infinitely many codes.

    It is the sum of the squared third moments, so no pairs are formed.
    """
    third = np.stack([(codes * codes[:, [j]]).T @ codes for j in range(codes.shape[1])]) / len(codes)
    return float((third**2).sum())


def raw_kurtosis(codes: np.ndarray) -> float:
    """|mean of |x|⁴ - d (d + 2)| of `codes`, float64 [n, d]; d (d + 2) is the mean for N(0, I)."""
    d = codes.shape[1]
    return float(abs(((codes**2).sum(axis=1) ** 2).mean() - d * (d + 2)))
