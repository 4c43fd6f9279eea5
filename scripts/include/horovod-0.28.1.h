// Included before every file of Horovod 0.28.1 (scripts/horovod says so): what it lacks for gcc 13 and gcc 14.
#pragma once

// common.h and group_table.h use std::logic_error and std::string; gcc 13's other headers no longer bring them in.
#include <stdexcept>
#include <string>

// The flatbuffers it ships define a span whose assignment writes to const members. Nobody assigns one, but gcc 14
// checks templates that nobody uses. This macro makes them take std::span instead, which comes with C++20; before,
// the class below stands in: the constructor and the readers are all that flatbuffers call.
#define FLATBUFFERS_USE_STD_SPAN
#if __cplusplus < 202002L
#include <cstddef>

namespace std {
inline constexpr size_t dynamic_extent = static_cast<size_t>(-1);

template <class T, size_t Extent = dynamic_extent>
class span {
 public:
  constexpr span(T* first, size_t count) noexcept : data_(first), size_(count) {}
  constexpr T* data() const noexcept { return data_; }
  constexpr size_t size() const noexcept { return size_; }
  constexpr T& operator[](size_t index) const { return data_[index]; }

 private:
  T* data_;
  size_t size_;
};
}  // namespace std
#endif
