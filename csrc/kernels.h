// The ops. Every array is contiguous and row-major. The callers in aae/ops.py have checked shapes, types and ranges.
// priors.h defines how samples are made from random words, minibatch.h how minibatches are.
#pragma once

#include <cstdint>

#include "items.h"
#include "priors.h"

namespace aae {

// counter [n, 4], key [2], words [n, 4]: 32-bit words, each in an int64.
void philox4x32_cpu(const int64_t* counter, const int64_t* key, int64_t* words, int64_t n);

// out [n, dim]: the prior's rows offset, offset + 1, ... `labels` [n] holds their classes, or is null.
void sample_prior_cpu(const Prior& prior, const int64_t* labels, float* out, int64_t n, const Draw& draw,
                      int64_t offset);

// classes [n]: the classes that sample_prior_cpu draws for these rows when it is given no labels.
void draw_classes_cpu(const Prior& prior, int64_t* classes, int64_t n, const Draw& draw, int64_t offset);

// batch [n_codes + n_prior, dim]: the codes, then the prior's rows.
// targets [n_codes + n_prior, 1]: 0 for the codes, 1 for the prior.
// `labels` [n_codes] holds the classes of the codes, or is null. With labels, the batch is [.., dim + prior.classes]:
// each row ends in its one-hot class. The classes of the prior's rows are drawn.
void assemble_discriminator_batch_cpu(const Prior& prior, const float* codes, const int64_t* labels, float* batch,
                                      float* targets, int64_t n_codes, int64_t n_prior, const Draw& draw,
                                      int64_t offset);

// images [n_images, pixels], out [n, pixels] in [0, 1], indices [n], drawn with replacement; n_images < 2^32.
void draw_minibatch_cpu(const uint8_t* images, int64_t n_images, int64_t pixels, float* out, int64_t* indices,
                        int64_t n, const Draw& draw, int64_t offset);

// The individual steps of normal.h, for the tests.
void uniform_cpu(const uint32_t* words, float* out, int64_t n);
void log32_cpu(const float* u, float* out, int64_t n);
void cos_sin_turn_cpu(const uint32_t* words, float* cos, float* sin, int64_t n);
void normal_from_words_cpu(const uint32_t* words, float* out, int64_t pairs, float std);  // [pairs, 2]

// The ops on a GPU, only in a build with CUDA. They queue the items of items.h on a stream of the device that holds the
// arrays, and throw std::runtime_error if CUDA reports an error.
struct CudaStream {
  int device;
  void* handle;  // a cudaStream_t
};

void philox4x32_cuda(const PhiloxItems& items, const CudaStream& stream);
void sample_prior_cuda(const PriorItems& items, const CudaStream& stream);
void assemble_discriminator_batch_cuda(const DiscriminatorBatchItems& items, const CudaStream& stream);
void draw_minibatch_cuda(const MinibatchItems& items, const CudaStream& stream);

}  // namespace aae
