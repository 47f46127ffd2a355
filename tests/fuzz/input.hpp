// The bytes of one run, read as small numbers; after their end all are zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace tipoff::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  bool done() const { return left_ == 0; }
  std::size_t left() const { return left_; }
  const std::uint8_t* rest() const { return data_; }

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

  // From 0 to `count` - 1.
  int below(int count) { return static_cast<int>(byte()) % count; }

  std::uint32_t number() {
    const std::uint32_t low = byte();
    const std::uint32_t middle = byte();
    return low | middle << 8 | static_cast<std::uint32_t>(byte()) << 16;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

// Noise from a seed, the same everywhere.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : state_(seed * 2654435761U + 12345U) {}

  std::uint32_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> 8;
  }

  // Even between -1 and 1.
  double spread() { return static_cast<double>(next()) / 8388608.0 - 1.0; }

 private:
  std::uint32_t state_;
};

inline constexpr std::int64_t kExtremes_ns[] = {
    0,
    1,
    -1,
    std::numeric_limits<std::int64_t>::max(),
    std::numeric_limits<std::int64_t>::min(),
    std::numeric_limits<std::int64_t>::min() + 1,
    std::numeric_limits<std::int64_t>::max() / 2,
    -(std::numeric_limits<std::int64_t>::max() / 2),
    std::numeric_limits<std::int64_t>::max() / 2 - 16'666'667,
    1'000'000'000'000'000'000,
    -1'000'000'000'000'000'000,
    3'600'000'000'000,
};

// A time near `now`, now and then far from it: what a clock may say or a caller ask for.
inline std::int64_t odd_time(Input& in, std::int64_t now) {
  constexpr std::int64_t kSteps_ns[] = {1,          1000,        1'000'000,   4'000'000,
                                        16'666'667, 100'000'000, 400'000'000, 5'000'000'000};
  const std::uint8_t kind = in.byte();
  const std::int64_t times = static_cast<std::int8_t>(in.byte());
  if (kind >= 240) return kExtremes_ns[static_cast<std::size_t>(times & 0x7f) % 12];
  return std::clamp(now, kExtremes_ns[7], kExtremes_ns[6]) + times * kSteps_ns[kind % 8];
}

}  // namespace tipoff::fuzz
