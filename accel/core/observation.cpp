#include "observation.hpp"

#include <algorithm>
#include <numeric>

namespace tipoff {
namespace {

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

struct Candidate {
  int source;
  float weight;
};

// The most confident ones of too many rows; only then are all of them weighed beforehand.
std::vector<int> choose_rows(const Observation& o, const Setup& setup, const SieveArgs& sieve,
                             TrackerStats& stats) {
  std::vector<int> rows;
  std::vector<Candidate> candidates;
  FloatLanes unused(3);
  unused.reserve(setup.joints);
  SieveArgs args = sieve;
  args.u = unused.row(0);
  args.v = unused.row(1);
  args.confidence = unused.row(2);
  for (int n = 0; n < o.rows; ++n) {
    args.keypoints = o.keypoints + static_cast<std::size_t>(n) * setup.joints * 3;
    Sieved found{};
    setup.kernels->sieve(args, found);
    if (found.present > 0.0) {
      const double weight = std::accumulate(args.confidence, args.confidence + o.joints, 0.0);
      candidates.push_back({n, static_cast<float>(weight)});
    } else {
      stats.missing_keypoints += o.joints;
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.weight > b.weight; });
  if (candidates.size() > static_cast<std::size_t>(kMaxDetections)) {
    stats.dropped_detections += static_cast<std::int64_t>(candidates.size()) - kMaxDetections;
    candidates.resize(static_cast<std::size_t>(kMaxDetections));
  }
  for (const Candidate& candidate : candidates) rows.push_back(candidate.source);
  std::sort(rows.begin(), rows.end());
  return rows;
}

// Takes one row for a detection where any of it is usable.
void add_row(Frame& frame, const Observation& o, int source, const Setup& setup, SieveArgs& args,
             TrackerStats& stats) {
  const std::size_t first = frame.lane(frame.detections.size());
  args.keypoints = o.keypoints + static_cast<std::size_t>(source) * setup.joints * 3;
  args.u = frame.keypoints.row(0) + first;
  args.v = frame.keypoints.row(1) + first;
  args.confidence = frame.keypoints.row(2) + first;
  Sieved found{};
  setup.kernels->sieve(args, found);
  stats.missing_keypoints += o.joints - static_cast<std::int64_t>(found.present);
  if (!(found.present > 0.0)) return;
  const double width = found.x1 - found.x0;
  const double height = found.y1 - found.y0;
  frame.detections.push_back({source, static_cast<int>(found.present), found.x0, found.y0, found.x1,
                              found.y1, std::sqrt(width * width + height * height)});
  if (frame.roster == 0) return;
  const auto roster = static_cast<std::size_t>(frame.roster);
  const float* values = o.evidence + static_cast<std::size_t>(source) * roster;
  frame.evidence.insert(frame.evidence.end(), values, values + roster);
}

}  // namespace

void take_boxes(Frame& frame) {
  const std::size_t count = frame.detections.size();
  frame.boxes.reserve(count);
  for (std::size_t n = 0; n < frame.boxes.stride(); ++n) {
    const Detection d = n < count ? frame.detections[n] : Detection{};
    // A box that comes near nothing fills the last block.
    frame.boxes.at(0, n) = n < count ? d.x0 : 1e30;
    frame.boxes.at(1, n) = n < count ? d.y0 : 1e30;
    frame.boxes.at(2, n) = n < count ? d.x1 : -1e30;
    frame.boxes.at(3, n) = n < count ? d.y1 : -1e30;
    frame.boxes.at(4, n) = d.size_px;
  }
}

void fill(Frame& frame, const Observation& o, const Setup& setup, TrackerStats& stats) {
  check(o, setup);
  const Camera& camera = setup.rig.cameras[static_cast<std::size_t>(o.camera)];
  frame.camera = o.camera;
  frame.time_ns = o.time_ns;
  frame.rows = o.rows;
  frame.joints = o.joints;
  frame.roster = o.evidence != nullptr ? o.roster : 0;
  frame.searched = o.searched;
  frame.asked = o.asked;
  frame.detections.clear();
  frame.evidence.clear();
  SieveArgs args{};
  args.joints = o.joints;
  args.most_u = static_cast<float>(kAbsurd * (camera.width + 1.0));
  args.most_v = static_cast<float>(kAbsurd * (camera.height + 1.0));
  std::vector<int> chosen;
  if (o.rows > kMaxDetections) chosen = choose_rows(o, setup, args, stats);
  const int rows = o.rows > kMaxDetections ? static_cast<int>(chosen.size()) : o.rows;
  frame.keypoints.reserve(static_cast<std::size_t>(rows) * frame.lanes());
  frame.detections.reserve(static_cast<std::size_t>(rows));
  for (int n = 0; n < rows; ++n) {
    const int source = chosen.empty() ? n : chosen[static_cast<std::size_t>(n)];
    add_row(frame, o, source, setup, args, stats);
  }
  take_boxes(frame);
  // Lanes of rows that held nothing stay behind the detections; they mean nothing.
  const std::size_t used = frame.lane(frame.detections.size());
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t i = used; i < frame.keypoints.stride(); ++i) frame.keypoints.at(r, i) = 0.0F;
  }
}

}  // namespace tipoff
