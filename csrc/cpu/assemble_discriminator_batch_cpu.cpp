#include <algorithm>

#include "../kernels.h"

namespace aae {
namespace {

constexpr int64_t kTile = 256;  // rows

// Writes rows [n, dim] and their classes [n], one-hot, to batch [n, dim + n_classes].
void put_rows(const float* rows, const int64_t* classes, float* batch, int64_t n, int64_t dim, int64_t n_classes) {
  for (int64_t i = 0; i < n; ++i) {
    float* one_hot = std::copy_n(rows + i * dim, dim, batch + i * (dim + n_classes));
    std::fill_n(one_hot, n_classes, 0.0f);
    one_hot[classes[i]] = 1.0f;
  }
}

// Does the same with the prior's rows. Only priors with classes use this function; their rows have two elements.
void put_prior_rows(const Prior& prior, float* batch, int64_t n, const Draw& draw, int64_t offset) {
  float rows[2 * kTile];
  int64_t classes[kTile];
  for (int64_t i = 0; i < n; i += kTile) {
    const int64_t count = std::min(n - i, kTile);
    draw_classes_cpu(prior, classes, count, draw, offset + i);
    sample_prior_cpu(prior, classes, rows, count, draw, offset + i);
    put_rows(rows, classes, batch + i * (2 + prior.classes), count, 2, prior.classes);
  }
}

}  // namespace

void assemble_discriminator_batch_cpu(const Prior& prior, const float* codes, const int64_t* labels, float* batch,
                                      float* targets, int64_t n_codes, int64_t n_prior, const Draw& draw,
                                      int64_t offset) {
  if (labels == nullptr) {
    float* prior_rows = std::copy_n(codes, n_codes * prior.dim, batch);
    sample_prior_cpu(prior, nullptr, prior_rows, n_prior, draw, offset);
  } else {
    put_rows(codes, labels, batch, n_codes, prior.dim, prior.classes);
    put_prior_rows(prior, batch + n_codes * (prior.dim + prior.classes), n_prior, draw, offset);
  }
  std::fill_n(targets, n_codes, 0.0f);
  std::fill_n(targets + n_codes, n_prior, 1.0f);
}

}  // namespace aae
