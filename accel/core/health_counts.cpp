#include "health_counts.hpp"

#include <algorithm>
#include <limits>

namespace tipoff {
namespace {

// Counts: windows in blocks, shares, detections.
constexpr std::int64_t kSwapBlocks = 2;
constexpr std::int64_t kStrayBlocks = 8;
constexpr std::int64_t kReturnBlocks = 4;
constexpr double kSwapShare = 0.5;
constexpr double kSwapMargin = 2.5;
constexpr double kSwapTried = 24.0;
constexpr double kStrayShare = 0.4;
constexpr double kStrayDetections = 40.0;
constexpr double kReturnShare = 0.6;
constexpr double kUsualMemory = 480.0;
constexpr double kUsualLeast = 0.3;
constexpr double kBlindShare = 0.1;
constexpr double kBlindExpected = 60.0;
// Blocks from which what is usual is known.
constexpr double kUsualBlocks = 16.0;

}  // namespace

void learn_usual(CameraMemory& camera, std::int64_t index) {
  const BlockCounts now = counts_of(camera, index, kSwapBlocks);
  if (!(now.detections > 0.0) || accused(camera) || !(camera.base_blocks > 0.0)) return;
  camera.usual_share.learn(now.explained / now.detections, 1.0, kUsualMemory);
}

bool returned(const CameraMemory& camera, std::int64_t index) {
  if (index - camera.accused_at < kReturnBlocks) return false;
  const BlockCounts now = counts_of(camera, index, kReturnBlocks);
  const double usual = camera.usual_share.weight > kUsualBlocks ? camera.usual_share.value : 1.0;
  if (static_cast<Verdict>(camera.verdict) == Verdict::kBlind) {
    return now.expected > 0.0 && now.held > kReturnShare * now.expected;
  }
  return now.detections > 0.0 && now.explained > kReturnShare * usual * now.detections;
}

int whose_pictures(const CameraMemory& camera, std::int64_t index, const OpenCounts& open) {
  const BlockCounts now = counts_of(camera, index, kSwapBlocks);
  if (open.tried.empty() || !(now.detections > 0.0)) return -1;
  const double own = now.explained / now.detections;
  int best = -1;
  double best_share = std::max(kSwapShare, kSwapMargin * own);
  for (std::size_t o = 0; o < open.tried.size(); ++o) {
    if (open.tried[o] < kSwapTried) continue;
    const double share = open.matched[o] / open.tried[o];
    if (share >= best_share) {
      best = static_cast<int>(o);
      best_share = share;
    }
  }
  return best;
}

double share_of_usual(const CameraMemory& camera, std::int64_t index) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const Moving& usual = camera.usual_share;
  if (usual.weight < kUsualBlocks || usual.value < kUsualLeast) return kNaN;
  const BlockCounts now = counts_of(camera, index, kStrayBlocks);
  if (now.detections < kStrayDetections) return kNaN;
  return now.explained / (usual.value * now.detections);
}

bool strayed(double share, double others) {
  return share < kStrayShare && others >= kReturnShare;
}

bool blinded(const CameraMemory& camera, std::int64_t index) {
  if (camera.usual_share.weight < kUsualBlocks) return false;
  const BlockCounts now = counts_of(camera, index, kStrayBlocks);
  return now.expected >= kBlindExpected && now.held < kBlindShare * now.expected &&
         now.detections < kBlindShare * now.expected;
}

}  // namespace tipoff
