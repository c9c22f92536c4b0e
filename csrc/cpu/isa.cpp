#include "isa.h"

#include <atomic>
#include <stdexcept>

namespace aae {
namespace {

bool supports(Isa isa) {
  if (isa == Isa::portable) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == Isa::avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

std::vector<Isa> supported() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (supports(isa)) isas.push_back(isa);
  return isas;
}

std::atomic<Isa>& chosen() {
  static std::atomic<Isa> isa{supported().back()};
  return isa;
}

}  // namespace

Isa current_isa() { return chosen().load(std::memory_order_relaxed); }

void set_isa(const std::string& name) {
  for (Isa isa : supported())
    if (isa_name(isa) == name) return chosen().store(isa);
  throw std::invalid_argument("set_isa: this machine has no instruction set '" + name + "'");
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (Isa isa : supported()) names.push_back(isa_name(isa));
  return names;
}

std::string isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
  }
  return "";
}

}  // namespace aae
