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

// --- forward and backward ---

bool Pass::find_sparse_inputs(size_t i) {
  const Linear& layer = perceptron_.layers[i];
  if (i == 0 ? !perceptron_.sparse_inputs : layer.inputs <= kFew || layer.outputs <= kFew) return false;
  // A unit behind a two-dimensional code is active on a half-plane, so codes in similar directions use the same units.
  const int64_t width = i == 0 ? 0 : perceptron_.layers[i - 1].inputs;
  const bool behind_code = width >= 2 && width <= kFew;
  const int64_t block = i == 0 ? perceptron_loops().sparse_block : perceptron_loops().block;
  sparse_inputs_[i].find_columns(inputs(i), rows_, layer.inputs, block, behind_code ? inputs(i - 1) : nullptr, width);
  return i == 0 || sparse_inputs_[i].few_columns_used();
}

void Pass::forward(const float* x) {
  x_ = x;
  for (size_t i = 0; i < perceptron_.layers.size(); ++i) {
    const Linear& layer = perceptron_.layers[i];
    listed_[i] = find_sparse_inputs(i);
    const bool sparse = listed_[i], relu = i + 1 < perceptron_.layers.size();
    // Each thread reads separate columns of the weight.
    share(By::columns, rows_, layer.outputs, [&](Range rows, Range outputs) {
      if (sparse) perceptron_loops().forward_sparse(layer, sparse_inputs_[i], outputs_[i], rows, outputs, relu);
      else perceptron_loops().forward(layer, inputs(i), outputs_[i], rows, outputs, relu);
    });
  }
}

LayerRows Pass::layer_rows(size_t i) const {
  const bool last = i + 1 == perceptron_.layers.size();
  return {inputs(i) + (rows_ - n_) * perceptron_.layers[i].inputs, last ? grad_outputs_ : grad_inputs_[i + 1], n_};
}

void Pass::backward(const float* grad_outputs, int64_t n, bool grad_inputs) {
  grad_outputs_ = grad_outputs;
  n_ = n;
  for (size_t i = perceptron_.layers.size(); i-- > (grad_inputs ? 0 : 1);) {
    const Linear& layer = perceptron_.layers[i];
    const bool listed = i > 0 && listed_[i] && n == rows_;
    share(By::columns, n, layer.inputs, [&](Range rows, Range inputs) {
      if (listed)
        perceptron_loops().backward_listed(layer, layer_rows(i), sparse_inputs_[i], grad_inputs_[i], rows, inputs);
      else perceptron_loops().backward(layer, layer_rows(i), grad_inputs_[i], rows, inputs, i > 0);
    });
  }
}

// --- Adam ---

namespace {

// base^exponent, rounded once. The products have twice the precision of a double. A library's pow would not do, because
// libraries round it differently. Each number is the sum of a double and a rest, multiplied by Dekker's algorithm.
double power(double base, int64_t exponent) {
  struct Double {
    double value, rest;
    Double operator*(Double b) const {
      const double product = value * b.value;
      const double lacking = std::fma(value, b.value, -product) + (value * b.rest + rest * b.value);
      const double sum = product + lacking;
      return {sum, lacking - (sum - product)};
    }
  };
  Double result{1.0, 0.0}, square{base, 0.0};
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = result * square;
    square = square * square;
  }
  return result.value;
}

}  // namespace

AdamStep adam_step(double learning_rate, double beta1, double beta2, int64_t step) {
  return {static_cast<float>(1 - beta1), static_cast<float>(1 - beta2),
          static_cast<float>(learning_rate / (1 - power(beta1, step))),
          static_cast<float>(1 / std::sqrt(1 - power(beta2, step))), 1e-8f};
}

LayerRows Adam::stack(const std::vector<const Pass*>& passes, size_t i) {
  if (passes.size() == 1) return passes[0]->layer_rows(i);
  const Linear& layer = perceptron_.layers[i];
  stacked_x_.resize(perceptron_.layers.size());
  stacked_grad_outputs_.resize(perceptron_.layers.size());
  std::vector<float>&x = stacked_x_[i], &grad_outputs = stacked_grad_outputs_[i];
  x.clear();
  grad_outputs.clear();
  int64_t rows = 0;
  for (const Pass* pass : passes) {
    const LayerRows part = pass->layer_rows(i);
    x.insert(x.end(), part.x, part.x + part.rows * layer.inputs);
    grad_outputs.insert(grad_outputs.end(), part.grad_outputs, part.grad_outputs + part.rows * layer.outputs);
    rows += part.rows;
  }
  return {x.data(), grad_outputs.data(), rows};
}

void Adam::update(const std::vector<const Pass*>& passes, double learning_rate) {
  const AdamStep step = adam_step(learning_rate, beta1_, beta2_, ++steps);
  const std::vector<Linear>& layers = perceptron_.layers;
  std::vector<LayerRows> rows;
  for (size_t i = 0; i < layers.size(); ++i) rows.push_back(stack(passes, i));
  // All layers run in one parallel loop, because waking threads costs microseconds. Each thread updates separate rows
  // of the weight. If threads shared rows, each would prefetch what another is about to write.
  const PerceptronLoops& loops = perceptron_loops();
  const int64_t parts = threads();
  parallel_for(parts, [&](int64_t part) {
    for (size_t i = layers.size(); i-- > 0;)
      do_part(By::rows, layers[i].inputs, layers[i].outputs, part, parts, [&](Range inputs, Range outputs) {
        const Linear& layer = layers[i];
        if (layer.inputs <= kFew) return loops.update_few_inputs(layer, rows[i], moments_[i], step, outputs);
        const bool sparse = i == 0 && perceptron_.sparse_inputs, sorted = i > 0 && layer.outputs > kFew;
        const auto update = sparse ? loops.update_sparse : sorted ? loops.update_sorted : loops.update;
        update(layer, rows[i], moments_[i], step, inputs, outputs);
        if (inputs.begin == 0) loops.update_bias(layer, rows[i], moments_[i], step, outputs);
      });
  });
}

void move_average(float* average, const float* parameter, int64_t count, float rate) {
  share(By::columns, 1, count,
        [&](Range, Range some) { perceptron_loops().move_average(average, parameter, rate, some); });
}

}  // namespace aae
