// The losses of training and their gradients on the CPU, in the same bits on every processor: the exponential is our
// own, because libraries differ in it.
#pragma once

#include <cstdint>

namespace aae {

// Binary cross-entropy in nats of logits [n, outputs] against targets [n, outputs] in [0, 1] (or the constant
// `target`, if targets is null), summed. The gradient, times `scale`, takes the place of the logits.
double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale);

// A row of a posterior [n, 2 size] holds the means and then the log-variances of a Gaussian with diagonal covariance.
// Its standard deviations are e^-43.5 at least, and infinite where half the log-variance is 88.5 or more.

// codes = mean + std noise, both [n, size].
void sample_posterior(const float* posterior, const float* noise, float* codes, int64_t n, int64_t size);

// `kl` [n, size] becomes twice the Kullback-Leibler divergence of every code from N(0, prior_std²) in nats.
// `grad_posterior` [n, 2 size] becomes the gradient of the divergence's mean over n, plus what grad_codes [n, size],
// the gradient in the codes that were sampled with `noise`, makes of it.
void posterior_gradient(const float* posterior, const float* noise, const float* grad_codes, double prior_std,
                        float* kl, float* grad_posterior, int64_t n, int64_t size);

}  // namespace aae
