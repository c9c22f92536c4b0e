// The ops as work items: the work of GPU threads, without the launch. csrc/cuda/ launches the items. bindings_items.h
// runs the same functions on the CPU, where the tests compare their bits with those of the CPU kernels. The items of an
// op may run in any order, each exactly once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "minibatch.h"
#include "philox.h"
#include "priors.h"

namespace aae {

// A draw whose step may become known only when the items run. If `late_step` is not null, the items read the step from
// it, so a captured CUDA graph draws new numbers at each replay. Counters hold 48 bits of the step.
struct LateDraw : Draw {
  const int64_t* late_step;

  AAE_HD void read_step() {
    if (late_step) step = static_cast<uint64_t>(*late_step) & 0xffffffffffffu;
  }
};

AAE_HD bool is_aligned(const void* address, uintptr_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

// Loads 16 bytes at once from an address that is a multiple of 16. A GPU faults at any other address, and the CPU
// compiler is told to assume the alignment too.
AAE_HD Four load_four(const float* from) {
#if defined(__CUDA_ARCH__)
  const float4 four = __ldg(reinterpret_cast<const float4*>(from));
  return {{four.x, four.y, four.z, four.w}};
#else
  Four four;
  memcpy(&four, __builtin_assume_aligned(from, 16), sizeof four);
  return four;
#endif
}

AAE_HD void store_four(float* to, const Four& four) {
#if defined(__CUDA_ARCH__)
  // Inline assembly, because the compiler splits an assignment into four stores.
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "f"(four.x[0]),
               "f"(four.x[1]), "f"(four.x[2]), "f"(four.x[3])
               : "memory");
#else
  memcpy(__builtin_assume_aligned(to, 16), &four, sizeof four);
#endif
}

// Four adjacent pixels at an address that is a multiple of 4.
AAE_HD Four load_pixels(const uint8_t* from) {
#if defined(__CUDA_ARCH__)
  const uchar4 v = __ldg(reinterpret_cast<const uchar4*>(from));
  return {{unit_pixel(v.x), unit_pixel(v.y), unit_pixel(v.z), unit_pixel(v.w)}};
#else
  return {{unit_pixel(from[0]), unit_pixel(from[1]), unit_pixel(from[2]), unit_pixel(from[3])}};
#endif
}

// Elements first to first + 3 of `from` [count] or `to` [count]. Indices outside the array are skipped.
AAE_HD Four load_within(const float* from, int64_t first, int64_t count) {
  if (first + 4 <= count && is_aligned(from, 16)) return load_four(from + first);
  Four four{};
  for (int64_t lane = 0; lane < 4 && first + lane < count; ++lane) four.x[lane] = from[first + lane];
  return four;
}

AAE_HD void store_within(float* to, int64_t first, int64_t count, const Four& four) {
  if (first >= 0 && first + 4 <= count && is_aligned(to + first, 16)) return store_four(to + first, four);
  for (int64_t lane = 0; lane < 4; ++lane)
    if (first + lane >= 0 && first + lane < count) to[first + lane] = four.x[lane];
}

AAE_HD int64_t fours(int64_t elements) { return elements / 4 + (elements % 4 != 0); }

// One item per counter.
struct PhiloxItems {
  const int64_t* counter;
  const int64_t* key;
  int64_t* words;
  int64_t n;

  AAE_HD int64_t count() const { return n; }
  AAE_HD void begin() {}

  AAE_HD void operator()(int64_t i) const {
    const int64_t* c = counter + 4 * i;
    const Words w = philox4x32({static_cast<uint32_t>(c[0]), static_cast<uint32_t>(c[1]), static_cast<uint32_t>(c[2]),
                                static_cast<uint32_t>(c[3])},
                               static_cast<uint32_t>(key[0]), static_cast<uint32_t>(key[1]));
    int64_t* to = words + 4 * i;
    to[0] = w.x0;
    to[1] = w.x1;
    to[2] = w.x2;
    to[3] = w.x3;
  }
};

// One item per four consecutive samples: one block of an element-wise prior or two rows of a row-wise prior.
struct PriorItems {
  Prior prior;
  const int64_t* labels;  // [n], or null
  float* out;             // [n, dim]
  int64_t n;
  LateDraw draw;
  int64_t offset;

  AAE_HD int64_t elements() const { return n * prior.dim; }
  AAE_HD int64_t first() const { return offset * prior.dim; }
  // If the first row does not begin a block, the first item begins up to three samples before it.
  AAE_HD int64_t place(int64_t i) const { return 4 * i - first() % 4; }

  AAE_HD int64_t count() const { return n ? fours(first() % 4 + elements()) : 0; }
  AAE_HD void begin() { draw.read_step(); }

  AAE_HD Four samples(int64_t i) const {
    const Labels of_rows{labels, static_cast<uint64_t>(offset), static_cast<uint64_t>(n)};
    return prior_four(prior, draw, static_cast<uint64_t>(first() / 4 + i), of_rows);
  }

