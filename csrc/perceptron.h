// The passes of a perceptron on the CPU: one linear layer at a time, Adam taking each gradient as it is made.
//
// Every array is contiguous and row-major. A weight is [inputs, outputs], the transpose of PyTorch's, so that the
// outputs of a layer lie side by side.
//
// Every sum runs over its terms one by one in their order, each term added by one fma. So the bits depend neither on
// the instruction set nor on the number of threads, which share out the outputs.
#pragma once

#include <cstdint>
#include <vector>

namespace aae {

struct Linear {
  int64_t inputs, outputs;
  float* weight;  // [inputs, outputs]
  float* bias;    // [outputs]
};

// Adam's moments of a layer's parameters, each of the shape of what it belongs to.
struct Moments {
  float *weight_mean, *weight_square, *bias_mean, *bias_square;
};

// One step of Adam (Kingma & Ba, arXiv 1412.6980, algorithm 1), the corrections of the moments worked into the rates:
// mean += mean_rate (g - mean), square += square_rate (g² - square),
// parameter -= step_size mean / (root_scale sqrt(square) + epsilon).
struct AdamStep {
  float mean_rate, square_rate, step_size, root_scale, epsilon;
};

// A layer's inputs x [rows, columns], and where they are not 0. Four fifths of MNIST's pixels are.
// A term that is 0 does not change a sum, so a layer gives the same bits whether it leaves such terms out or not.
class SparseInputs {
 public:
  void find(const float* x, int64_t rows, int64_t columns);  // x is kept
  void find_rows();                                          // of the x of the last `find`

  const float* x = nullptr;
  int64_t rows = 0, columns = 0;
  std::vector<int32_t> columns_used, columns_count;  // [blocks of rows, columns], [blocks of rows]
  std::vector<int32_t> rows_used, rows_count;        // [blocks of columns, rows], [blocks of columns]
};

// y [n, outputs] = x [n, inputs] weight + bias, negative outputs set to 0 if `relu`.
void linear_forward(const Linear& layer, const float* x, float* y, int64_t n, bool relu);
void linear_forward(const Linear& layer, const SparseInputs& x, float* y, bool relu);

// From gradient [n, outputs] in a layer's outputs to that in its inputs [n, inputs]. If `relu`, x [n, inputs] came out
// of a ReLU, and where it is 0 the gradient is too.
void linear_backward(const Linear& layer, const float* gradient, const float* x, float* in_inputs, int64_t n,
                     bool relu);

// Moves the layer's parameters by the gradient that x [n, inputs] and gradient [n, outputs] make.
void linear_update(const Linear& layer, const float* x, const float* gradient, int64_t n, const Moments& moments,
                   const AdamStep& adam);
void linear_update(const Linear& layer, SparseInputs& x, const float* gradient, const Moments& moments,
                   const AdamStep& adam);

// Binary cross-entropy in nats of logits [n, outputs] against targets [n, outputs] in [0, 1] (or the constant
// `target`, if targets is null), summed. The gradient, times `scale`, takes the place of the logits.
double cross_entropy(float* logits, const float* targets, float target, int64_t n, int64_t outputs, float scale);

}  // namespace aae
