#include "health_charts.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Cameras' clocks agree to about this before anything is learned of them.
constexpr double kClock_s = 0.002;
// A young baseline raises the thresholds by this over its blocks.
constexpr double kYoung = 4.0;
// Few people, among whom a gross error weighs much, raise them too: at one by nearly so much.
constexpr double kFew = 3.0;
// The doubt about the baseline of one camera stands for that about the others', who are fitted too.
constexpr double kOthersDoubt = 2.0;
// For how long people err alike is believed until so many windows have shown it: from one window to
// the next, twice as long, the variance grows as it did before and by a part more, within bounds.
// Each chart counts as a part of a window, and none for more than so many times what it should be.
constexpr double kAlikeWindows = 30.0;
constexpr double kAlikePart = 0.5;
constexpr double kLargestAlike = 4.0;
constexpr double kLeastAlike = 0.5;
constexpr double kLeastGrowth = 1.2;
constexpr double kMoreGrowth = 1.3;
constexpr double kMostGrowth = 2.0;
// Past chart values are remembered over this many blocks, 10 min; the rig's count as so many
// windows of the camera's own, and all count from so many on.
constexpr double kPastMemory = 2400.0;
constexpr double kRigWindows = 8.0;
constexpr double kLeastWindows = 2.0;
constexpr double kLargestPast = 9.0;
// Thresholds of the charts by window: short ones rest on few people and blocks.
constexpr std::array<double, kScales> kAlarm{6.5, 6.0, 6.0, 6.0, 6.0};
// Deviations that are of no account: turns and tilts, px; roll and zoom, px at this part of the
// focal length; lateness, s.
constexpr double kFloor_px = 0.02;
constexpr double kFloorRadius = 0.2;
constexpr double kFloor_s = 0.0008;

double floor_of(const Camera& camera, std::size_t chart) {
  switch (chart) {
    case 0:
    case 1:
      return kFloor_px / camera.k.fx;
    case 2:
      return kFloor_px / (kFloorRadius * camera.k.fx);
    case 3:
      return kFloor_px / (kFloorRadius * camera.k.fx);
    default:
      return kFloor_s;
  }
}

}  // namespace

Alike alike_of(const HealthMemory& memory) {
  Alike out{};
  for (std::size_t q = 0; q < kCharts; ++q) {
    double shorter = 1.0;
    double growth = kMostGrowth;
    for (std::size_t s = 0; s < kScales; ++s) {
      const double believed = shorter * std::clamp(growth, kLeastGrowth, kMostGrowth);
      const Moving& seen = memory.alike[q][s];
      out[q][s] = std::max(
          (kAlikeWindows * believed + seen.weight * seen.value) / (kAlikeWindows + seen.weight),
          kLeastAlike);
      growth = kMoreGrowth * out[q][s] / shorter;
      shorter = out[q][s];
    }
  }
  return out;
}

double inflation_of(const HealthMemory& memory, const HealthSpan& window, std::int64_t n) {
  std::size_t scale = 0;
  while (scale + 1 < kScales && kScaleBlocks[scale] < n) ++scale;
  const Alike alike = alike_of(memory);
  double sum = 0.0;
  for (std::size_t q = 0; q < kCharts; ++q) {
    const double h = window.information(kChartEffect[q], kChartEffect[q]);
    if (h > 0.0) sum += alike[q][scale] * window.variance[q] / h;
  }
  return std::max(sum / static_cast<double>(kCharts), 1e-3);
}

Charts::Charts(HealthMemory& memory, const Rig& rig)
    : memory_(memory), rig_(rig), alike_(alike_of(memory)) {
  pool();
}

ChartOutcome Charts::read(std::span<const char> judged) {
  ChartOutcome out;
  out.highest.assign(memory_.cameras.size(), 0.0);
  for (std::size_t c = 0; c < memory_.cameras.size(); ++c) {
    if (judged[c] != 0) read_camera(c, out);
  }
  return out;
}

