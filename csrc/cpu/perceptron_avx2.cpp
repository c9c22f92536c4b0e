// The standard library comes first: what it defines inline must not be compiled for this instruction set, because
// the linker may take that copy for the whole module.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#pragma GCC target("prfchw,avx2,fma")
#define AAE_VECTOR_WIDTH 8
#define AAE_PERCEPTRON_LOOPS perceptron_avx2
#include "perceptron_loops.h"
#endif
