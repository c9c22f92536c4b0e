#include "launch.h"

namespace aae {

void sample_prior_cuda(const PriorItems& items, const CudaStream& stream) { launch("sample_prior", items, stream); }

}  // namespace aae
