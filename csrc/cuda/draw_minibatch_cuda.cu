#include "launch.h"

namespace aae {

void draw_minibatch_cuda(const MinibatchItems& items, const CudaStream& stream) {
  launch("draw_minibatch", items, stream);
}

}  // namespace aae
