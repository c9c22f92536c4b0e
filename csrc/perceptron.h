// The passes of a perceptron on the CPU, Adam taking each gradient as it is made.
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

// Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1) over the parameters of one network, with epsilon 1e-8.
struct Adam {
  double learning_rate, beta1, beta2;
  std::vector<Moments> moments;  // of each layer
  int64_t steps = 0;             // so far

  AdamStep next_step();
};

// Linear layers with ReLU between them. Layers behind a ReLU leave out inputs that are 0.
class Perceptron {
 public:
  // With sparse_inputs, the first layer does, too.
  Perceptron(std::vector<Linear> layers, bool sparse_inputs)
      : layers_(std::move(layers)), sparse_(sparse_inputs), sparse_inputs_(layers_.size()) {}

  // From x [n, inputs] to what every layer gives, [n, outputs] each. All of them are kept for the backward pass.
  void forward(const float* x, int64_t n, const std::vector<float*>& outputs);

  // From the gradient [n, outputs] in the last layer's outputs to in_inputs, those in what every layer takes,
  // [n, inputs] each; the first layer's only if to_inputs. Moves the parameters, unless adam is null. Of the rows of
  // the last forward pass these are the last n; the others have no part in it.
  void backward(const float* gradient, int64_t n, const std::vector<float*>& in_inputs, Adam* adam, bool to_inputs);

 private:
  // Finds where the n inputs of a layer are not 0, if it is one that may leave zeros out; whether that pays.
  bool leaves_out(std::size_t layer, int64_t n);

  std::vector<Linear> layers_;
  bool sparse_;
  std::vector<SparseInputs> sparse_inputs_;
  std::vector<const float*> inputs_;  // of every layer in the last forward pass
  int64_t n_ = 0;
};

// y [count] = e^x: e^-87 below x = -87, about where float32's normal range ends, and infinity from 88.5 on, shortly
// before float32 does.
void exponential(const float* x, float* y, int64_t count);

// Binary cross-entropy in nats of logits [n, outputs] against targets [n, outputs] in [0, 1] (or the constant
// `target`, if targets is null), summed. The gradient, times `scale`, takes the place of the logits.
double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale);

}  // namespace aae
