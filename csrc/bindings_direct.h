// The direct way to the ops. Where a whole call takes microseconds, checks in Python cost more than the kernels.
// The functions below look at the tensors through the attributes that Python sees, and where anything is not
// plainly right they do nothing and return false; aae/ops.py then goes the general way, which says what is wrong.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "bindings.h"

namespace direct {

namespace py = pybind11;

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
  aae::assemble_discriminator_batch(prior, z.address(), 0, batch.address(), targets.address(), z.size(0), *n, *key,
                                    *when, 0, *first);
  return out;
}

bool sample_directly(const aae::Prior& prior, py::handle n, py::handle seed, py::handle step, py::handle stream,
                     py::handle offset, py::handle out) {
  const PlainTensor samples(out, names().float32, 2);
  const auto rows = natural(n, kRowBits), first = natural(offset, kRowBits);
  const auto key = natural(seed, 63), when = natural(step, 48), what = natural(stream, 15);
  if (!samples.is_plain() || !rows || !first || !key || !when || !what) return false;
  if (samples.size(0) != *rows || samples.size(1) != prior.dim) return false;
  aae::sample_prior(prior, 0, samples.address(), *rows, *key, *when, static_cast<uint32_t>(*what), *first);
  return true;
}

bool draw_directly(py::handle images, py::handle n, py::handle seed, py::handle step, py::handle stream,
                   py::handle offset, py::handle out) {
  if (!PyTuple_CheckExact(out.ptr()) || PyTuple_GET_SIZE(out.ptr()) != 2) return false;
  const PlainTensor pool(images, names().uint8, 2);
  const PlainTensor drawn(PyTuple_GET_ITEM(out.ptr(), 0), names().float32, 2);
  const PlainTensor indices(PyTuple_GET_ITEM(out.ptr(), 1), names().int64, 1);
  const auto rows = natural(n, kRowBits), first = natural(offset, kRowBits);
  const auto key = natural(seed, 63), when = natural(step, 48), what = natural(stream, 15);
  if (!pool.is_plain() || !drawn.is_plain() || !indices.is_plain()) return false;
  if (!rows || !first || !key || !when || !what) return false;
  if (pool.size(0) < 1 || pool.size(0) >> 32 != 0) return false;
  if (drawn.size(0) != *rows || drawn.size(1) != pool.size(1) || indices.size(0) != *rows) return false;
  aae::draw_minibatch(pool.address(), pool.size(0), pool.size(1), drawn.address(), indices.address(), *rows, *key,
                      *when, static_cast<uint32_t>(*what), *first);
  return true;
}

inline void bind(py::module_& m) {
  using py::literals::operator""_a;
  m.def("assemble_directly", &assemble_directly, "prior"_a, "codes"_a, "n_prior"_a, "seed"_a, "step"_a,
        "offset"_a, "out"_a, "The batch and its targets, or None where the arguments are not plain.");
  m.def("sample_directly", &sample_directly, "prior"_a, "n"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a,
        "out"_a, "Whether the arguments are plain and the op was done.");
  m.def("draw_directly", &draw_directly, "images"_a, "n"_a, "seed"_a, "step"_a, "stream"_a, "offset"_a, "out"_a,
        "Whether the arguments are plain and the op was done.");
}

}  // namespace direct
