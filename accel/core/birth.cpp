#include "birth.hpp"

#include <algorithm>

#include "solve.hpp"

namespace tipoff {
namespace {

constexpr std::size_t kMaxLeftovers = 256;
constexpr std::size_t kMaxPairs = 1024;
constexpr std::size_t kMaxHypotheses = 96;
// Pixel error, as a part of the person's size in the image, at which a joint speaks against a pair.
constexpr double kPairError = 0.05;
constexpr double kPairGate = 0.55;
// Two middle rays farther apart than this cannot be one person, m.
constexpr double kMiddleGate_m = 0.6;
// A body's extent, m.
constexpr double kSmallest_m = 0.25;
constexpr double kLargest_m = 3.2;
// What is known of a joint that no pair of views gave: that it is on the body.
constexpr double kSomewhere_m = 0.35;
constexpr double kStartSpeed_mps = 2.5;
constexpr double kStartFloor_m = 0.01;

struct Candidate {
  std::size_t index = 0;
  const Camera* camera = nullptr;
  int camera_index = 0;
  const Keypoint* keypoints = nullptr;
  double size_px = 1.0;
  Vec3 middle;  // direction of the ray through the detection's middle
  std::vector<Vec3> rays;
  std::vector<char> present;
};

struct Pair {
  std::size_t a = 0;
  std::size_t b = 0;
  double cost = 0.0;
};

Candidate candidate_of(const Leftover& leftover, std::size_t index, const Rig& rig) {
  Candidate c;
  const Frame& frame = *leftover.frame;
  c.index = index;
  c.camera_index = frame.camera;
  c.camera = &rig.cameras[static_cast<std::size_t>(frame.camera)];
  c.keypoints = frame.of(leftover.detection);
  c.size_px = std::max(frame.detections[leftover.detection].size_px(), 1.0);
  const auto joints = static_cast<std::size_t>(frame.joints);
  c.rays.resize(joints);
  c.present.assign(joints, 0);
  Vec3 sum;
  for (std::size_t j = 0; j < joints; ++j) {
    Vec2 normalised;
    if (c.keypoints[j].confidence <= 0.0) continue;
    if (!undistort(*c.camera, c.keypoints[j].uv, normalised)) continue;
    c.rays[j] = ray_direction(*c.camera, normalised);
    c.present[j] = 1;
    sum = sum + c.rays[j];
  }
  const double length = norm(sum);
  c.middle = length > 0.0 ? (1.0 / length) * sum : sum;
  return c;
}

// Where two rays come closest: half of the gap, the point and both depths.
struct Meeting {
  Vec3 point;
  double gap = 0.0;
  double ta = 0.0;
  double tb = 0.0;
};

bool meet(const Candidate& a, Vec3 da, const Candidate& b, Vec3 db, Meeting& out) {
  const Vec3 base = b.camera->center - a.camera->center;
  const double c = dot(da, db);
  const double det = 1.0 - c * c;
  if (!(det > 1e-6)) return false;
  out.ta = (dot(base, da) - c * dot(base, db)) / det;
  out.tb = (c * dot(base, da) - dot(base, db)) / det;
  if (!(out.ta > 0.1) || !(out.tb > 0.1)) return false;
  const Vec3 pa = a.camera->center + out.ta * da;
  const Vec3 pb = b.camera->center + out.tb * db;
  out.point = 0.5 * (pa + pb);
  out.gap = norm(pa - pb);
  return true;
}

// Mean misfit of the joints that both see, 1 where they cannot be one body.
double pair_cost(const Candidate& a, const Candidate& b, int joints) {
  Meeting m;
  if (!meet(a, a.middle, b, b.middle, m) || m.gap > kMiddleGate_m) return 1.0;
  double sum = 0.0;
  int common = 0;
  Vec3 low{1e30, 1e30, 1e30};
  Vec3 high{-1e30, -1e30, -1e30};
  for (std::size_t j = 0; j < a.rays.size(); ++j) {
    if (!a.present[j] || !b.present[j]) continue;
    ++common;
    if (!meet(a, a.rays[j], b, b.rays[j], m)) {
      sum += 1.0;
      continue;
    }
    const double ea = 0.5 * m.gap * a.camera->k.fx / (m.ta * a.size_px);
    const double eb = 0.5 * m.gap * b.camera->k.fx / (m.tb * b.size_px);
    const double r2 = 0.5 * (ea * ea + eb * eb) / (kPairError * kPairError);
    sum += r2 / (r2 + 1.0);
    low = {std::min(low.x, m.point.x), std::min(low.y, m.point.y), std::min(low.z, m.point.z)};
    high = {std::max(high.x, m.point.x), std::max(high.y, m.point.y), std::max(high.z, m.point.z)};
  }
  if (common < std::min(4, joints)) return 1.0;
  const double extent = norm(high - low);
  const bool body = joints < 4 || (extent > kSmallest_m && extent < kLargest_m);
  return body ? sum / common : 1.0;
}

class Proposer {
 public:
  Proposer(const std::vector<Leftover>& leftovers, const Rig& rig, const TrackerOptions& options)
      : joints_(options.skeleton.joints) {
    const std::size_t n = std::min(leftovers.size(), kMaxLeftovers);
    candidates_.reserve(n);
    for (std::size_t i = 0; i < n; ++i) candidates_.push_back(candidate_of(leftovers[i], i, rig));
    used_.assign(n, 0);
  }

