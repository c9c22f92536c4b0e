// The Python module aae_native. Arrays are passed as addresses and sizes, so the module does not need torch and works
// with any version of it. aae/ops.py creates the arrays and checks every argument. The other parts of the bindings are
// headers, because compiling pybind11 takes longer than compiling them.
#include "bindings.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings_gradients.h"
#include "bindings_items.h"
#include "bindings_perceptron.h"
#include "cpu/cores.h"
#include "cpu/isa.h"
#include "cpu/threads.h"
#include "kernels.h"

#if defined(__clang__)
#define AAE_COMPILER "clang " __clang_version__
#else
#define AAE_COMPILER "gcc " __VERSION__
#endif

namespace py = pybind11;

namespace {

using aae::at;

void check_labels(const char* op, uintptr_t labels, int64_t n, int32_t classes) {
  const int64_t* const label = at<int64_t>(labels);
  for (int64_t i = 0; label != nullptr && i < n; ++i)
    if (label[i] < 0 || label[i] >= classes)
      throw std::invalid_argument(std::string(op) + ": labels must be within [0, " + std::to_string(classes) +
                                  "), got " + std::to_string(label[i]) + " at " + std::to_string(i));
}

// This many values take about ten microseconds. For less work, releasing the interpreter's lock does not pay.
constexpr int64_t kLong = 1 << 14;

class ReleaseGilIfLong {
 public:
  explicit ReleaseGilIfLong(int64_t values) {
    if (values >= kLong) release_.emplace();
  }

 private:
  std::optional<py::gil_scoped_release> release_;
};

void sample_prior(const aae::Prior& prior, uintptr_t labels, uintptr_t out, int64_t n, uint64_t seed, uint64_t step,
                  uint32_t stream, int64_t offset) {
  aae::check_sample_prior_arrays(prior, labels, out, n);
  check_labels("sample_prior", labels, n, prior.classes);
  const ReleaseGilIfLong gil(n * prior.dim);
  aae::sample_prior_cpu(prior, at<int64_t>(labels), at<float>(out), n, {seed, step, stream}, offset);
}

void assemble_discriminator_batch(const aae::Prior& prior, uintptr_t codes, uintptr_t labels, uintptr_t batch,
                                  uintptr_t targets, int64_t n_codes, int64_t n_prior, uint64_t seed, uint64_t step,
                                  uint32_t stream, int64_t offset) {
  aae::check_discriminator_batch_arrays(prior, codes, labels, batch, targets, n_codes, n_prior);
  check_labels("assemble_discriminator_batch", labels, n_codes, prior.classes);
  const ReleaseGilIfLong gil((n_codes + n_prior) * prior.dim);
  aae::assemble_discriminator_batch_cpu(prior, at<float>(codes), at<int64_t>(labels), at<float>(batch),
                                        at<float>(targets), n_codes, n_prior, {seed, step, stream}, offset);
}

void draw_minibatch(uintptr_t images, int64_t n_images, int64_t pixels, uintptr_t out, uintptr_t indices, int64_t n,
                    uint64_t seed, uint64_t step, uint32_t stream, int64_t offset) {
  aae::check_minibatch_arrays(images, n_images, pixels, out, indices, n);
  const ReleaseGilIfLong gil(n * (pixels + 1));
  aae::draw_minibatch_cpu(at<uint8_t>(images), n_images, pixels, at<float>(out), at<int64_t>(indices), n,
                          {seed, step, stream}, offset);
}

aae::Prior make_prior(const std::string& kind, int64_t dim, int32_t classes, const std::vector<float>& parameters) {
  aae::Prior prior{};
  prior.dim = dim;
  prior.classes = classes;
  const auto is = [&](const char* name, size_t count) { return kind == name && parameters.size() == count; };
  if (is("normal", 1)) {
    prior.kind = aae::PriorKind::normal;
    prior.std = parameters[0];
  } else if (is("uniform", 1)) {
    prior.kind = aae::PriorKind::uniform;
    prior.bound = parameters[0];
  } else if (is("mixture", 3) && dim == 2) {
    prior.kind = aae::PriorKind::mixture;
    prior.radius = parameters[0];
    prior.radial_std = parameters[1];
    prior.tangential_std = parameters[2];
  } else if (is("swiss_roll", 2) && dim == 2) {
    prior.kind = aae::PriorKind::swiss_roll;
    prior.radius = parameters[0];
    prior.turns = parameters[1];
  } else {
    throw std::invalid_argument("aae_native: no prior '" + kind + "' of dimension " + std::to_string(dim) + " with " +
                                std::to_string(parameters.size()) + " parameters");
  }
  return prior;
}

void philox4x32(uintptr_t counter, uintptr_t key, uintptr_t words, int64_t n) {
  py::gil_scoped_release release;
  aae::philox4x32_cpu(at<int64_t>(counter), at<int64_t>(key), at<int64_t>(words), n);
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

void set_threads(int64_t n) {
  if (n < 1 || n > aae::kMostThreads)
    throw std::invalid_argument("set_threads: n must be from 1 to " + std::to_string(aae::kMostThreads) + ", got " +
                                std::to_string(n));
  const py::gil_scoped_release release;  // a loop that another thread runs must end first
  aae::set_threads(static_cast<int>(n));
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
  m.doc() = "Random minibatches, prior samples and discriminator batches. Use aae.ops, which checks the arguments.";

  m.def("philox4x32", &philox4x32, "counter"_a, "key"_a, "words"_a, "n"_a);
  py::class_<aae::Prior>(m, "Prior", "A prior as the kernels know it.")
      .def(py::init(&make_prior), "kind"_a, "dim"_a, "classes"_a, "parameters"_a);
  m.def("sample_prior", &sample_prior, "prior"_a, "labels"_a, "out"_a, "n"_a, "seed"_a, "step"_a, "stream"_a,
        "offset"_a);
  m.def("assemble_discriminator_batch", &assemble_discriminator_batch, "prior"_a, "codes"_a, "labels"_a, "batch"_a,
        "targets"_a, "n_codes"_a, "n_prior"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a);
  m.def("draw_minibatch", &draw_minibatch, "images"_a, "n_images"_a, "pixels"_a, "out"_a, "indices"_a, "n"_a, "seed"_a,
        "step"_a, "stream"_a, "offset"_a);

  items::bind(m);

  m.def("uniform", &uniform, "words"_a, "out"_a, "n"_a);
  m.def("log32", &log32, "u"_a, "out"_a, "n"_a);
  m.def("cos_sin_turn", &cos_sin_turn, "words"_a, "cos"_a, "sin"_a, "n"_a);
  m.def("normal_from_words", &normal_from_words, "words"_a, "out"_a, "pairs"_a, "std"_a);

  perceptron::bind(m);
  gradients::bind(m);

  m.def("build_info", &build_info, "How this module was built, and the instruction set that it uses here.");
  m.def("set_isa", &aae::set_isa, "name"_a, "Use another of build_info()['available_isas']: the same bits, slower.");
  m.def("available_cores", &aae::available_cores,
        "How many cores this process may use: the least of its affinity and its control groups' quotas, at least 1.");
  m.def("quota_in_cores", &aae::quota_in_cores, "root"_a, "groups"_a,
        "The quota of control groups below `root`, 0 if there is none; `groups` is the text of /proc/self/cgroup.");
  m.def("get_threads", &aae::threads, "How many threads share a long call.");
  m.def("set_threads", &set_threads, "n"_a, "Let n threads share a long call: the same bits.");
}
