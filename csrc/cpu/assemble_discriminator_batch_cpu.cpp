#include <algorithm>

#include "../kernels.h"

namespace aae {

void assemble_discriminator_batch_cpu(const Prior& prior, const float* codes, float* batch, float* targets,
                                      int64_t n_codes, int64_t n_prior, const Draw& draw, int64_t offset) {
  std::copy_n(codes, n_codes * prior.dim, batch);
  sample_prior_cpu(prior, batch + n_codes * prior.dim, n_prior, draw, offset);
  std::fill_n(targets, n_codes, 0.0f);
  std::fill_n(targets + n_codes, n_prior, 1.0f);
}

}  // namespace aae