  AAE_HD void operator()(int64_t i) const { store_within(out, place(i), elements(), samples(i)); }
};

// The items, in this order: groups of four elements of the codes; groups of four elements of the prior; then groups of
// four targets or, with labels, one row's target and one-hot columns per item.
struct DiscriminatorBatchItems {
  const float* codes;     // [n_codes, dim]
  const int64_t* labels;  // [n_codes], or null
  int64_t n_codes;
  PriorItems drawn;  // its `out` is null: the samples go to the batch
  float* batch;      // [n_codes + drawn.n, dim], with labels [.., dim + classes]
  float* targets;    // [n_codes + drawn.n, 1]

  AAE_HD int64_t dim() const { return drawn.prior.dim; }
  AAE_HD int64_t classes() const { return labels ? drawn.prior.classes : 0; }
  AAE_HD int64_t rows() const { return n_codes + drawn.n; }
  AAE_HD int64_t code_items() const { return fours(n_codes * dim()); }

  AAE_HD int64_t count() const { return code_items() + drawn.count() + (labels ? rows() : fours(rows())); }
  AAE_HD void begin() { drawn.begin(); }

  AAE_HD void operator()(int64_t i) const {
    if (i < code_items()) return store(4 * i, n_codes * dim(), 0, load_within(codes, 4 * i, n_codes * dim()));
    i -= code_items();
    if (i < drawn.count()) return store(drawn.place(i), drawn.elements(), n_codes, drawn.samples(i));
    i -= drawn.count();
    if (labels) return store_label(i);
    const int64_t row = 4 * i;
    store_within(targets, row, rows(), {{target(row), target(row + 1), target(row + 2), target(row + 3)}});
  }

 private:
  AAE_HD float target(int64_t row) const { return row < n_codes ? 0.0f : 1.0f; }

  // Stores elements first to first + 3 of an array that fills the batch's first `dim` columns from `first_row` on.
  AAE_HD void store(int64_t first, int64_t elements, int64_t first_row, const Four& four) const {
    if (!labels) return store_within(batch + first_row * dim(), first, elements, four);
    for (int64_t lane = 0; lane < 4; ++lane) {
      const int64_t e = first + lane;
      if (e >= 0 && e < elements) batch_row(first_row + e / dim())[e % dim()] = four.x[lane];
    }
  }

  AAE_HD float* batch_row(int64_t row) const { return batch + row * (dim() + classes()); }

  AAE_HD void store_label(int64_t row) const {
    targets[row] = target(row);
    const int64_t row_class = row < n_codes ? labels[row] : drawn_class(row - n_codes);
    float* one_hot = batch_row(row) + dim();
    for (int64_t c = 0; c < classes(); ++c) one_hot[c] = c == row_class ? 1.0f : 0.0f;
  }

  AAE_HD int64_t drawn_class(int64_t row) const {
    return class_of_row(drawn.draw, static_cast<uint64_t>(drawn.offset + row), drawn.prior.classes);
  }
};

// 128 consecutive items (the lanes of four warps) make one row. Each item takes every 128th pixel or group of four
// pixels. This spreads even a small batch over a GPU, and each lane waits for only a few loads in sequence.
struct MinibatchItems {
  static constexpr int64_t kLanes = 128;

  const uint8_t* images;  // [n_images, pixels]
  int64_t n_images;
  int64_t pixels;
  float* out;        // [n, pixels]
  int64_t* indices;  // [n]
  int64_t n;
  LateDraw draw;
  int64_t offset;

  AAE_HD int64_t count() const { return n * kLanes; }
  AAE_HD void begin() { draw.read_step(); }

  AAE_HD void operator()(int64_t i) const {
    const int64_t row = i / kLanes;
    const int64_t lane = i % kLanes;
    const int64_t index = image_of_row(draw, static_cast<uint64_t>(offset + row), n_images);
    if (lane == 0) indices[row] = index;

    const uint8_t* image = images + index * pixels;
    float* to = out + row * pixels;
    if (pixels % 4 == 0 && is_aligned(images, 4) && is_aligned(out, 16)) {
      for (int64_t p = 4 * lane; p < pixels; p += 4 * kLanes) store_four(to + p, load_pixels(image + p));
    } else {
      for (int64_t p = lane; p < pixels; p += kLanes) to[p] = unit_pixel(image[p]);
    }
  }
};

constexpr int64_t kThreadsPerBlock = 256;

// The number of thread blocks that have work, at most `most`.
inline int64_t blocks_for(int64_t count, int64_t most) {
  return std::min(most, count / kThreadsPerBlock + (count % kThreadsPerBlock != 0));
}

// Runs the share of one of `threads` threads.
template <class Items>
AAE_HD void run_share(Items items, int64_t thread, int64_t threads) {
  items.begin();
  for (int64_t i = thread, count = items.count(); i < count; i += threads) items(i);
}

}  // namespace aae
