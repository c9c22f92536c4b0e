#include "../normal.h"

#include "../kernels.h"
#include "isa.h"

namespace aae {
namespace {

AAE_HD void uniforms(const uint32_t* words, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = uniform(words[i]);
}

AAE_HD void logs(const float* u, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = log32(u[i]);
}

AAE_HD void turns(const uint32_t* words, float* cos, float* sin, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const Pair direction = cos_sin_turn(words[i]);
    cos[i] = direction.first;
    sin[i] = direction.second;
  }
}

AAE_HD void normals(const uint32_t* words, float* out, int64_t pairs, float std) {
  for (int64_t i = 0; i < 2 * pairs; i += 2) {
    const Pair z = box_muller(words[i], words[i + 1], std);
    out[i] = z.first;
    out[i + 1] = z.second;
  }
}

AAE_FOR_EACH_ISA(uniforms, (const uint32_t* words, float* out, int64_t n), (words, out, n))
AAE_FOR_EACH_ISA(logs, (const float* u, float* out, int64_t n), (u, out, n))
AAE_FOR_EACH_ISA(turns, (const uint32_t* words, float* cos, float* sin, int64_t n), (words, cos, sin, n))
AAE_FOR_EACH_ISA(normals, (const uint32_t* words, float* out, int64_t pairs, float std), (words, out, pairs, std))

}  // namespace

void uniform_cpu(const uint32_t* words, float* out, int64_t n) { uniforms_on_isa(words, out, n); }

void log32_cpu(const float* u, float* out, int64_t n) { logs_on_isa(u, out, n); }

void cos_sin_turn_cpu(const uint32_t* words, float* cos, float* sin, int64_t n) { turns_on_isa(words, cos, sin, n); }

void normal_from_words_cpu(const uint32_t* words, float* out, int64_t pairs, float std) {
  normals_on_isa(words, out, pairs, std);
}

}  // namespace aae
