// The standard library comes first: what it defines inline must not be compiled for this instruction set, because
// the linker may take that copy for the whole module.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC target("prfchw,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512")
#define AAE_VECTOR_WIDTH 16
#define AAE_PERCEPTRON_LOOPS perceptron_avx512
#include "perceptron_loops.h"
#endif
