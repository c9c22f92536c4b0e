#include "../losses.h"

#include <vector>

#include "perceptron_isa.h"
#include "perceptron_share.h"

namespace aae {

double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale) {
  std::vector<double> losses(n);
  share(By::rows, n, 1, [&](Range rows, Range) {
    perceptron_loops().cross_entropy(logits, targets, target, outputs, scale, rows, losses.data());
  });
  double sum = 0.0;
  for (double loss : losses) sum += loss;
  return sum;
}

void sample_posterior(const float* posterior, const float* noise, float* codes, int64_t n, int64_t size) {
  perceptron_loops().sample_posterior(posterior, noise, codes, n, size);
}

void posterior_gradient(const float* posterior, const float* noise, const float* grad_codes, double prior_std,
                        float* kl, float* grad_posterior, int64_t n, int64_t size) {
  perceptron_loops().posterior_gradient(posterior, noise, grad_codes, prior_std, kl, grad_posterior, n, size);
}

}  // namespace aae
