// The Python module aae_native. Arrays come as addresses and sizes, so the module needs no torch and serves
// any version of it; aae/ops.py makes the arrays and checks every argument.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "cpu/isa.h"
#include "cpu/threads.h"
#include "kernels.h"

#if defined(__clang__)
#define AAE_COMPILER "clang " __clang_version__
#else
#define AAE_COMPILER "gcc " __VERSION__
#endif

namespace py = pybind11;

void bind_items(py::module_& m);       // bindings_items.cpp
void bind_perceptron(py::module_& m);  // bindings_perceptron.cpp

namespace {

using aae::at;

void check_labels(const char* op, uintptr_t labels, int64_t n, int32_t classes) {
  const int64_t* const label = at<int64_t>(labels);
  for (int64_t i = 0; label != nullptr && i < n; ++i)
    if (label[i] < 0 || label[i] >= classes)
      throw std::invalid_argument(std::string(op) + ": labels must be within [0, " + std::to_string(classes) +
                                  "), got " + std::to_string(label[i]) + " at " + std::to_string(i));
}

// Values of some ten microseconds' work: for less, no other thread waits for the interpreter's lock long enough.
constexpr int64_t kLong = 1 << 14;

class ReleaseGilIfLong {
 public:
  explicit ReleaseGilIfLong(int64_t values) {
    if (values >= kLong) release_.emplace();
  }

 private:
  std::optional<py::gil_scoped_release> release_;
};

aae::Prior make_prior(const std::string& kind, int64_t dim, int32_t classes,
                      const std::vector<float>& parameters) {
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
    throw std::invalid_argument("aae_native: no prior '" + kind + "' of dimension " + std::to_string(dim) +
                                " with " + std::to_string(parameters.size()) + " parameters");
  }
  return prior;
}

void philox4x32(uintptr_t counter, uintptr_t key, uintptr_t words, int64_t n) {
  py::gil_scoped_release release;
  aae::philox4x32_cpu(at<int64_t>(counter), at<int64_t>(key), at<int64_t>(words), n);
}

void sample_prior(const aae::Prior& prior, uintptr_t labels, uintptr_t out, int64_t n, uint64_t seed,
                  uint64_t step, uint32_t stream, int64_t offset) {
  aae::check_sample_prior_arrays(prior, labels, out, n);
  check_labels("sample_prior", labels, n, prior.classes);
  const ReleaseGilIfLong gil(n * prior.dim);
  aae::sample_prior_cpu(prior, at<int64_t>(labels), at<float>(out), n, {seed, step, stream}, offset);
}

void assemble_discriminator_batch(const aae::Prior& prior, uintptr_t codes, uintptr_t labels, uintptr_t batch,
                                  uintptr_t targets, int64_t n_codes, int64_t n_prior, uint64_t seed,
                                  uint64_t step, uint32_t stream, int64_t offset) {
  aae::check_discriminator_batch_arrays(prior, codes, labels, batch, targets, n_codes, n_prior);
  check_labels("assemble_discriminator_batch", labels, n_codes, prior.classes);
  const ReleaseGilIfLong gil((n_codes + n_prior) * prior.dim);
  aae::assemble_discriminator_batch_cpu(prior, at<float>(codes), at<int64_t>(labels), at<float>(batch),
                                        at<float>(targets), n_codes, n_prior, {seed, step, stream}, offset);
}

void draw_minibatch(uintptr_t images, int64_t n_images, int64_t pixels, uintptr_t out, uintptr_t indices,
                    int64_t n, uint64_t seed, uint64_t step, uint32_t stream, int64_t offset) {
  aae::check_minibatch_arrays(images, n_images, pixels, out, indices, n);
  const ReleaseGilIfLong gil(n * (pixels + 1));
  aae::draw_minibatch_cpu(at<uint8_t>(images), n_images, pixels, at<float>(out), at<int64_t>(indices), n,
                          {seed, step, stream}, offset);
}

// --- the direct way -------------------------------------------------------------------------------
//
// Where a whole call takes microseconds, checks in Python cost more than the kernels. The functions below look
// at the tensors through the attributes that Python sees, and where anything is not plainly right they do
// nothing and return false; aae/ops.py then goes the general way, which says what is wrong.

// What is looked up in torch and on tensors; made once and kept, as a module's strings and types are.
struct Names {
  PyObject *tensor, *float32, *int64, *uint8;
  PyObject *dtype, *shape, *is_cpu, *requires_grad, *is_contiguous, *data_ptr, *new_empty;
};

