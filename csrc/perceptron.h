// The passes of a perceptron on the CPU, and Adam.
//
// Every array is contiguous and row-major. A weight is [inputs, outputs], the transpose of PyTorch's, so that the
// outputs of a layer lie side by side.
//
// Every sum runs over its terms one by one in their order, each term added by one fma. So the bits depend neither on
// the instruction set nor on the number of threads, which share out the outputs.
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

// Linear layers with ReLU between them. Layers behind a ReLU leave out inputs that are 0; with sparse_inputs, the first
// layer does, too.
struct Perceptron {
  std::vector<Linear> layers;
  bool sparse_inputs;
};

// What the gradient of a layer's parameters is made of: its inputs x [rows, inputs] and the gradient in its outputs.
struct LayerRows {
  const float* x;
  const float* grad_outputs;  // [rows, outputs]
  int64_t rows;
};

// One minibatch of `rows` rows on its way through a perceptron and back.
class Pass {
 public:
  // For every layer the memory of its outputs [rows, outputs] and of the gradients in its inputs [rows, inputs].
  Pass(const Perceptron& perceptron, int64_t rows, std::vector<float*> outputs, std::vector<float*> grad_inputs)
      : perceptron_(perceptron),
        rows_(rows),
        outputs_(std::move(outputs)),
        grad_inputs_(std::move(grad_inputs)),
        sparse_inputs_(perceptron.layers.size()) {}

  // From x [rows, inputs], which must stay as it is until the update, to the outputs of every layer.
  void forward(const float* x);

  // From the gradient [n, outputs] in the last n rows of the last layer's outputs, which must stay, too, to the
  // gradients in the inputs of every layer, in their first n rows; of the first layer only with `grad_inputs`.
  void backward(const float* grad_outputs, int64_t n, bool grad_inputs);

  // What the last backward pass left for the update of layer i.
  LayerRows layer_rows(std::size_t i) const;

 private:
  // Finds where the inputs of layer i are not 0, if it is one that may leave zeros out; whether that pays.
  bool find_sparse_inputs(std::size_t i);
  const float* inputs(std::size_t i) const { return i == 0 ? x_ : outputs_[i - 1]; }

  const Perceptron& perceptron_;
  const int64_t rows_;
  std::vector<float*> outputs_, grad_inputs_;
  std::vector<SparseInputs> sparse_inputs_;
  const float *x_ = nullptr, *grad_outputs_ = nullptr;
  int64_t n_ = 0;  // rows of the last backward pass
};

// Adam's moments of a layer's parameters, each of the shape of what it belongs to.
struct Moments {
  float *weight_mean, *weight_square, *bias_mean, *bias_square;
};

// One step of Adam, the corrections of the moments worked into the rates:
// mean += mean_rate (g - mean), square += square_rate (g² - square),
// parameter -= step_size mean / (root_scale sqrt(square) + epsilon).
struct AdamStep {
  float mean_rate, square_rate, step_size, root_scale, epsilon;
};

// Step number `step`, counted from 1. No operation rounds in a way that IEEE 754 leaves open.
AdamStep adam_step(double learning_rate, double beta1, double beta2, int64_t step);

// Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1) over the parameters of one network, with epsilon 1e-8.
class Adam {
 public:
  Adam(const Perceptron& perceptron, double beta1, double beta2, std::vector<Moments> moments)
      : perceptron_(perceptron), beta1_(beta1), beta2_(beta2), moments_(std::move(moments)) {}

  // Moves the parameters by the sum of the gradients that the last backward passes left. Several passes give the bits
  // of one pass over their rows, stacked in this order.
  void update(const std::vector<const Pass*>& passes, double learning_rate);

  int64_t steps = 0;  // so far

 private:
  LayerRows stack(const std::vector<const Pass*>& passes, std::size_t layer);

  const Perceptron& perceptron_;
  const double beta1_, beta2_;
  const std::vector<Moments> moments_;                                // of each layer, as are the next
  std::vector<std::vector<float>> stacked_x_, stacked_grad_outputs_;  // of several passes
};

// average += rate (parameter - average), by one fma each; both [count].
void move_average(float* average, const float* parameter, int64_t count, float rate);

}  // namespace aae
