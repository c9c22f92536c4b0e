#include "launch.h"

namespace aae {

void assemble_discriminator_batch_cuda(const DiscriminatorBatchItems& items, const CudaStream& stream) {
  launch("assemble_discriminator_batch", items, stream);
}

}  // namespace aae
