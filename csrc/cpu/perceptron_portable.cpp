#define AAE_VECTOR_WIDTH 4
#define AAE_PERCEPTRON_LOOPS perceptron_portable
#include "perceptron_loops.h"
