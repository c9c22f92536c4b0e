// Headers with inline functions come first: those functions must not be compiled for this instruction set, because the
// linker may use that copy in the whole module.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../normal.h"
#include "perceptron_isa.h"
#include "prefetch.h"
#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("prfchw,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("prfchw,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
#define AAE_VECTOR_WIDTH 16
#define AAE_PERCEPTRON_LOOPS perceptron_avx512
#include "perceptron_loops.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
