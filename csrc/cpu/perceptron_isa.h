// The loops of perceptron.h over a part of their outputs, compiled once per instruction set.
#pragma once

#include <cstdint>

#include "../perceptron.h"

namespace aae {

// A layer with at most this many inputs or outputs has matrices that are narrower than a vector.
constexpr int64_t kFew = 4;

struct Range {
  int64_t begin, end;
};

struct PerceptronLoops {
  int64_t width;                // of a vector; parts begin at multiples of it
  int64_t sparse_block, block;  // rows per list of SparseInputs: for images, and behind a ReLU; divisors of 16
  void (*forward)(const Linear&, const float* x, float* y, Range rows, Range outputs, bool relu);
  void (*forward_sparse)(const Linear&, const SparseInputs& x, float* y, Range rows, Range outputs, bool relu);
  void (*backward)(const Linear&, const LayerRows&, float* grad_inputs, Range rows, Range inputs, bool relu);
  // For a layer behind a ReLU, with the inputs that its forward pass listed.
  void (*backward_listed)(const Linear&, const LayerRows&, const SparseInputs& x, float* grad_inputs, Range rows,
                          Range inputs);
  // For any layer; for one whose inputs are mostly 0; for one behind a ReLU with more than kFew inputs and outputs.
  void (*update)(const Linear&, const LayerRows&, const Moments&, const AdamStep&, Range inputs, Range outputs);
  void (*update_sparse)(const Linear&, const LayerRows&, const Moments&, const AdamStep&, Range inputs, Range outputs);
  void (*update_sorted)(const Linear&, const LayerRows&, const Moments&, const AdamStep&, Range inputs, Range outputs);
  // Updates all inputs of a layer with at most kFew inputs, and its bias.
  void (*update_few_inputs)(const Linear&, const LayerRows&, const Moments&, const AdamStep&, Range outputs);
  void (*update_bias)(const Linear&, const LayerRows&, const Moments&, const AdamStep&, Range outputs);
  // The functions of gradients.h.
  void (*gradient)(const LayerRows&, int64_t inputs, int64_t outputs, bool sparse, float* weight, float* bias,
                   Range some_inputs, Range some_outputs);
  void (*apply_adam)(float* parameter, float* mean, float* square, const float* gradient, const AdamStep&, Range some);
  // Writes to `used` the columns of x [?, columns] in which one of the given `count` rows is not 0. Returns the number
  // of these columns.
  int32_t (*columns_used)(const float* x, int64_t columns, const int32_t* rows, int64_t count, int32_t* used);
  void (*move_average)(float* average, const float* parameter, float rate, Range some);
  void (*cross_entropy)(float* logits, const float* targets, float target, int64_t outputs, float scale, Range rows,
                        double* row_losses);
  void (*sample_posterior)(const float* posterior, const float* noise, float* codes, int64_t n, int64_t size);
  void (*posterior_gradient)(const float* posterior, const float* noise, const float* grad_codes, double prior_std,
                             float* kl, float* grad_posterior, int64_t n, int64_t size);
};

extern const PerceptronLoops perceptron_avx512, perceptron_avx2, perceptron_portable;

const PerceptronLoops& perceptron_loops();  // for the current instruction set

}  // namespace aae
