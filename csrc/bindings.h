// Helpers that the bindings share: arrays as addresses, and the checks that need addresses, on any device. aae/ops.py
// checks everything else about the arguments.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "priors.h"

namespace aae {

template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

struct Array {
  const char* name;
  uintptr_t begin;
  int64_t bytes;
};

inline bool overlap(const Array& a, const Array& b) {
  return a.bytes > 0 && b.bytes > 0 && a.begin < b.begin + b.bytes && b.begin < a.begin + a.bytes;
}

// Throws if an array has no memory, as the view of a storage that was freed, or if one of the first `written` arrays
// overlaps any other array.
inline void check_disjoint(const char* op, size_t written, std::initializer_list<Array> arrays) {
  for (const Array& array : arrays)
    if (array.bytes > 0 && array.begin == 0)
      throw std::invalid_argument(std::string(op) + ": " + array.name + " has no memory");
  for (const Array* a = arrays.begin(); a != arrays.begin() + written; ++a)
    for (const Array* b = a + 1; b != arrays.end(); ++b)
      if (overlap(*a, *b))
        throw std::invalid_argument(std::string(op) + ": " + a->name + " must not overlap " + b->name +
                                    ", but they share memory");
}

inline void check_sample_prior_arrays(const Prior& prior, uintptr_t labels, uintptr_t out, int64_t n) {
  check_disjoint("sample_prior", 1, {{"out", out, 4 * n * prior.dim}, {"labels", labels, labels ? 8 * n : 0}});
}

inline void check_discriminator_batch_arrays(const Prior& prior, uintptr_t codes, uintptr_t labels, uintptr_t batch,
                                             uintptr_t targets, int64_t n_codes, int64_t n_prior) {
  const int64_t rows = n_codes + n_prior, width = prior.dim + (labels ? prior.classes : 0);
  check_disjoint("assemble_discriminator_batch", 2,
                 {{"out[0]", batch, 4 * rows * width},
                  {"out[1]", targets, 4 * rows},
                  {"codes", codes, 4 * n_codes * prior.dim},
                  {"labels", labels, labels ? 8 * n_codes : 0}});
}

inline void check_minibatch_arrays(uintptr_t images, int64_t n_images, int64_t pixels, uintptr_t out, uintptr_t indices,
                                   int64_t n) {
  check_disjoint("draw_minibatch", 2,
                 {{"out[0]", out, 4 * n * pixels}, {"out[1]", indices, 8 * n}, {"images", images, n_images * pixels}});
}

}  // namespace aae
