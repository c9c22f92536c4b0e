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
#pragma clang attribute push(__attribute__((target("prfchw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("prfchw,avx2,fma")
#endif
#define AAE_VECTOR_WIDTH 8
#define AAE_PERCEPTRON_LOOPS perceptron_avx2
#include "perceptron_loops.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
