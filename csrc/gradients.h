// The gradient of a part of a minibatch, and Adam from a gradient that is given. Trainings whose minibatches are
// divided into shards need the two separately; perceptron.h has them in one loop. The bits are those of that loop.
#pragma once

#include <cstdint>

#include "perceptron.h"

namespace aae {

// Writes the gradient of a layer's weight [inputs, outputs] and bias [outputs]: the sums over the given rows. With
// sparse_inputs, inputs that are 0 are skipped.
void layer_gradient(const LayerRows& of, int64_t inputs, int64_t outputs, bool sparse_inputs, float* weight,
                    float* bias);

// Moves a parameter and its moments, [count] each, by its gradient.
void apply_adam(float* parameter, float* mean, float* square, const float* gradient, int64_t count,
                const AdamStep& step);

}  // namespace aae