const Names& names() {
  static const Names names = [] {
    const py::module_ torch = py::module_::import("torch");
    const auto of_torch = [&](const char* name) { return py::object(torch.attr(name)).release().ptr(); };
    return Names{of_torch("Tensor"),
                 of_torch("float32"),
                 of_torch("int64"),
                 of_torch("uint8"),
                 PyUnicode_InternFromString("dtype"),
                 PyUnicode_InternFromString("shape"),
                 PyUnicode_InternFromString("is_cpu"),
                 PyUnicode_InternFromString("requires_grad"),
                 PyUnicode_InternFromString("is_contiguous"),
                 PyUnicode_InternFromString("data_ptr"),
                 PyUnicode_InternFromString("new_empty")};
  }();
  return names;
}

class PlainTensor {
 public:
  // Plain is a contiguous tensor on the CPU, without a gradient, of `dtype` and `dims` dimensions, and of no
  // subclass.
  PlainTensor(py::handle tensor, PyObject* dtype, size_t dims) : tensor_(tensor) {
    if (Py_TYPE(tensor.ptr()) != reinterpret_cast<PyTypeObject*>(names().tensor)) return;
    if (get(names().dtype).ptr() != dtype || get(names().is_cpu).ptr() != Py_True) return;
    if (get(names().requires_grad).ptr() != Py_False || call(names().is_contiguous).ptr() != Py_True) return;
    const py::object shape = get(names().shape);
    if (static_cast<size_t>(PyTuple_GET_SIZE(shape.ptr())) != dims) return;
    for (size_t i = 0; i < dims; ++i) sizes_[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), i));
    plain_ = true;
  }

  bool is_plain() const { return plain_; }
  int64_t size(size_t i) const { return sizes_[i]; }
  uintptr_t address() const { return call(names().data_ptr).cast<uintptr_t>(); }
  py::object new_empty(int64_t rows, int64_t columns) const {
    return made(PyObject_CallMethodObjArgs(tensor_.ptr(), names().new_empty, py::int_(rows).ptr(),
                                           py::int_(columns).ptr(), nullptr));
  }

 private:
  py::object get(PyObject* name) const { return made(PyObject_GetAttr(tensor_.ptr(), name)); }
  py::object call(PyObject* name) const { return made(PyObject_CallMethodNoArgs(tensor_.ptr(), name)); }
  static py::object made(PyObject* object) {
    if (object == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(object);
  }

  py::handle tensor_;
  int64_t sizes_[2] = {0, 0};
  bool plain_ = false;
};

// An int within [0, 2^bits), or nothing.
std::optional<int64_t> natural(py::handle number, int bits) {
  if (!PyLong_Check(number.ptr())) return std::nullopt;
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0 || value < 0 || value >> bits != 0) return std::nullopt;
  return value;
}

constexpr int kRowBits = 30;  // rows and offset below 2^30 and dim below 2^31 keep every index below 2^63

// The batch and its targets: `out`, or new tensors where that is None. None where not everything is plain.
py::object assemble_directly(const aae::Prior& prior, py::handle codes, py::handle n_prior, py::handle seed,
                             py::handle step, py::handle offset, py::object out) {
  const PlainTensor z(codes, names().float32, 2);
  const auto n = natural(n_prior, kRowBits), first = natural(offset, kRowBits);
  const auto key = natural(seed, 63), when = natural(step, 48);
  if (!z.is_plain() || z.size(1) != prior.dim || !n || !first || !key || !when) return py::none();
  const int64_t rows = z.size(0) + *n;
  if (out.is_none()) out = py::make_tuple(z.new_empty(rows, prior.dim), z.new_empty(rows, 1));

  if (!PyTuple_CheckExact(out.ptr()) || PyTuple_GET_SIZE(out.ptr()) != 2) return py::none();
  const PlainTensor batch(PyTuple_GET_ITEM(out.ptr(), 0), names().float32, 2);
  const PlainTensor targets(PyTuple_GET_ITEM(out.ptr(), 1), names().float32, 2);
  if (!batch.is_plain() || batch.size(0) != rows || batch.size(1) != prior.dim) return py::none();
  if (!targets.is_plain() || targets.size(0) != rows || targets.size(1) != 1) return py::none();
  assemble_discriminator_batch(prior, z.address(), 0, batch.address(), targets.address(), z.size(0), *n, *key, *when,
                               0, *first);
  return out;
}

