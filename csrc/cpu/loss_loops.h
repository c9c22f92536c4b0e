// The loops of losses.h. perceptron_loops.h includes them.
#pragma once

#include <algorithm>
#include <cmath>

#include "perceptron_tiles.h"

namespace aae {
namespace {

// e^x for x < 88.5, as in Cephes' expf: x = k ln 2 + r, and a polynomial in r. Below -87 it is e^-87; NaN stays NaN.
AAE_HD float exp32(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float shifted = fma32(x, 0x1.715476p+0f, 0x1.8p23f);  // its lowest bits are k, the nearest integer
  const float k = shifted - 0x1.8p23f;
  float r = fma32(k, -0x1.62e400p-1f, x);
  r = fma32(k, -0x1.7f7d1cp-20f, r);
  float p = 1.9875691500e-4f;
  p = fma32(p, r, 1.3981999507e-3f);
  p = fma32(p, r, 8.3334519073e-3f);
  p = fma32(p, r, 4.1665795894e-2f);
  p = fma32(p, r, 1.6666665459e-1f);
  p = fma32(p, r, 5.0000001201e-1f);
  p = fma32(r * r, p, r) + 1.0f;
  const float y = float_of(bits_of(p) + (static_cast<uint32_t>(bits_of(shifted)) << 23));
  return x == x ? y : x;
}

// Returns the loss softplus(x) - target x of a logit x, and replaces the logit by scale (sigmoid(x) - target).
AAE_HD float cross_entropy_of(float& logit, float target, float scale) {
  const float x = logit;
  const float e = exp32(-(x < 0.0f ? -x : x));
  const float one_more = 1.0f + e;
  const float log1p = log32(one_more) + (e - (one_more - 1.0f));
  const float sigmoid = (x < 0.0f ? e : 1.0f) / one_more;
  logit = scale * (sigmoid - target);
  return fma32(-target, x, (x > 0.0f ? x : 0.0f) + log1p);
}

void cross_entropy(float* logits, const float* targets, float target, int64_t outputs, float scale, Range rows,
                   double* row_losses) {
  if (outputs == 1) {  // vectorised over the rows
    float* const losses = buffer<3>(rows.end - rows.begin);
    for (int64_t i = rows.begin; i < rows.end; ++i)
      losses[i - rows.begin] = cross_entropy_of(logits[i], targets == nullptr ? target : targets[i], scale);
    std::copy(losses, losses + (rows.end - rows.begin), row_losses + rows.begin);
    return;
  }
  // Sixteen sums per row whatever the vectors' width, so the order of the terms is the same everywhere.
  constexpr int64_t kSums = 16;
  float* losses = buffer<3>(outputs + kSums);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    float* x = logits + i * outputs;
    if (targets != nullptr)
      for (int64_t j = 0; j < outputs; ++j) losses[j] = cross_entropy_of(x[j], targets[i * outputs + j], scale);
    else
      for (int64_t j = 0; j < outputs; ++j) losses[j] = cross_entropy_of(x[j], target, scale);
    std::fill_n(losses + outputs, kSums, 0.0f);
    float sums[kSums] = {};
    for (int64_t j = 0; j < outputs; j += kSums)
      for (int64_t s = 0; s < kSums; ++s) sums[s] += losses[j + s];
    double sum = 0.0;
    for (float part : sums) sum += part;
    row_losses[i] = sum;
  }
}

float exponential(float x) { return x >= 88.5f ? HUGE_VALF : exp32(x); }

void sample_posterior(const float* posterior, const float* noise, float* codes, int64_t n, int64_t size) {
  for (int64_t i = 0; i < n; ++i, posterior += 2 * size)
    for (int64_t j = 0; j < size; ++j, ++codes, ++noise)
      *codes = posterior[j] + *noise * exponential(0.5f * posterior[size + j]);
}

void posterior_gradient(const float* posterior, const float* noise, const float* grad_codes, double prior_std,
                        float* kl, float* grad_posterior, int64_t n, int64_t size) {
  const float prior_variance = static_cast<float>(prior_std * prior_std);
  const float log_prior_variance = static_cast<float>(2 * std::log(prior_std));
  const float mean_scale = static_cast<float>(n * (prior_std * prior_std)), variance_scale = static_cast<float>(2 * n);
  for (int64_t i = 0; i < n; ++i, posterior += 2 * size, grad_posterior += 2 * size)
    for (int64_t j = 0; j < size; ++j, ++kl, ++noise, ++grad_codes) {
      const float mean = posterior[j], log_variance = posterior[size + j];
      const float variance = exponential(log_variance), deviation = *noise * exponential(0.5f * log_variance);
      *kl = (mean * mean + variance) / prior_variance - log_variance + log_prior_variance - 1.0f;
      grad_posterior[j] = *grad_codes + mean / mean_scale;
      grad_posterior[size + j] = 0.5f * *grad_codes * deviation + (variance / prior_variance - 1.0f) / variance_scale;
    }
}

}  // namespace
}  // namespace aae
