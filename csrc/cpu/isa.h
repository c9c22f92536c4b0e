// Compiles one loop for several instruction sets and chooses among them at run time.
//
// The loops are plain C++ that the compiler vectorises. Every operation in them is correctly rounded, so all
// instruction sets give the same bits and differ only in speed. On x86-64, "portable" has no fma instruction and calls
// the C library for every fma.
#pragma once

#include <string>
#include <vector>

namespace aae {

enum class Isa { portable, avx2, avx512 };

Isa current_isa();
void set_isa(const std::string& name);      // throws std::invalid_argument if this machine lacks it
std::vector<std::string> available_isas();  // narrowest first
std::string isa_name(Isa isa);

}  // namespace aae

// AAE_FOR_EACH_ISA(loop, (int a, ...), (a, ...)) defines loop_on_isa, which runs the AAE_HD function `loop`.
#if defined(__x86_64__)
#define AAE_FOR_EACH_ISA(loop, parameters, arguments)                                                    \
  __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))) void loop##_avx512 parameters { \
    loop arguments;                                                                                      \
  }                                                                                                      \
  __attribute__((target("avx2,fma"))) void loop##_avx2 parameters { loop arguments; }                    \
  void loop##_on_isa parameters {                                                                        \
    switch (current_isa()) {                                                                             \
      case Isa::avx512: return loop##_avx512 arguments;                                                  \
      case Isa::avx2: return loop##_avx2 arguments;                                                      \
      case Isa::portable: return loop arguments;                                                         \
    }                                                                                                    \
  }
#else
#define AAE_FOR_EACH_ISA(loop, parameters, arguments) \
  void loop##_on_isa parameters { loop arguments; }
#endif