  std::vector<Proposal> run() {
    score_pairs();
    std::vector<Proposal> out;
    std::vector<Proposal> hypotheses;
    const std::size_t count = std::min(pairs_.size(), kMaxHypotheses);
    hypotheses.reserve(count);
    for (std::size_t i = 0; i < count; ++i) hypotheses.push_back(grow(pairs_[i]));
    std::stable_sort(hypotheses.begin(), hypotheses.end(),
                     [](const Proposal& a, const Proposal& b) {
                       if (a.members.size() != b.members.size())
                         return a.members.size() > b.members.size();
                       return a.cost < b.cost;
                     });
    for (Proposal& h : hypotheses) {
      if (std::any_of(h.members.begin(), h.members.end(),
                      [&](std::size_t m) { return used_[m]; })) {
        continue;
      }
      for (const std::size_t m : h.members) used_[m] = 1;
      out.push_back(std::move(h));
    }
    return out;
  }

 private:
  void score_pairs() {
    const std::size_t n = candidates_.size();
    costs_.assign(n * n, 1.0);
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t b = a + 1; b < n; ++b) {
        if (candidates_[a].camera_index == candidates_[b].camera_index) continue;
        const double cost = pair_cost(candidates_[a], candidates_[b], joints_);
        costs_[a * n + b] = costs_[b * n + a] = cost;
        if (cost < kPairGate) pairs_.push_back({a, b, cost});
      }
    }
    std::stable_sort(pairs_.begin(), pairs_.end(),
                     [](const Pair& x, const Pair& y) { return x.cost < y.cost; });
    if (pairs_.size() > kMaxPairs) pairs_.resize(kMaxPairs);
  }

  // Adds to a pair, camera by camera, the leftover that agrees best with all members so far.
  Proposal grow(const Pair& pair) const {
    const std::size_t n = candidates_.size();
    Proposal out;
    out.members = {pair.a, pair.b};
    double sum = pair.cost;
    int terms = 1;
    for (;;) {
      std::size_t best = n;
      double best_cost = kPairGate;
      for (std::size_t c = 0; c < n; ++c) {
        double worst = 0.0;
        double total = 0.0;
        for (const std::size_t m : out.members) {
          const double cost =
              candidates_[m].camera_index == candidates_[c].camera_index ? 1.0 : costs_[m * n + c];
          worst = std::max(worst, cost);
          total += cost;
        }
        const double mean = total / static_cast<double>(out.members.size());
        if (worst < 0.8 && mean < best_cost) {
          best = c;
          best_cost = mean;
        }
      }
      if (best == n) break;
      out.members.push_back(best);
      sum += best_cost;
      ++terms;
    }
    out.cost = sum / terms;
    return out;
  }

  int joints_;
  std::vector<Candidate> candidates_;
  std::vector<char> used_;
  std::vector<double> costs_;
  std::vector<Pair> pairs_;
};

// The robust point of one joint over the members; false with fewer than two of them in agreement.
bool solve_joint(const Proposal& proposal, const std::vector<Leftover>& leftovers, const Rig& rig,
                 const State& state, std::size_t joint, std::int64_t time_ns, PointSolution& out,
                 Sightings& views) {
  views.count = 0;
  for (const std::size_t m : proposal.members) {
    const Frame& frame = *leftovers[m].frame;
    const Keypoint& keypoint = frame.of(leftovers[m].detection)[joint];
    if (keypoint.confidence <= 0.0) continue;
    const Camera& camera = rig.cameras[static_cast<std::size_t>(frame.camera)];
    const std::int64_t row = frame.time_ns - time_ns + row_delay_ns(camera, keypoint.uv.y);
    views.items[static_cast<std::size_t>(views.count++)] = {
        &camera, keypoint.uv, state.noise.sigma_px(frame.camera, keypoint.confidence),
        1e-9 * static_cast<double>(row), frame.camera};
  }
  return solve_free(views, Vec3{}, out);
}

}  // namespace

std::vector<Proposal> propose(const std::vector<Leftover>& leftovers, const Rig& rig,
                              const TrackerOptions& options) {
  if (leftovers.size() < 2) return {};
  return Proposer(leftovers, rig, options).run();
}

Track make_track(const Proposal& proposal, const std::vector<Leftover>& leftovers, const Rig& rig,
                 const State& state, const TrackerOptions& options, std::int64_t time_ns) {
  const auto joints = static_cast<std::size_t>(options.skeleton.joints);
  const std::size_t cameras = rig.cameras.size();
  Track track;
  track.born_ns = track.seen_ns = track.paired_ns = time_ns;
  track.joints.resize(joints);
  track.limbs.resize(options.skeleton.limbs.size());
  track.supported_ns.assign(joints * cameras, kNever);
  std::vector<char> found(joints, 0);
  Vec3 sum;
  int count = 0;
  PointSolution solution;
  Sightings views;
  for (std::size_t j = 0; j < joints; ++j) {
    Sym3 covariance;
    if (!solve_joint(proposal, leftovers, rig, state, j, time_ns, solution, views) ||
        !invert(solution.information, covariance)) {
      continue;
    }
    found[j] = 1;
    sum = sum + solution.point;
    ++count;
    Joint& joint = track.joints[j];
    joint.filter.start(solution.point, Vec3{},
                       covariance + Sym3::diagonal(kStartFloor_m * kStartFloor_m), kStartSpeed_mps);
    joint.seen_ns = time_ns;
    for (int i = 0; i < views.count; ++i) {
      const auto slot = static_cast<std::size_t>(i);
      if (solution.r2[slot] > kCore) continue;
      track.supported_ns[j * cameras + static_cast<std::size_t>(views.items[slot].slot)] = time_ns;
    }
  }
  if (count == 0) return {};
  const Vec3 middle = (1.0 / count) * sum;
  for (std::size_t j = 0; j < joints; ++j) {
    if (found[j]) continue;
    track.joints[j].filter.start(middle, Vec3{}, Sym3::diagonal(kSomewhere_m * kSomewhere_m),
                                 kStartSpeed_mps);
  }
  return track;
}

}  // namespace tipoff
