// The classes of aae_native that aae/backprop_cpu.py uses. Arrays come as addresses, as in bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>
#include <vector>

#include "bindings.h"
#include "perceptron.h"

namespace perceptron {

namespace py = pybind11;

float* at(uintptr_t address) { return aae::at<float>(address); }

std::vector<float*> at(const std::vector<uintptr_t>& addresses) {
  std::vector<float*> pointers;
  for (const uintptr_t address : addresses) pointers.push_back(at(address));
  return pointers;
}

inline void bind(py::module_& m) {
  using aae::Adam, aae::Linear, aae::Moments, aae::Perceptron;
  using Addresses = std::vector<uintptr_t>;
  using py::literals::operator""_a;
  const auto release = py::call_guard<py::gil_scoped_release>();

  py::class_<Linear>(m, "Linear", "A linear layer; the weight is [inputs, outputs].")
      .def(py::init([](int64_t inputs, int64_t outputs, uintptr_t weight, uintptr_t bias) {
             return Linear{inputs, outputs, at(weight), at(bias)};
           }),
           "inputs"_a, "outputs"_a, "weight"_a, "bias"_a);

  py::class_<Moments>(m, "Moments", "Adam's moments of one layer.")
      .def(py::init([](uintptr_t weight_mean, uintptr_t weight_square, uintptr_t bias_mean, uintptr_t bias_square) {
             return Moments{at(weight_mean), at(weight_square), at(bias_mean), at(bias_square)};
           }),
           "weight_mean"_a, "weight_square"_a, "bias_mean"_a, "bias_square"_a);

  py::class_<Adam>(m, "Adam", "Adam over the parameters of one network; `steps` is how many it has made.")
      .def(py::init([](double learning_rate, double beta1, double beta2, std::vector<Moments> moments) {
             return Adam{learning_rate, beta1, beta2, std::move(moments)};
           }),
           "learning_rate"_a, "beta1"_a, "beta2"_a, "moments"_a)
      .def_readwrite("steps", &Adam::steps);

  py::class_<Perceptron>(m, "Perceptron", "Linear layers with ReLU between them; csrc/perceptron.h has the arguments.")
      .def(py::init<std::vector<Linear>, bool>(), "layers"_a, "sparse_inputs"_a)
      .def("forward",
           [](Perceptron& self, uintptr_t x, int64_t n, const Addresses& outputs) {
             self.forward(at(x), n, at(outputs));
           },
           "x"_a, "n"_a, "outputs"_a, release)
      .def("backward",
           [](Perceptron& self, uintptr_t gradient, int64_t n, const Addresses& in_inputs, Adam* adam, bool to_inputs) {
             self.backward(at(gradient), n, at(in_inputs), adam, to_inputs);
           },
           "gradient"_a, "n"_a, "in_inputs"_a, "adam"_a.none(true), "to_inputs"_a, release);

  m.def("exponential", [](uintptr_t x, uintptr_t y, int64_t count) { aae::exponential(at(x), at(y), count); }, "x"_a,
        "y"_a, "count"_a, release);
  m.def("cross_entropy",
        [](uintptr_t logits, uintptr_t targets, float target, int64_t n, int64_t outputs, float scale) {
          return aae::cross_entropy(at(logits), at(targets), target, n, outputs, scale);
        },
        "logits"_a, "targets"_a, "target"_a, "n"_a, "outputs"_a, "scale"_a, release);
}

}  // namespace perceptron
