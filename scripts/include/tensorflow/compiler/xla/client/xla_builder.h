// Horovod 0.28.1 includes this header, which TensorFlow has moved since, and uses two names that absl took over.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "xla/hlo/builder/xla_builder.h"

namespace xla {
template <typename T>
using StatusOr = absl::StatusOr<T>;
using Status = absl::Status;
}  // namespace xla

#if HAVE_CUDA
#include "xla/stream_executor/stream.h"

namespace stream_executor::gpu {
// Not inline: another file of Horovod calls it, and this header is included by one file only.
void* AsGpuStreamValue(Stream* stream) { return stream->platform_specific_handle().stream; }
}  // namespace stream_executor::gpu
#endif