bool sample_directly(const aae::Prior& prior, py::handle n, py::handle seed, py::handle step, py::handle stream,
                     py::handle offset, py::handle out) {
  const PlainTensor samples(out, names().float32, 2);
  const auto rows = natural(n, kRowBits), first = natural(offset, kRowBits);
  const auto key = natural(seed, 63), when = natural(step, 48), what = natural(stream, 16);
  if (!samples.is_plain() || !rows || !first || !key || !when || !what) return false;
  if (samples.size(0) != *rows || samples.size(1) != prior.dim) return false;
  sample_prior(prior, 0, samples.address(), *rows, *key, *when, static_cast<uint32_t>(*what), *first);
  return true;
}

bool draw_directly(py::handle images, py::handle n, py::handle seed, py::handle step, py::handle stream,
                   py::handle offset, py::handle out) {
  if (!PyTuple_CheckExact(out.ptr()) || PyTuple_GET_SIZE(out.ptr()) != 2) return false;
  const PlainTensor pool(images, names().uint8, 2);
  const PlainTensor drawn(PyTuple_GET_ITEM(out.ptr(), 0), names().float32, 2);
  const PlainTensor indices(PyTuple_GET_ITEM(out.ptr(), 1), names().int64, 1);
  const auto rows = natural(n, kRowBits), first = natural(offset, kRowBits);
  const auto key = natural(seed, 63), when = natural(step, 48), what = natural(stream, 16);
  if (!pool.is_plain() || !drawn.is_plain() || !indices.is_plain()) return false;
  if (!rows || !first || !key || !when || !what) return false;
  if (pool.size(0) < 1 || pool.size(0) >> 32 != 0) return false;
  if (drawn.size(0) != *rows || drawn.size(1) != pool.size(1) || indices.size(0) != *rows) return false;
  draw_minibatch(pool.address(), pool.size(0), pool.size(1), drawn.address(), indices.address(), *rows, *key, *when,
                 static_cast<uint32_t>(*what), *first);
  return true;
}

// --- the rest --------------------------------------------------------------------------------------

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

void set_threads(int n) {
  if (n < 1) throw std::invalid_argument("set_threads: n must be at least 1, got " + std::to_string(n));
  aae::set_threads(n);
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
  py::class_<aae::Prior>(m, "Prior", "A prior as the kernels know it.")
      .def(py::init(&make_prior), "kind"_a, "dim"_a, "classes"_a, "parameters"_a);
  m.def("sample_prior", &sample_prior, "prior"_a, "labels"_a, "out"_a, "n"_a, "seed"_a, "step"_a, "stream"_a,
        "offset"_a);
  m.def("assemble_discriminator_batch", &assemble_discriminator_batch, "prior"_a, "codes"_a, "labels"_a,
        "batch"_a, "targets"_a, "n_codes"_a, "n_prior"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a);
  m.def("draw_minibatch", &draw_minibatch, "images"_a, "n_images"_a, "pixels"_a, "out"_a, "indices"_a, "n"_a,
        "seed"_a, "step"_a, "stream"_a, "offset"_a);

  bind_items(m);

  m.def("assemble_directly", &assemble_directly, "prior"_a, "codes"_a, "n_prior"_a, "seed"_a, "step"_a,
        "offset"_a, "out"_a, "The batch and its targets, or None where the arguments are not plain.");
  m.def("sample_directly", &sample_directly, "prior"_a, "n"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a,
        "out"_a, "Whether the arguments are plain and the op was done.");
  m.def("draw_directly", &draw_directly, "images"_a, "n"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a, "out"_a,
        "Whether the arguments are plain and the op was done.");

  m.def("uniform", &uniform, "words"_a, "out"_a, "n"_a);
  m.def("log32", &log32, "u"_a, "out"_a, "n"_a);
  m.def("cos_sin_turn", &cos_sin_turn, "words"_a, "cos"_a, "sin"_a, "n"_a);
  m.def("normal_from_words", &normal_from_words, "words"_a, "out"_a, "pairs"_a, "std"_a);

  bind_perceptron(m);

  m.def("build_info", &build_info, "How this module was built, and the instruction set that it uses here.");
  m.def("set_isa", &aae::set_isa, "name"_a,
        "Use another of build_info()['available_isas']: the same bits, slower.");
  m.def("get_threads", &aae::threads, "How many threads share a long call.");
  m.def("set_threads", &set_threads, "n"_a, "Let n threads share a long call: the same bits.");
}
