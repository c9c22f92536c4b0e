// The loops of gradients.h, a part of perceptron_loops.h. Every sum has the terms and the order of the updates there.
#pragma once

namespace aae {
namespace {

struct Gradient {
  float* to;
  int64_t stride;

  Vector start(int64_t i, int64_t j, int64_t) const {
    will_write(to, i * stride + j);
    return Vector::all(0.0f);
  }
  void take(int64_t i, int64_t j, Vector sums, int64_t count) const { store(sums, to + i * stride + j, count); }
};

void weight_gradient(const LayerRows& of, int64_t inputs, int64_t outputs, bool sparse, float* weight,
                     Range some_inputs, Range some_outputs) {
  const Gradient gradient{weight, outputs};
  if (sparse)
    return multiply_listed<kSparseRows, kSparseVectors>(of.x, inputs, of, outputs, some_inputs, some_outputs, gradient);
  multiply_by_rows<kRows, kVectors>(Left<true>{of.x, inputs}, some_inputs,
                                    Right<false>{of.grad_outputs, outputs, of.rows}, some_outputs, AllTerms{of.rows},
                                    gradient);
}

void gradient(const LayerRows& of, int64_t inputs, int64_t outputs, bool sparse, float* weight, float* bias,
              Range some_inputs, Range some_outputs) {
  const int64_t first = some_outputs.begin, size = some_outputs.end - first;
  if (inputs <= kFew) {  // of all inputs
    float* const sums = buffer<1>((inputs + 1) * outputs);
    few_sums(of.x, inputs, of.grad_outputs, outputs, of.rows, some_outputs, sums);
    for (int64_t i = 0; i < inputs; ++i) std::copy_n(sums + i * outputs + first, size, weight + i * outputs + first);
    std::copy_n(sums + inputs * outputs + first, size, bias + first);
    return;
  }
  if (outputs <= kFew) {
    float* const sums = buffer<1>((outputs + 1) * inputs);  // of the weight's transpose
    few_sums(of.grad_outputs, outputs, of.x, inputs, of.rows, some_inputs, sums);
    for (int64_t i = some_inputs.begin; i < some_inputs.end; ++i)
      for (int64_t j = 0; j < outputs; ++j) weight[i * outputs + j] = sums[j * inputs + i];
  } else {
    weight_gradient(of, inputs, outputs, sparse, weight, some_inputs, some_outputs);
  }
  if (some_inputs.begin == 0) few_sums(nullptr, 0, of.grad_outputs, outputs, of.rows, some_outputs, bias);
}

void apply_adam(float* parameter, float* mean, float* square, const float* gradient, const AdamStep& adam, Range some) {
  const Parameters parameters{parameter, mean, square, 0, adam};
  for (int64_t j = some.begin; j < some.end; j += kWidth)
    parameters.take(0, j, load(gradient + j, some.end - j), some.end - j);
}

}  // namespace
}  // namespace aae
