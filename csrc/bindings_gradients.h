// The functions of csrc/gradients.h. Arrays are passed as addresses, as in bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings.h"
#include "gradients.h"

namespace gradients {

namespace py = pybind11;

inline void bind(py::module_& m) {
  using aae::at;
  using py::literals::operator""_a;
  const auto release = py::call_guard<py::gil_scoped_release>();

  m.def(
      "layer_gradient",
      [](uintptr_t x, uintptr_t grad_outputs, int64_t rows, int64_t inputs, int64_t outputs, bool sparse_inputs,
         uintptr_t weight, uintptr_t bias) {
        const aae::LayerRows of{at<float>(x), at<float>(grad_outputs), rows};
        aae::layer_gradient(of, inputs, outputs, sparse_inputs, at<float>(weight), at<float>(bias));
      },
      "x"_a, "grad_outputs"_a, "rows"_a, "inputs"_a, "outputs"_a, "sparse_inputs"_a, "weight"_a, "bias"_a, release);
  m.def(
      "apply_adam",
      [](uintptr_t parameter, uintptr_t mean, uintptr_t square, uintptr_t gradient, int64_t count, double learning_rate,
         double beta1, double beta2, int64_t step) {
        aae::apply_adam(at<float>(parameter), at<float>(mean), at<float>(square), at<float>(gradient), count,
                        aae::adam_step(learning_rate, beta1, beta2, step));
      },
      "parameter"_a, "mean"_a, "square"_a, "gradient"_a, "count"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "step"_a,
      release);
}

}  // namespace gradients
