// The classes of aae_native that aae/backprop_cpu.py uses. Arrays come as addresses, as in bindings.cpp.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "perceptron.h"

namespace py = pybind11;

namespace {

float* at(uintptr_t address) { return aae::at<float>(address); }

}  // namespace

void bind_perceptron(py::module_& m) {
  using aae::AdamStep, aae::Linear, aae::Moments, aae::SparseInputs;
  using py::literals::operator""_a;
  const auto release = py::call_guard<py::gil_scoped_release>();

  py::class_<AdamStep>(m, "AdamStep", "The rates of one step of Adam; csrc/perceptron.h says how they are applied.")
      .def(py::init<float, float, float, float, float>(), "mean_rate"_a, "square_rate"_a, "step_size"_a,
           "root_scale"_a, "epsilon"_a);

  py::class_<Moments>(m, "Moments", "Adam's moments of one layer.")
      .def(py::init([](uintptr_t weight_mean, uintptr_t weight_square, uintptr_t bias_mean, uintptr_t bias_square) {
             return Moments{at(weight_mean), at(weight_square), at(bias_mean), at(bias_square)};
           }),
           "weight_mean"_a, "weight_square"_a, "bias_mean"_a, "bias_square"_a);

  py::class_<SparseInputs>(m, "SparseInputs", "A layer's inputs, and where they are not 0.")
      .def(py::init<>())
      .def("find", [](SparseInputs& self, uintptr_t x, int64_t n, int64_t inputs) { self.find(at(x), n, inputs); },
           "x"_a, "n"_a, "inputs"_a, release);

  py::class_<Linear>(m, "Linear", "A linear layer; the weight is [inputs, outputs].")
      .def(py::init([](int64_t inputs, int64_t outputs, uintptr_t weight, uintptr_t bias) {
             return Linear{inputs, outputs, at(weight), at(bias)};
           }),
           "inputs"_a, "outputs"_a, "weight"_a, "bias"_a)
      .def("forward",
           [](const Linear& self, uintptr_t x, uintptr_t y, int64_t n, bool relu) {
             aae::linear_forward(self, at(x), at(y), n, relu);
           },
           "x"_a, "y"_a, "n"_a, "relu"_a, release)
      .def("forward",
           [](const Linear& self, const SparseInputs& x, uintptr_t y, bool relu) {
             aae::linear_forward(self, x, at(y), relu);
           },
           "x"_a, "y"_a, "relu"_a, release)
      .def("backward",
           [](const Linear& self, uintptr_t gradient, uintptr_t x, uintptr_t in_inputs, int64_t n, bool relu) {
             aae::linear_backward(self, at(gradient), at(x), at(in_inputs), n, relu);
           },
           "gradient"_a, "x"_a, "in_inputs"_a, "n"_a, "relu"_a, release)
      .def("update",
           [](const Linear& self, uintptr_t x, uintptr_t gradient, int64_t n, const Moments& moments,
              const AdamStep& adam) { aae::linear_update(self, at(x), at(gradient), n, moments, adam); },
           "x"_a, "gradient"_a, "n"_a, "moments"_a, "adam"_a, release)
      .def("update",
           [](const Linear& self, SparseInputs& x, uintptr_t gradient, const Moments& moments, const AdamStep& adam) {
             aae::linear_update(self, x, at(gradient), moments, adam);
           },
           "x"_a, "gradient"_a, "moments"_a, "adam"_a, release);

  m.def("cross_entropy",
        [](uintptr_t logits, uintptr_t targets, float target, int64_t n, int64_t outputs, float scale) {
          return aae::cross_entropy(at(logits), at(targets), target, n, outputs, scale);
        },
        "logits"_a, "targets"_a, "target"_a, "n"_a, "outputs"_a, "scale"_a, release);
}
