// The training losses and their gradients on the CPU. The bits are the same on every processor: the exponential is the
// project's own, because libraries round it differently.
#pragma once

#include <cstdint>

namespace aae {

// The summed binary cross-entropy, in nats, of logits [n, outputs] against targets [n, outputs] in [0, 1] (or the
// constant `target`, if targets is null). The gradient, times `scale`, overwrites the logits.
double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale);

// A row of a posterior [n, 2 size] holds the means and then the log-variances of a Gaussian with diagonal covariance.
// Its standard deviations are at least e^-43.5, and infinite if half the log-variance is 88.5 or more.

// codes = mean + std noise, both [n, size].
void sample_posterior(const float* posterior, const float* noise, float* codes, int64_t n, int64_t size);

// Writes to `kl` [n, size] twice the Kullback-Leibler divergence, in nats, of every code from N(0, prior_std²). Writes
// to `grad_posterior` [n, 2 size] the gradient of the divergence's mean over n, plus grad_codes [n, size] propagated to
// the posterior. grad_codes is the gradient in the codes that were sampled with `noise`.
void posterior_gradient(const float* posterior, const float* noise, const float* grad_codes, double prior_std,
                        float* kl, float* grad_posterior, int64_t n, int64_t size);

}  // namespace aae
