// The Python module aae_native. Arrays come as addresses and sizes, so the module needs no torch and serves
// any version of it; aae/ops.py makes the arrays and checks every argument.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/isa.h"
#include "kernels.h"

#if defined(__clang__)
#define AAE_COMPILER "clang " __clang_version__
#else
#define AAE_COMPILER "gcc " __VERSION__
#endif

namespace py = pybind11;

void bind_items(py::module_& m);  // bindings_items.cpp

namespace {

template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

aae::Prior make_prior(const std::string& kind, const std::vector<float>& parameters, int64_t dim) {
  if (kind == "normal" && parameters.size() == 1) {
    aae::Prior prior{};
    prior.kind = aae::PriorKind::normal;
    prior.dim = dim;
    prior.std = parameters[0];
    return prior;
  }
  throw std::invalid_argument("aae_native: no prior '" + kind + "' with " +
                              std::to_string(parameters.size()) + " parameters");
}

void philox4x32(uintptr_t counter, uintptr_t key, uintptr_t words, int64_t n) {
  py::gil_scoped_release release;
  aae::philox4x32_cpu(at<int64_t>(counter), at<int64_t>(key), at<int64_t>(words), n);
}

void sample_prior(const std::string& kind, const std::vector<float>& parameters, uintptr_t out, int64_t n,
                  int64_t dim, uint64_t seed, uint64_t step, uint32_t stream, int64_t offset) {
  const aae::Prior prior = make_prior(kind, parameters, dim);
  py::gil_scoped_release release;
  aae::sample_prior_cpu(prior, at<float>(out), n, {seed, step, stream}, offset);
}

void assemble_discriminator_batch(const std::string& kind, const std::vector<float>& parameters,
                                  uintptr_t codes, uintptr_t batch, uintptr_t targets, int64_t n_codes,
                                  int64_t n_prior, int64_t dim, uint64_t seed, uint64_t step, uint32_t stream,
                                  int64_t offset) {
  const aae::Prior prior = make_prior(kind, parameters, dim);
  py::gil_scoped_release release;
  aae::assemble_discriminator_batch_cpu(prior, at<float>(codes), at<float>(batch), at<float>(targets),
                                        n_codes, n_prior, {seed, step, stream}, offset);
}

void draw_minibatch(uintptr_t images, int64_t n_images, int64_t pixels, uintptr_t out, uintptr_t indices,
                    int64_t n, uint64_t seed, uint64_t step, uint32_t stream, int64_t offset) {
  py::gil_scoped_release release;
  aae::draw_minibatch_cpu(at<uint8_t>(images), n_images, pixels, at<float>(out), at<int64_t>(indices), n,
                          {seed, step, stream}, offset);
}

void uniform(uintptr_t words, uintptr_t out, int64_t n) {
  py::gil_scoped_release release;
  aae::uniform_cpu(at<uint32_t>(words), at<float>(out), n);
}

void log32(uintptr_t u, uintptr_t out, int64_t n) {
  py::gil_scoped_release release;
  aae::log32_cpu(at<float>(u), at<float>(out), n);
}

void cos_sin_turn(uintptr_t words, uintptr_t cos, uintptr_t sin, int64_t n) {
  py::gil_scoped_release release;
  aae::cos_sin_turn_cpu(at<uint32_t>(words), at<float>(cos), at<float>(sin), n);
}

void normal_from_words(uintptr_t words, uintptr_t out, int64_t pairs, float std) {
  py::gil_scoped_release release;
  aae::normal_from_words_cpu(at<uint32_t>(words), at<float>(out), pairs, std);
}

py::dict build_info() {
  py::dict info;
  info["compiler"] = AAE_COMPILER;
  info["flags"] = AAE_FLAGS;
  info["source_digest"] = AAE_SOURCE_DIGEST;
  info["isa"] = aae::isa_name(aae::current_isa());
  info["available_isas"] = aae::available_isas();
#if defined(AAE_CUDA_TOOLKIT)
  info["cuda"] = true;
  info["cuda_toolkit"] = AAE_CUDA_TOOLKIT;
  info["cuda_architectures"] = AAE_CUDA_ARCHITECTURES;
  info["cuda_flags"] = AAE_CUDA_FLAGS;
#else
  info["cuda"] = false;
#endif
  info["cuda_reason"] = AAE_CUDA_REASON;
  return info;
}

}  // namespace

PYBIND11_MODULE(aae_native, m) {
  using py::literals::operator""_a;
  m.doc() =
      "Random minibatches, prior samples and discriminator batches. Use aae.ops, which checks the arguments.";

  m.def("philox4x32", &philox4x32, "counter"_a, "key"_a, "words"_a, "n"_a);
  m.def("sample_prior", &sample_prior, "kind"_a, "parameters"_a, "out"_a, "n"_a, "dim"_a, "seed"_a, "step"_a,
        "stream"_a, "offset"_a);
  m.def("assemble_discriminator_batch", &assemble_discriminator_batch, "kind"_a, "parameters"_a, "codes"_a,
        "batch"_a, "targets"_a, "n_codes"_a, "n_prior"_a, "dim"_a, "seed"_a, "step"_a, "stream"_a,
        "offset"_a);
  m.def("draw_minibatch", &draw_minibatch, "images"_a, "n_images"_a, "pixels"_a, "out"_a, "indices"_a, "n"_a,
        "seed"_a, "step"_a, "stream"_a, "offset"_a);

  bind_items(m);

  m.def("uniform", &uniform, "words"_a, "out"_a, "n"_a);
  m.def("log32", &log32, "u"_a, "out"_a, "n"_a);
  m.def("cos_sin_turn", &cos_sin_turn, "words"_a, "cos"_a, "sin"_a, "n"_a);
  m.def("normal_from_words", &normal_from_words, "words"_a, "out"_a, "pairs"_a, "std"_a);

  m.def("build_info", &build_info, "How this module was built, and the instruction set that it uses here.");
  m.def("set_isa", &aae::set_isa, "name"_a,
        "Use another of build_info()['available_isas']: the same bits, slower.");
}
