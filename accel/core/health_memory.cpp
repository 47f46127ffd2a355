#include "health_memory.hpp"

#include <algorithm>

namespace tipoff {

void Moving::learn(double sample, double share, double memory) {
  weight = std::min(weight + share, memory);
  value += (sample - value) * std::min(share / weight, 1.0);
}

bool accused(const CameraMemory& camera) {
  const auto verdict = static_cast<Verdict>(camera.verdict);
  return verdict == Verdict::kTurned || verdict == Verdict::kZoomed ||
         verdict == Verdict::kShifted || verdict == Verdict::kLate || useless(camera);
}

bool useless(const CameraMemory& camera) {
  const auto verdict = static_cast<Verdict>(camera.verdict);
  return verdict == Verdict::kSwapped || verdict == Verdict::kAstray || verdict == Verdict::kBlind;
}

Effects sum(const Effects& a, const Effects& b) {
  Effects out{};
  for (std::size_t k = 0; k < kEffects; ++k) out[k] = a[k] + b[k];
  return out;
}

BlockCounts counts_of(const CameraMemory& camera, std::int64_t index, std::int64_t n) {
  BlockCounts out;
  for (std::int64_t b = std::max<std::int64_t>(index - n + 1, 0); b <= index; ++b) {
    const HealthBlock& block = block_of(camera, b);
    out.detections += block.detections;
    out.explained += block.explained;
    out.expected += block.expected;
    out.held += block.held;
  }
  return out;
}

HealthSpan span_of(const CameraMemory& camera, std::int64_t index, std::int64_t n,
                   const Effects& known) {
  HealthSpan out;
  for (std::int64_t b = index - n + 1; b <= index; ++b) {
    const HealthBlock& block = block_of(camera, b);
    for (std::size_t k = 0; k < kEffects; ++k) out.gradient[k] += block.gradient[k];
    for (std::size_t q = 0; q < kCharts; ++q) out.variance[q] += block.variance[q];
    out.information.add(block.information);
    out.people += block.people;
  }
  const Effects shift = out.information * known;
  for (std::size_t k = 0; k < kEffects; ++k) out.gradient[k] -= shift[k];
  return out;
}

}  // namespace tipoff
