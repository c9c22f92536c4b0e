// The priors p(z): how each turns blocks of random words into samples. CPU loops and CUDA threads share these
// functions. CUDA threads make four consecutive samples at a time. All operations are correctly rounded, for the
// reasons in normal.h.
//
// Samples are float32 [rows, dim], flattened: row r, column c is element e = r * dim + c.
//
// Element-wise priors (normal, uniform; any dim): element e is lane e % 4 of block e / 4.
//   normal      words (x0, x1) give lanes 0 and 1 by Box-Muller (cosine first), words (x2, x3) give lanes 2 and 3.
//   uniform     word x_i gives lane i.
// Row-wise priors (mixture, swiss_roll; dim = 2): row r is made from block r and the row's class.
//   mixture     words (x0, x1) give the normals along and across the class's direction.
//   swiss_roll  word x0 gives the position within the class's segment.
//
// A row's class is its label. Without labels, block r of the stream kClassStreams + stream of the same seed and step
// draws it. Labels therefore replace only the class and change nothing else about a row.
#pragma once

#include <cstdint>

#include "normal.h"
#include "philox.h"

namespace aae {

enum class PriorKind : int32_t { normal, uniform, mixture, swiss_roll };

struct Prior {
  PriorKind kind;
  int32_t classes;  // mixture and swiss_roll
  int64_t dim;

  float std;             // normal
  float bound;           // uniform: columns on [-bound, bound]
  float radius;          // mixture: the circle of centres; swiss_roll: the outer end
  float radial_std;      // mixture: along the line from the origin through the centre
  float tangential_std;  // mixture: across it
  float turns;           // swiss_roll
};

constexpr uint32_t kClassStreams = 1 << 15;  // the first one: each stream that a caller may use has its own

// The classes of the rows first_row, first_row + 1, ...: `classes` [rows], or null if they are drawn.
struct Labels {
  const int64_t* classes;
  uint64_t first_row;
  uint64_t rows;
};

struct Four {
  float x[4];
};

// Uniform on 0 to classes - 1, to within 2^-32.
AAE_HD int32_t class_of_word(uint32_t x, int32_t classes) {
  return static_cast<int32_t>(uint64_t{x} * static_cast<uint32_t>(classes) >> 32);
}

AAE_HD Draw class_draw(const Draw& draw) { return {draw.seed, draw.step, kClassStreams + draw.stream}; }

AAE_HD int32_t class_of_row(const Draw& draw, uint64_t row, int32_t classes) {
  return class_of_word(philox4x32(class_draw(draw), row).x0, classes);
}

// A group of four may begin before the first labelled row or end after the last. Such rows are never stored.
AAE_HD int32_t class_of_row(const Draw& draw, uint64_t row, int32_t classes, const Labels& labels) {
  if (labels.classes == nullptr) return class_of_row(draw, row, classes);
  const uint64_t i = row - labels.first_row;
  return i < labels.rows ? static_cast<int32_t>(labels.classes[i]) : 0;
}

AAE_HD Four normal_four(const Words& w, float std) {
  const Pair a = box_muller(w.x0, w.x1, std);
  const Pair b = box_muller(w.x2, w.x3, std);
  return {{a.first, a.second, b.first, b.second}};
}

// The middle (x + 1/2) / 2^32 of the word's slice of [0, 1), scaled to [-bound, bound].
AAE_HD float symmetric_uniform(uint32_t x, float bound) {
  const int32_t centred = static_cast<int32_t>(x ^ 0x80000000u);
  return fma32(static_cast<float>(centred), bound * 0x1p-31f, bound * 0x1p-32f);
}

AAE_HD Four uniform_four(const Words& w, float bound) {
  return {{symmetric_uniform(w.x0, bound), symmetric_uniform(w.x1, bound), symmetric_uniform(w.x2, bound),
           symmetric_uniform(w.x3, bound)}};
}

// A normal sample around the class's centre on a circle, at the angle 2 pi row_class / classes.
AAE_HD Pair mixture_row(const Prior& prior, const Words& w, int32_t row_class) {
  // 2^32 / classes, rounded up: an angle is off by less than row_class / 2^32 of a turn.
  const uint32_t turn = 0xffffffffu / static_cast<uint32_t>(prior.classes) + 1;
  const Pair direction = cos_sin_turn(static_cast<uint32_t>(row_class) * turn);
  const Pair z = box_muller(w.x0, w.x1, 1.0f);
  const float along = fma32(prior.radial_std, z.first, prior.radius);
  const float across = prior.tangential_std * z.second;
  return {fma32(along, direction.first, -(across * direction.second)),
          fma32(along, direction.second, across * direction.first)};
}

// radius * sqrt(u) at the angle 2 pi turns * sqrt(u), with u uniform on the class's segment of (0, 1], which is
// 1 / classes long.
AAE_HD Pair swiss_roll_row(const Prior& prior, const Words& w, int32_t row_class) {
  const float u = div32(static_cast<float>(row_class) + uniform(w.x0), static_cast<float>(prior.classes));
  const float s = sqrt32(u);
  const float r = prior.radius * s;
  // Whole turns drop out as multiples of 2^32, so the reduction is exact.
  const int64_t phase = static_cast<int64_t>(prior.turns * s * 0x1p32f);
  const Pair direction = cos_sin_turn(static_cast<uint32_t>(phase));
  return {r * direction.first, r * direction.second};
}

AAE_HD Pair prior_row(const Prior& prior, const Draw& draw, uint64_t row, const Labels& labels) {
  const Words w = philox4x32(draw, row);
  const int32_t row_class = class_of_row(draw, row, prior.classes, labels);
  return prior.kind == PriorKind::mixture ? mixture_row(prior, w, row_class) : swiss_roll_row(prior, w, row_class);
}

// Elements 4 * block to 4 * block + 3.
AAE_HD Four prior_four(const Prior& prior, const Draw& draw, uint64_t block, const Labels& labels) {
  switch (prior.kind) {
    case PriorKind::normal: return normal_four(philox4x32(draw, block), prior.std);
    case PriorKind::uniform: return uniform_four(philox4x32(draw, block), prior.bound);
    case PriorKind::mixture:
    case PriorKind::swiss_roll: break;
  }
  const Pair a = prior_row(prior, draw, 2 * block, labels);
  const Pair b = prior_row(prior, draw, 2 * block + 1, labels);
  return {{a.first, a.second, b.first, b.second}};
}

}  // namespace aae
