#include "observation.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Times beyond this leave no room for differences, ns (about 146 years either way).
constexpr std::int64_t kLargestTime_ns = INT64_MAX / 2;
// Pixels beyond this many frame sizes are no measurement.
constexpr double kAbsurd = 4.0;

void check(const Observation& o, const Setup& setup) {
  if (o.camera < 0 || o.camera >= static_cast<int>(setup.rig.cameras.size())) {
    throw std::invalid_argument("camera " + std::to_string(o.camera) + " is not in the rig of " +
                                std::to_string(setup.rig.cameras.size()));
  }
  if (o.joints != setup.options.skeleton.joints) {
    throw std::invalid_argument("the keypoints have " + std::to_string(o.joints) +
                                " joints, the skeleton " +
                                std::to_string(setup.options.skeleton.joints));
  }
  if (o.time_ns > kLargestTime_ns || o.time_ns < -kLargestTime_ns) {
    throw std::invalid_argument("capture_time_ns " + std::to_string(o.time_ns) +
                                " is not a time in nanoseconds");
  }
}

// Which keypoints can be measurements.
class Sieve {
 public:
  explicit Sieve(const Camera& camera)
      : u_(static_cast<float>(kAbsurd * (camera.width + 1.0))),
        v_(static_cast<float>(kAbsurd * (camera.height + 1.0))) {}

  // Comparisons with NaN are false, infinities lie outside.
  bool passes(const float* k) const {
    return k[2] > 0.0F && k[2] <= 3.4e38F && std::fabs(k[0]) <= u_ && std::fabs(k[1]) <= v_;
  }

 private:
  float u_;
  float v_;
};

struct Candidate {
  int source;
  float weight;
};

// The rows with a usable keypoint, the most confident ones where there are too many.
std::vector<Candidate> choose_rows(const Observation& o, const Sieve& sieve, TrackerStats& stats) {
  std::vector<Candidate> rows;
  rows.reserve(static_cast<std::size_t>(o.rows));
  const auto stride = static_cast<std::size_t>(o.joints) * 3;
  for (int n = 0; n < o.rows; ++n) {
    const float* row = o.keypoints + static_cast<std::size_t>(n) * stride;
    float weight = 0.0F;
    int missing = 0;
    for (std::size_t j = 0; j < stride; j += 3) {
      if (sieve.passes(row + j)) {
        weight += std::min(row[j + 2], 1.0F);
      } else {
        ++missing;
      }
    }
    stats.missing_keypoints += missing;
    if (weight > 0.0F) rows.push_back({n, weight});
  }
  if (rows.size() > static_cast<std::size_t>(kMaxDetections)) {
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Candidate& a, const Candidate& b) { return a.weight > b.weight; });
    stats.dropped_detections += static_cast<std::int64_t>(rows.size()) - kMaxDetections;
    rows.resize(static_cast<std::size_t>(kMaxDetections));
    std::sort(rows.begin(), rows.end(),
              [](const Candidate& a, const Candidate& b) { return a.source < b.source; });
  }
  return rows;
}

Detection take_row(const float* values, const Sieve& sieve, std::size_t first, Frame& frame) {
  Detection d;
  d.x0 = d.y0 = 1e30;
  d.x1 = d.y1 = -1e30;
  double* u = frame.keypoints.row(0) + first;
  double* v = frame.keypoints.row(1) + first;
  double* confidence = frame.keypoints.row(2) + first;
  for (std::size_t j = 0; j < static_cast<std::size_t>(frame.joints); ++j) {
    const float* k = values + 3 * j;
    if (!sieve.passes(k)) continue;
    u[j] = static_cast<double>(k[0]);
    v[j] = static_cast<double>(k[1]);
    confidence[j] = static_cast<double>(std::min(k[2], 1.0F));
    frame.bands[first + j] = static_cast<std::uint8_t>(1 + NoiseModel::band_of(confidence[j]));
    ++d.present;
    d.x0 = std::min(d.x0, u[j]);
    d.y0 = std::min(d.y0, v[j]);
    d.x1 = std::max(d.x1, u[j]);
    d.y1 = std::max(d.y1, v[j]);
  }
  return d;
}

}  // namespace

FramePtr make_frame(const Observation& o, const Setup& setup, TrackerStats& stats) {
  check(o, setup);
  const Sieve sieve(setup.rig.cameras[static_cast<std::size_t>(o.camera)]);
  auto frame = std::make_shared<Frame>();
  frame->camera = o.camera;
  frame->time_ns = o.time_ns;
  frame->rows = o.rows;
  frame->joints = o.joints;
  frame->roster = o.evidence != nullptr ? o.roster : 0;
  frame->searched = o.searched;
  frame->asked = o.asked;
  const std::vector<Candidate> rows = choose_rows(o, sieve, stats);
  const std::size_t lanes = rows.size() * frame->lanes();
  frame->keypoints.clear(lanes);
  frame->bands.assign(lanes, 0);
  frame->detections.reserve(rows.size());
  const auto stride = static_cast<std::size_t>(o.joints) * 3;
  for (const Candidate& row : rows) {
    const auto source = static_cast<std::size_t>(row.source);
    const std::size_t first = frame->lane(frame->detections.size());
    Detection d = take_row(o.keypoints + source * stride, sieve, first, *frame);
    d.source = row.source;
    frame->detections.push_back(d);
    if (frame->roster > 0) {
      const auto roster = static_cast<std::size_t>(frame->roster);
      const float* values = o.evidence + source * roster;
      frame->evidence.insert(frame->evidence.end(), values, values + roster);
    }
  }
  return frame;
}

}  // namespace tipoff
