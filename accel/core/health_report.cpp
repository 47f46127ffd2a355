#include <algorithm>

#include "health_charts.hpp"
#include "health_judge.hpp"

namespace tipoff {
namespace {

// Trust in an accused camera.
constexpr double kLeastScale = 2.0;
constexpr double kMostScale = 8.0;
constexpr double kUselessScale = 10.0;
// Where the far baseline of a court is, m from its centre, and how high people's middles are.
constexpr double kBaseline_m = 14.325;
constexpr double kMiddle_m = 1.0;

// Blocks after which a drift is told: 4 min.
constexpr double kDriftBlocks = 960.0;
// Blocks over which the explained share is told: 1 s.
constexpr std::int64_t kToldBlocks = 4;

unsigned mask_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTurned:
      return kTurnMask;
    case Verdict::kZoomed:
      return kZoomMask;
    case Verdict::kShifted:
      return kShiftMask;
    case Verdict::kLate:
      return kLateMask;
    default:
      return kAllMask;
  }
}

}  // namespace

double sigma_scale_of(const CameraMemory& camera) {
  if (useless(camera)) return kUselessScale;
  if (!accused(camera)) return 1.0;
  const double sd = camera.sd_px.value > 0.0 ? camera.sd_px.value : 1.0;
  const double part = 2.0 * camera.effect_px / sd;
  return std::clamp(std::sqrt(1.0 + part * part), kLeastScale, kMostScale);
}

CameraHealth health_of(const HealthMemory& memory, const Rig& rig, std::size_t c) {
  const CameraMemory& camera = memory.cameras[c];
  CameraHealth out;
  out.verdict = static_cast<Verdict>(camera.verdict);
  out.partner = camera.partner;
  out.sigma_scale = sigma_scale_of(camera);
  out.since_ns = camera.accused_ns;
  out.bias_px = {camera.bias_px[0].value, camera.bias_px[1].value};
  // Two means that forget at different rates lag a steady drift by their memories.
  constexpr double kLag_min = (240.0 - 30.0) / 60.0;
  if (camera.bias_px[2].weight >= kDriftBlocks) {
    out.drift_px_per_min = {(camera.bias_px[0].value - camera.bias_px[2].value) / kLag_min,
                            (camera.bias_px[1].value - camera.bias_px[3].value) / kLag_min};
  }
  const std::int64_t last = memory.index - 1;
  const BlockCounts counts = counts_of(camera, last, kToldBlocks);
  out.explained = counts.detections > 0.0 ? counts.explained / counts.detections : NAN;
  if (last < 0) return out;
  std::int64_t n = std::min<std::int64_t>(static_cast<std::int64_t>(kHealthWindow), memory.index);
  n = std::clamp<std::int64_t>(last - camera.valid_from + 1, 1, n);
  if (accused(camera)) n = std::clamp<std::int64_t>(last - camera.onset + 1, 1, n);
  const HealthSpan window = span_of(camera, last, n, camera.baseline);
  const EffectFit fit = fit_effects(window.information, window.gradient, mask_of(out.verdict));
  out.effect = fit.value;
  // Clocks are compared with the truth, everything else with what it was.
  if ((mask_of(out.verdict) & kLateMask) != 0) out.effect[kLate] += camera.baseline[kLate];
  const double inflation = inflation_of(memory, window, n);
  for (std::size_t k = 0; k < kEffects; ++k) {
    out.error[k] = std::sqrt(inflation * fit.variance[k]);
  }
  const Vec3 centre = rig.cameras[c].center;
  const double side = centre.x > 0.0 ? -1.0 : 1.0;
  out.displacement_m = displacement_m(rig, c, out.effect, {side * kBaseline_m, 0.0, kMiddle_m});
  out.at_far_baseline = out.displacement_m >= 0.0;
  if (!out.at_far_baseline) {
    out.displacement_m =
        displacement_m(rig, c, out.effect, {memory.place[0], memory.place[1], memory.place[2]});
  }
  return out;
}

}  // namespace tipoff
