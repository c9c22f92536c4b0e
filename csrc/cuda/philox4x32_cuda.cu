#include "launch.h"

namespace aae {

void philox4x32_cuda(const PhiloxItems& items, const CudaStream& stream) { launch("philox4x32", items, stream); }

}  // namespace aae
