#include "../gradients.h"

#include "perceptron_isa.h"
#include "perceptron_share.h"

namespace aae {

void layer_gradient(const LayerRows& of, int64_t inputs, int64_t outputs, bool sparse_inputs, float* weight,
                    float* bias) {
  share(By::rows, inputs, outputs, [&](Range some_inputs, Range some_outputs) {
    perceptron_loops().gradient(of, inputs, outputs, sparse_inputs, weight, bias, some_inputs, some_outputs);
  });
}

void apply_adam(float* parameter, float* mean, float* square, const float* gradient, int64_t count,
                const AdamStep& step) {
  share(By::columns, 1, count,
        [&](Range, Range some) { perceptron_loops().apply_adam(parameter, mean, square, gradient, step, some); });
}

}  // namespace aae
