#include "../perceptron.h"

#include <cmath>
#include <vector>

#include "isa.h"
#include "perceptron_isa.h"
#include "perceptron_share.h"

namespace aae {

const PerceptronLoops& perceptron_loops() {
#if defined(__x86_64__)
  if (current_isa() == Isa::avx512) return perceptron_avx512;
  if (current_isa() == Isa::avx2) return perceptron_avx2;
#endif
  return perceptron_portable;
}

namespace {

// y [n, outputs] = x [n, inputs] weight + bias, negative outputs set to 0 if `relu`. Each thread reads columns of the
// weight of its own.
void linear_forward(const Linear& layer, const float* x, float* y, int64_t n, bool relu) {
  share(By::columns, n, layer.outputs,
        [&](Range rows, Range outputs) { perceptron_loops().forward(layer, x, y, rows, outputs, relu); });
}

void linear_forward(const Linear& layer, const SparseInputs& x, float* y, bool relu) {
  share(By::columns, x.rows, layer.outputs,
        [&](Range rows, Range outputs) { perceptron_loops().forward_sparse(layer, x, y, rows, outputs, relu); });
}

// From gradient [n, outputs] in a layer's outputs to that in its inputs [n, inputs]. If `relu`, x [n, inputs] came out
// of a ReLU, and where it is 0 the gradient is too.
void linear_backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, int64_t n,
                     bool relu) {
  share(By::columns, n, layer.inputs, [&](Range rows, Range inputs) {
    perceptron_loops().backward(layer, gradient, x, in_inputs, rows, inputs, relu);
  });
}

// Moves the layer's parameters by the gradient that x [n, inputs] and gradient [n, outputs] make. Each thread goes
// through memory that no other touches: side by side, each would fetch ahead what the other is about to write.
void linear_update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam) {
  share(By::rows, layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    perceptron_loops().update(layer, x, gradient, n, moments, adam, inputs, outputs);
    if (inputs.begin == 0) perceptron_loops().update_bias(layer, gradient, n, moments, adam, outputs);
  });
}

void linear_update(const Linear& layer, SparseInputs& x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam) {
  x.find_rows(n);
  share(By::rows, layer.inputs, layer.outputs, [&](Range inputs, Range outputs) {
    perceptron_loops().update_sparse(layer, x, gradient, moments, adam, inputs, outputs);
    if (inputs.begin == 0) perceptron_loops().update_bias(layer, gradient, n, moments, adam, outputs);
  });
}

}  // namespace

AdamStep Adam::next_step() {
  ++steps;
  return {static_cast<float>(1 - beta1), static_cast<float>(1 - beta2),
          static_cast<float>(learning_rate / (1 - std::pow(beta1, steps))),
          static_cast<float>(std::pow(1 - std::pow(beta2, steps), -0.5)), 1e-8f};
}

bool Perceptron::leaves_out(size_t i, int64_t n) {
  const Linear& layer = layers_[i];
  if (i == 0 ? !sparse_ : layer.inputs <= kFew || layer.outputs <= kFew) return false;
  // Behind a code of two numbers a ReLU lets through a half-plane, so codes in similar directions use the same units.
  const bool behind_code = i > 0 && layers_[i - 1].inputs >= 2 && layers_[i - 1].inputs <= kFew;
  const int64_t block = i == 0 ? perceptron_loops().sparse_block : perceptron_loops().block;
  sparse_inputs_[i].find_columns(inputs_[i], n, layer.inputs, block, behind_code ? inputs_[i - 1] : nullptr,
                                 behind_code ? layers_[i - 1].inputs : 0);
  return i == 0 || sparse_inputs_[i].few_columns_used();
}

void Perceptron::forward(const float* x, int64_t n, const std::vector<float*>& outputs) {
  n_ = n;
  inputs_.assign(1, x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool relu = i + 1 < layers_.size();
    if (leaves_out(i, n)) linear_forward(layers_[i], sparse_inputs_[i], outputs[i], relu);
    else linear_forward(layers_[i], inputs_[i], outputs[i], n, relu);
    inputs_.push_back(outputs[i]);
  }
}

void Perceptron::backward(const float* gradient, int64_t n, const std::vector<float*>& in_inputs, Adam* adam,
                          bool to_inputs) {
  const AdamStep step = adam ? adam->next_step() : AdamStep{};
  for (size_t i = layers_.size(); i-- > 0;) {
    const Linear& layer = layers_[i];
    const float* x = inputs_[i] + (n_ - n) * layer.inputs;
    if (i > 0 || to_inputs) linear_backward(layer, gradient, x, in_inputs[i], n, i > 0);  // before the weights move
    if (adam && i == 0 && sparse_) linear_update(layer, sparse_inputs_[0], gradient, n, adam->moments[0], step);
    else if (adam) linear_update(layer, x, gradient, n, adam->moments[i], step);
    gradient = in_inputs[i];
  }
}

void exponential(const float* x, float* y, int64_t count) { perceptron_loops().exponential(x, y, {0, count}); }

double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale) {
  std::vector<double> losses(n);
  share(By::rows, n, 1, [&](Range rows, Range) {
    perceptron_loops().cross_entropy(logits, targets, target, outputs, scale, rows, losses.data());
  });
  double sum = 0.0;
  for (double loss : losses) sum += loss;
  return sum;
}

}  // namespace aae
