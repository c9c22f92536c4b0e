// The classes of aae_native that aae/backprop_cpu.py uses. Arrays are passed as addresses, as in bindings.cpp.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "losses.h"
#include "perceptron.h"

namespace perceptron {

namespace py = pybind11;

float* at(uintptr_t address) { return aae::at<float>(address); }

// The address of an array that is never empty.
float* memory_of(const char* name, uintptr_t address) {
  if (address == 0) throw std::invalid_argument(std::string(name) + " has no memory");
  return at(address);
}

std::vector<float*> at(const std::vector<uintptr_t>& addresses) {
  std::vector<float*> pointers;
  for (const uintptr_t address : addresses) pointers.push_back(at(address));
  return pointers;
}

inline void bind(py::module_& m) {
  using aae::Adam, aae::Linear, aae::Moments, aae::Pass, aae::Perceptron;
  using Addresses = std::vector<uintptr_t>;
  using py::literals::operator""_a;
  const auto release = py::call_guard<py::gil_scoped_release>();

  py::class_<Linear>(m, "Linear", "A linear layer; the weight is [inputs, outputs].")
      .def(py::init([](int64_t inputs, int64_t outputs, uintptr_t weight, uintptr_t bias) {
             return Linear{inputs, outputs, at(weight), at(bias)};
           }),
           "inputs"_a, "outputs"_a, "weight"_a, "bias"_a);

  py::class_<Perceptron>(m, "Perceptron", "Linear layers with ReLU between them.")
      .def(py::init([](std::vector<Linear> layers, bool sparse_inputs) {
             return Perceptron{std::move(layers), sparse_inputs};
           }),
           "layers"_a, "sparse_inputs"_a);

  py::class_<Pass>(m, "Pass", "A minibatch on its way through a perceptron; csrc/perceptron.h has the arguments.")
      .def(py::init([](const Perceptron& perceptron, int64_t rows, const Addresses& outputs, const Addresses& grads) {
             return Pass(perceptron, rows, at(outputs), at(grads));
           }),
           "perceptron"_a, "rows"_a, "outputs"_a, "grad_inputs"_a, py::keep_alive<1, 2>())
      .def(
          "forward", [](Pass& self, uintptr_t x) { self.forward(memory_of("x", x)); }, "x"_a, release)
      .def(
          "backward",
          [](Pass& self, uintptr_t grad_outputs, int64_t n, bool grad_inputs) {
            self.backward(memory_of("grad_outputs", grad_outputs), n, grad_inputs);
          },
          "grad_outputs"_a, "n"_a, "grad_inputs"_a, release);

  py::class_<Moments>(m, "Moments", "Adam's moments of one layer.")
      .def(py::init([](uintptr_t weight_mean, uintptr_t weight_square, uintptr_t bias_mean, uintptr_t bias_square) {
             return Moments{at(weight_mean), at(weight_square), at(bias_mean), at(bias_square)};
           }),
           "weight_mean"_a, "weight_square"_a, "bias_mean"_a, "bias_square"_a);

  py::class_<Adam>(m, "Adam", "Adam over the parameters of one network; `steps` is how many it has made.")
      .def(py::init<const Perceptron&, double, double, std::vector<Moments>>(), "perceptron"_a, "beta1"_a, "beta2"_a,
           "moments"_a, py::keep_alive<1, 2>())
      .def("update", &Adam::update, "passes"_a, "learning_rate"_a, release)
      .def_readwrite("steps", &Adam::steps);
  m.def(
      "adam_rates",
      [](double learning_rate, double beta1, double beta2, int64_t step) {
        const aae::AdamStep rates = aae::adam_step(learning_rate, beta1, beta2, step);
        return py::make_tuple(rates.step_size, rates.root_scale);
      },
      "The step size and the scale of the root, as Adam corrects them at step `step`, counted from 1.",
      "learning_rate"_a, "beta1"_a, "beta2"_a, "step"_a);
  m.def(
      "move_average",
      [](uintptr_t average, uintptr_t parameter, int64_t count, float rate) {
        aae::move_average(at(average), at(parameter), count, rate);
      },
      "average"_a, "parameter"_a, "count"_a, "rate"_a, release);

  m.def(
      "cross_entropy",
      [](uintptr_t logits, uintptr_t targets, float target, int64_t n, int64_t outputs, float scale) {
        return aae::cross_entropy(memory_of("logits", logits), at(targets), target, n, outputs, scale);
      },
      "logits"_a, "targets"_a, "target"_a, "n"_a, "outputs"_a, "scale"_a, release);
  m.def(
      "sample_posterior",
      [](uintptr_t posterior, uintptr_t noise, uintptr_t codes, int64_t n, int64_t size) {
        aae::sample_posterior(memory_of("posterior", posterior), memory_of("noise", noise), at(codes), n, size);
      },
      "posterior"_a, "noise"_a, "codes"_a, "n"_a, "size"_a);
  m.def(
      "posterior_gradient",
      [](uintptr_t posterior, uintptr_t noise, uintptr_t grad_codes, double prior_std, uintptr_t kl,
         uintptr_t grad_posterior, int64_t n, int64_t size) {
        aae::posterior_gradient(memory_of("posterior", posterior), memory_of("noise", noise),
                                memory_of("grad_codes", grad_codes), prior_std, at(kl), at(grad_posterior), n, size);
      },
      "posterior"_a, "noise"_a, "grad_codes"_a, "prior_std"_a, "kl"_a, "grad_posterior"_a, "n"_a, "size"_a);
}

}  // namespace perceptron
