// The passes of a perceptron on the CPU, and Adam.
//
// Every array is contiguous and row-major. A weight is [inputs, outputs], the transpose of PyTorch's, so the outputs of
// a layer are adjacent in memory.
//
// Every sum adds its terms one by one in a fixed order, one fma per term, and threads share the outputs. The bits
// therefore depend neither on the instruction set nor on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sparse_inputs.h"

namespace aae {

struct Linear {
  int64_t inputs, outputs;
  float* weight;  // [inputs, outputs]
  float* bias;    // [outputs]
};

// Linear layers with ReLU between them. Layers behind a ReLU skip inputs that are 0. With sparse_inputs, the first
// layer also skips them.
struct Perceptron {
  std::vector<Linear> layers;
  bool sparse_inputs;
};

// The factors of a layer's parameter gradient: the inputs x [rows, inputs] and the gradient in the outputs.
struct LayerRows {
  const float* x;
  const float* grad_outputs;  // [rows, outputs]
  int64_t rows;
};

// The forward and backward pass of one minibatch of `rows` rows.
class Pass {
 public:
  // `outputs` and `grad_inputs` give each layer memory for its outputs [rows, outputs] and for the gradients in its
  // inputs [rows, inputs].
  Pass(const Perceptron& perceptron, int64_t rows, std::vector<float*> outputs, std::vector<float*> grad_inputs)
      : perceptron_(perceptron),
        rows_(rows),
        outputs_(std::move(outputs)),
        grad_inputs_(std::move(grad_inputs)),
        sparse_inputs_(perceptron.layers.size()),
        listed_(perceptron.layers.size()) {}

  // Computes the outputs of every layer from x [rows, inputs]. x must not change until the update.
  void forward(const float* x);

  // Computes the gradients in the inputs of every layer from grad_outputs [n, outputs], the gradient in the last n rows
  // of the last layer's outputs. grad_outputs must not change until the update. The results fill the first n rows of
  // each layer's gradients. The first layer's are computed only if `grad_inputs` is true.
  void backward(const float* grad_outputs, int64_t n, bool grad_inputs);

  // The data from the last backward pass that the update of layer i needs.
  LayerRows layer_rows(std::size_t i) const;

 private:
  // Finds the nonzero inputs of layer i, if the layer may skip zeros. Returns whether skipping them pays.
  bool find_sparse_inputs(std::size_t i);
  const float* inputs(std::size_t i) const { return i == 0 ? x_ : outputs_[i - 1]; }

  const Perceptron& perceptron_;
  const int64_t rows_;
  std::vector<float*> outputs_, grad_inputs_;
  std::vector<SparseInputs> sparse_inputs_;
  std::vector<char> listed_;  // per layer: whether the last forward pass skipped inputs
  const float *x_ = nullptr, *grad_outputs_ = nullptr;
  int64_t n_ = 0;  // rows of the last backward pass
};

// Adam's moments of a layer's parameters. Each has the shape of its parameter.
struct Moments {
  float *weight_mean, *weight_square, *bias_mean, *bias_square;
};

// One step of Adam. The rates include the bias corrections of the moments:
// mean += mean_rate (g - mean), square += square_rate (g² - square),
// parameter -= step_size mean / (root_scale sqrt(square) + epsilon).
struct AdamStep {
  float mean_rate, square_rate, step_size, root_scale, epsilon;
};

// The rates of step number `step`, counted from 1. IEEE 754 fixes the rounding of every operation used.
AdamStep adam_step(double learning_rate, double beta1, double beta2, int64_t step);

// Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1) over the parameters of one network, with epsilon 1e-8.
class Adam {
 public:
  Adam(const Perceptron& perceptron, double beta1, double beta2, std::vector<Moments> moments)
      : perceptron_(perceptron), beta1_(beta1), beta2_(beta2), moments_(std::move(moments)) {}

  // Moves the parameters by the sum of the gradients of the last backward passes. Several passes give the same bits as
  // one pass over their rows, stacked in this order.
  void update(const std::vector<const Pass*>& passes, double learning_rate);

  int64_t steps = 0;  // so far

 private:
  LayerRows stack(const std::vector<const Pass*>& passes, std::size_t layer);

  const Perceptron& perceptron_;
  const double beta1_, beta2_;
  const std::vector<Moments> moments_;                                // per layer, like the next two
  std::vector<std::vector<float>> stacked_x_, stacked_grad_outputs_;  // the rows of several passes
};

// average += rate (parameter - average), with one fma per element. Both arrays are [count].
void move_average(float* average, const float* parameter, int64_t count, float rate);

}  // namespace aae
