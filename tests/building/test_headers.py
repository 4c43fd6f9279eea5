"""What scripts/include gives to Horovod's sources, with every g++ that is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

INCLUDE = Path(__file__).parents[2] / "scripts" / "include"
COMPILERS = [name for name in ("g++", "g++-12", "g++-13", "g++-14", "g++-15") if shutil.which(name)]

needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no g++")

# What Horovod's common.h does, and its flatbuffers: the names used, their headers not included.
SOURCE = """
inline std::string refuse(int type) { throw std::logic_error("unknown type " + std::to_string(type)); }

#ifndef FLATBUFFERS_USE_STD_SPAN
#error "flatbuffers would define their own span"
#endif
#include <span>
namespace flatbuffers {
inline constexpr std::size_t dynamic_extent = std::dynamic_extent;
template <class T, std::size_t Extent = std::dynamic_extent>
using span = std::span<T, Extent>;
}

int main() {
  unsigned char bytes[] = {1, 2, 4};
  auto all = flatbuffers::span<unsigned char>(bytes, 3);
  flatbuffers::span<const unsigned char, 3> fixed(bytes, 3);
  int sum = 0;
  for (std::size_t i = 0; i < all.size(); i++) sum += all[i] + fixed.data()[i];
  return sum == 14 ? 0 : 1;
}
"""


@needs_compiler
@pytest.mark.parametrize("standard", ["c++17", "c++20"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_every_file_of_horovod_gets(tmp_path: Path, compiler: str, standard: str):
    source = tmp_path / "source.cc"
    source.write_text(SOURCE)
    words = [f"-std={standard}", "-Wall", "-Werror", "-I", str(INCLUDE), "-include", "horovod-0.28.1.h"]
    subprocess.run([compiler, *words, str(source), "-o", str(tmp_path / "program")], check=True)
    assert subprocess.run([tmp_path / "program"]).returncode == 0


# The little of TensorFlow that the header includes.
TENSORFLOW = {
    "absl/status/status.h": "namespace absl { class Status {}; }",
    "absl/status/statusor.h": "namespace absl { template <class T> class StatusOr {}; }",
    "xla/hlo/builder/xla_builder.h": "",
    "xla/stream_executor/stream.h": """
namespace stream_executor {
struct Handle { void* stream; };
struct Stream { Handle platform_specific_handle() { return {this}; } };
}""",
}


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_stream_of_a_gpu_is_found_from_another_file(tmp_path: Path, compiler: str):
    """As `inline`, it was not written down where it was defined: the import of Horovod found it missing."""
    for name, text in TENSORFLOW.items():
        path = tmp_path / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#pragma once\n" + text)
    (tmp_path / "definition.cc").write_text('#include "tensorflow/compiler/xla/client/xla_builder.h"\n')
    (tmp_path / "call.cc").write_text(
        """
#include "xla/stream_executor/stream.h"
namespace stream_executor::gpu { void* AsGpuStreamValue(Stream* stream); }
int main() { stream_executor::Stream s; return stream_executor::gpu::AsGpuStreamValue(&s) == &s ? 0 : 1; }
"""
    )
    words = ["-std=c++17", "-DHAVE_CUDA=1", "-I", str(tmp_path / "include"), "-I", str(INCLUDE)]
    sources = [str(tmp_path / "definition.cc"), str(tmp_path / "call.cc")]
    subprocess.run([compiler, *words, *sources, "-o", str(tmp_path / "program")], check=True)
    assert subprocess.run([tmp_path / "program"]).returncode == 0