void Charts::read_camera(std::size_t c, ChartOutcome& out) {
  CameraMemory& camera = memory_.cameras[c];
  const Effects known = sum(camera.baseline, camera.fault);
  const EffectMatrix doubt = covariance_of(base_information(camera));
  for (std::size_t s = 0; s < kScales; ++s) {
    const std::int64_t n = kScaleBlocks[s];
    if (memory_.index - n + 1 < camera.valid_from) break;
    const HealthSpan window = span_of(camera, memory_.index, n, known);
    const double people = window.people / static_cast<double>(n);
    const double few = kFew / (people * people + kFew);
    for (std::size_t q = 0; q < kCharts; ++q) {
      const Reading reading = value_of(c, q, s, window, doubt);
      if (!reading.given) continue;
      const double young = kChartEffect[q] == kLate ? 0.0 : kYoung / camera.base_blocks;
      const double alarm = kAlarm[s] * (1.0 + young + few);
      const double ratio = std::fabs(reading.value) / (alarm * reading.deviation);
      if (ratio > worst_) {
        worst_ = ratio;
        out.blocks = n;
      }
      out.highest[c] = std::max(out.highest[c], ratio);
      if (!accused(camera)) remember(camera, q, s, reading);
    }
  }
}

Charts::Reading Charts::value_of(std::size_t c, std::size_t chart, std::size_t scale,
                                 const HealthSpan& w, const EffectMatrix& doubt) const {
  const CameraMemory& camera = memory_.cameras[c];
  const std::size_t k = kChartEffect[chart];
  const double h = w.information(k, k);
  Reading out;
  if (!(h > 1e-9) || w.people < kLeastPeople) return out;
  out.given = true;
  out.value = w.gradient[k] / h;
  out.independent = w.variance[chart] / (h * h);
  const double between = alike_[chart][scale] * out.independent;
  const double floor = floor_of(rig_.cameras[c], chart);
  const double own = std::max(between, past(camera, chart, scale)) + floor * floor;
  Effects row{};
  for (std::size_t i = 0; i < kEffects; ++i) row[i] = w.information(k, i) / h;
  const double variance = own + kOthersDoubt * dot(row, doubt * row);
  out.deviation = std::sqrt(variance);
  out.own_part = own / variance;
  return out;
}

double Charts::past(const CameraMemory& camera, std::size_t chart, std::size_t scale) const {
  const Moving& own = camera.past[chart][scale];
  const double weight = own.weight + kRigWindows * rig_past_[chart][scale].weight;
  if (!(weight >= kLeastWindows)) return 0.0;
  return (own.weight * own.value +
          kRigWindows * rig_past_[chart][scale].weight * rig_past_[chart][scale].value) /
         weight;
}

// What the cameras' past is together; its weight is 1 once enough is known.
void Charts::pool() {
  for (std::size_t q = 0; q < kCharts; ++q) {
    for (std::size_t s = 0; s < kScales; ++s) {
      double sum = 0.0;
      double weight = 0.0;
      for (const CameraMemory& camera : memory_.cameras) {
        sum += camera.past[q][s].weight * camera.past[q][s].value;
        weight += camera.past[q][s].weight;
      }
      const bool enough = weight >= kLeastWindows;
      rig_past_[q][s] = {enough ? sum / weight : 0.0, enough ? 1.0 : 0.0};
    }
  }
}

// The camera's own past is taken in with the baseline, later, lest a change hides itself.
void Charts::remember(CameraMemory& camera, std::size_t chart, std::size_t scale,
                      const Reading& reading) {
  const double n = kScaleBlocks[scale];
  const double most = kLargestPast * reading.deviation * reading.deviation;
  const double squared = reading.own_part * std::min(reading.value * reading.value, most);
  camera.recent[static_cast<std::size_t>(memory_.index) % kHealthWindow].squared[chart][scale] =
      squared;
  const double times = squared / std::max(reading.independent, 1e-30);
  memory_.alike[chart][scale].learn(std::min(times, kLargestAlike * alike_[chart][scale]),
                                    kAlikePart / n, kPastMemory / n);
}

// By how much more the baseline's sums vary than their information says.
double Charts::base_inflation(const CameraMemory& camera) const {
  double alike = 0.0;
  for (const auto& chart : alike_) alike += chart[kScales - 1] / static_cast<double>(kCharts);
  return std::max(camera.inflation.value * alike, 1e-3);
}
EffectMatrix Charts::base_information(const CameraMemory& camera) const {
  EffectMatrix out = camera.base_information;
  out.scale(1.0 / base_inflation(camera));
  out.m[EffectMatrix::at(kLate, kLate)] += 1.0 / (kClock_s * kClock_s);
  return out;
}

void take_past(CameraMemory& camera, std::int64_t index) {
  const HealthBlock& block = block_of(camera, index);
  for (std::size_t q = 0; q < kCharts; ++q) {
    for (std::size_t s = 0; s < kScales; ++s) {
      const double n = kScaleBlocks[s];
      const double squared = block.squared[q][s];
      if (squared > 0.0) camera.past[q][s].learn(squared, 1.0 / n, kPastMemory / n);
    }
  }
}

}  // namespace tipoff
