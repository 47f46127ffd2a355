#include "birth.hpp"

#include <algorithm>
#include <array>

namespace tipoff {
namespace {

// Leftovers that are looked at in one step, shared out evenly among the cameras.
constexpr std::size_t kMaxCandidates = 512;
constexpr std::size_t kLeastPerCamera = 4;
constexpr std::size_t kMaxPairsKept = 4096;
constexpr std::size_t kMaxHypotheses = 192;
// Pixel error, as a part of the person's size in the image, at which a joint speaks against a pair.
constexpr double kPairError = 0.05;
constexpr double kPairGate = 0.55;
constexpr double kWorstGate = 0.8;
// Joints that two views must share: one in so many of the skeleton's, at most as many.
constexpr int kCommon = 4;
// Two middle rays farther apart than this cannot be one person, m.
constexpr double kMiddleGate_m = 0.6;
// A body's extent, m.
constexpr double kSmallest_m = 0.25;
constexpr double kLargest_m = 3.2;
// What is known of a joint that no pair of views gave: that it is on the body.
constexpr double kSomewhere_m = 0.35;
constexpr double kStartSpeed_mps = 2.5;
constexpr double kStartFloor_m = 0.01;

class Proposer {
 public:
  Proposer(const State& state, const Setup& setup, BirthScratch& scratch)
      : state_(state), setup_(setup), s_(scratch), block_(padded(setup.joints)) {}

  std::vector<Proposal> run() {
    choose_candidates();
    find_rays();
    score_pairs();
    std::vector<Proposal> out;
    grow_all(3, out);
    grow_all(2, out);
    for (Proposal& proposal : out) {
      for (std::size_t& m : proposal.members) m = s_.candidates[m].leftover;
    }
    return out;
  }

 private:
  const Frame& frame_of(std::size_t leftover) const { return *state_.leftovers[leftover].frame; }

  // The most complete detections of each camera.
  void choose_candidates() {
    s_.candidates.clear();
    const std::size_t share =
        std::max(kLeastPerCamera, kMaxCandidates / std::max<std::size_t>(1, cameras_waiting()));
    std::array<std::size_t, kMaxCameras> taken{};
    for (std::size_t i = 0; i < state_.leftovers.size(); ++i) {
      const Frame& frame = frame_of(i);
      const auto c = static_cast<std::size_t>(frame.camera);
      if (taken[c] >= share || s_.candidates.size() >= kMaxCandidates) continue;
      ++taken[c];
      const double size = frame.detections[state_.leftovers[i].detection].size_px;
      s_.candidates.push_back({i, frame.camera, std::max(size, 1.0), {}});
    }
    s_.used.assign(s_.candidates.size(), 0);
  }

  std::size_t cameras_waiting() const {
    std::uint64_t seen = 0;
    for (const Leftover& leftover : state_.leftovers) {
      seen |= std::uint64_t{1} << leftover.frame->camera;
    }
    return static_cast<std::size_t>(__builtin_popcountll(seen));
  }

  void find_rays() {
    s_.rays.reserve(s_.candidates.size() * block_);
    for (std::size_t i = 0; i < s_.candidates.size(); ++i) {
      BirthScratch::Candidate& candidate = s_.candidates[i];
      const Leftover& leftover = state_.leftovers[candidate.leftover];
      const std::size_t lane = leftover.frame->lane(leftover.detection);
      RayArgs args{};
      args.lens = &setup_.lenses[static_cast<std::size_t>(candidate.camera)];
      std::array<std::array<double, kMaxJoints>, 3> keypoints;
      for (std::size_t r = 0; r < keypoints.size(); ++r) {
        std::copy_n(leftover.frame->keypoints.row(r) + lane, block_, keypoints[r].begin());
      }
      args.u = keypoints[0].data();
      args.v = keypoints[1].data();
      args.given = keypoints[2].data();
      std::array<std::array<double, kMaxJoints>, 4> rays{};
      for (std::size_t r = 0; r < 3; ++r) args.ray[r] = rays[r].data();
      args.valid = rays[3].data();
      args.lanes = static_cast<long>(setup_.joints);
      setup_.kernels->rays(args);
      Vec3 sum;
      for (std::size_t j = 0; j < setup_.joints; ++j) {
        sum = sum + Vec3{rays[0][j], rays[1][j], rays[2][j]};
      }
      for (std::size_t r = 0; r < rays.size(); ++r) {
        float* row = s_.rays.row(r) + i * block_;
        for (std::size_t j = 0; j < block_; ++j) row[j] = static_cast<float>(rays[r][j]);
      }
      const double length = norm(sum);
      candidate.middle = length > 0.0 ? (1.0 / length) * sum : sum;
    }
  }

  // Whether the middle rays of two candidates pass each other closely enough before both cameras.
  bool may_meet(const BirthScratch::Candidate& a, const BirthScratch::Candidate& b) const {
    const Vec3 base = setup_.rig.cameras[static_cast<std::size_t>(b.camera)].center -
                      setup_.rig.cameras[static_cast<std::size_t>(a.camera)].center;
    const double c = dot(a.middle, b.middle);
    const double det = 1.0 - c * c;
    if (!(det > 1e-6)) return false;
    const double ta = dot(base, a.middle) - c * dot(base, b.middle);
    const double tb = c * dot(base, a.middle) - dot(base, b.middle);
    if (!(ta > 0.1 * det) || !(tb > 0.1 * det)) return false;
    const Vec3 gap = det * base + tb * b.middle - ta * a.middle;
    const double most = kMiddleGate_m * det;
    return dot(gap, gap) <= most * most;
  }

  // Mean misfit of the joints that both see, 1 where they cannot be one body.
  double pair_cost(std::size_t a, std::size_t b) const {
    const BirthScratch::Candidate& ca = s_.candidates[a];
    const BirthScratch::Candidate& cb = s_.candidates[b];
    if (!may_meet(ca, cb)) return 1.0;
    MeetArgs args{};
    args.a = &setup_.lenses[static_cast<std::size_t>(ca.camera)];
    args.b = &setup_.lenses[static_cast<std::size_t>(cb.camera)];
    for (std::size_t r = 0; r < 3; ++r) {
      args.ray_a[r] = s_.rays.row(r) + a * block_;
      args.ray_b[r] = s_.rays.row(r) + b * block_;
    }
    args.valid_a = s_.rays.row(3) + a * block_;
    args.valid_b = s_.rays.row(3) + b * block_;
    const double sa = 0.5 * args.a->fx / (ca.size_px * kPairError);
    const double sb = 0.5 * args.b->fx / (cb.size_px * kPairError);
    args.scale_a = sa * sa;
    args.scale_b = sb * sb;
    args.joints = static_cast<long>(setup_.joints);
    Meeting meeting{};
    setup_.kernels->meet(args, meeting);
    const int joints = static_cast<int>(setup_.joints);
    if (meeting.common < static_cast<double>(std::clamp(joints / kCommon, 1, kCommon))) return 1.0;
    if (joints >= 4) {
      const Vec3 span{meeting.high[0] - meeting.low[0], meeting.high[1] - meeting.low[1],
                      meeting.high[2] - meeting.low[2]};
      const double extent = norm(span);
      if (!(extent > kSmallest_m) || !(extent < kLargest_m)) return 1.0;
    }
    return meeting.sum / meeting.common;
  }

  void score_pairs() {
    const std::size_t n = s_.candidates.size();
    s_.costs.assign(n * n, 1.0F);
    s_.pairs.clear();
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t b = a + 1; b < n; ++b) {
        if (s_.candidates[a].camera == s_.candidates[b].camera) continue;
        const double cost = pair_cost(a, b);
        s_.costs[a * n + b] = s_.costs[b * n + a] = static_cast<float>(cost);
        if (cost < kPairGate) s_.pairs.push_back({a, b, cost});
      }
    }
    std::stable_sort(s_.pairs.begin(), s_.pairs.end(),
                     [](const auto& x, const auto& y) { return x.cost < y.cost; });
    if (s_.pairs.size() > kMaxPairsKept) s_.pairs.resize(kMaxPairsKept);
  }

  // Grows the best pairs whose members are free; keeps what reaches `least` views.
  void grow_all(std::size_t least, std::vector<Proposal>& out) {
    std::size_t tried = 0;
    for (const BirthScratch::Pair& pair : s_.pairs) {
      if (s_.used[pair.a] || s_.used[pair.b]) continue;
      if (++tried > kMaxHypotheses) break;
      Proposal proposal = grow(pair);
      if (proposal.members.size() < least) continue;
      for (const std::size_t m : proposal.members) s_.used[m] = 1;
      out.push_back(std::move(proposal));
    }
  }

  // Adds to a pair, camera by camera, the free candidate that agrees best with all members so far.
  Proposal grow(const BirthScratch::Pair& pair) const {
    const std::size_t n = s_.candidates.size();
    Proposal out;
    out.members = {pair.a, pair.b};
    double sum = pair.cost;
    int terms = 1;
    for (;;) {
      std::size_t best = n;
      double best_cost = kPairGate;
      for (std::size_t c = 0; c < n; ++c) {
        if (s_.used[c]) continue;
        double worst = 0.0;
        double total = 0.0;
        for (const std::size_t m : out.members) {
          const double cost = static_cast<double>(s_.costs[m * n + c]);
          worst = std::max(worst, cost);
          total += cost;
          if (worst >= kWorstGate) break;
        }
        const double mean = total / static_cast<double>(out.members.size());
        if (worst < kWorstGate && mean < best_cost) {
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

  const State& state_;
  const Setup& setup_;
  BirthScratch& s_;
  std::size_t block_;
};

void pose_problem(const State& state, const Proposal& proposal, const Setup& setup,
                  FreeProblem& p) {
  p.reset(proposal.members.size(), setup.joints);
  for (std::size_t f = 0; f < proposal.members.size(); ++f) {
    const Leftover& leftover = state.leftovers[proposal.members[f]];
    const Frame& frame = *leftover.frame;
    const Camera& camera = setup.rig.cameras[static_cast<std::size_t>(frame.camera)];
    p.cameras[f] = frame.camera;
    for (std::size_t j = 0; j < setup.joints; ++j) {
      const std::size_t lane = frame.lane(leftover.detection) + j;
      const double confidence = frame.keypoints.at(2, lane);
      if (!(confidence > 0.0)) continue;
      const double v = frame.keypoints.at(1, lane);
      p.views[f].at(kZu, j) = frame.keypoints.at(0, lane);
      p.views[f].at(kZv, j) = v;
      p.views[f].at(kInv, j) =
          1.0 / state.noise.variance_px2(frame.camera, NoiseModel::band_of(confidence));
      const std::int64_t row = frame.time_ns - state.time_ns + row_delay_ns(camera, v);
      p.views[f].at(FreeProblem::kTime, j) = 1e-9 * static_cast<double>(row);
    }
  }
}

}  // namespace

std::vector<Proposal> propose(const State& state, const Setup& setup, BirthScratch& scratch) {
  if (state.leftovers.size() < 2) return {};
  return Proposer(state, setup, scratch).run();
}

bool make_track(State& state, const Proposal& proposal, const Setup& setup, BirthScratch& scratch) {
  FreeProblem& p = scratch.problem;
  pose_problem(state, proposal, setup, p);
  solve_without_prior(p, setup);
  Vec3 sum;
  int count = 0;
  for (std::size_t j = 0; j < setup.joints; ++j) {
    Sym3 covariance;
    if (!(p.solution.at(kInliers, j) >= 2.0) ||
        !invert(sym3_at(p.solution, kInfo, j), covariance)) {
      p.solution.at(kInliers, j) = -1.0;
      continue;
    }
    sum = sum + vec3_at(p.start, 0, j) + vec3_at(p.solution, kMove, j);
    ++count;
  }
  if (count == 0) return false;
  const Vec3 middle = (1.0 / count) * sum;
  const std::size_t k = append_track(state, setup.joints, setup.limbs);
  Track& track = state.tracks[k];
  track.born_ns = track.seen_ns = track.paired_ns = state.time_ns;
  for (std::size_t j = 0; j < setup.joints; ++j) {
    const std::size_t lane = k * setup.joints + j;
    if (p.solution.at(kInliers, j) < 0.0) {
      start_joint(state.joints, lane, middle, Vec3{}, Sym3::diagonal(kSomewhere_m * kSomewhere_m),
                  kStartSpeed_mps);
      continue;
    }
    Sym3 covariance;
    invert(sym3_at(p.solution, kInfo, j), covariance);
    start_joint(state.joints, lane, vec3_at(p.start, 0, j) + vec3_at(p.solution, kMove, j), Vec3{},
                covariance + Sym3::diagonal(kStartFloor_m * kStartFloor_m), kStartSpeed_mps);
    double confidence = 0.0;
    double supporting = 0.0;
    for (std::size_t f = 0; f < proposal.members.size(); ++f) {
      if (p.views[f].at(FreeProblem::kResidual, j) > kCore) continue;
      const Leftover& leftover = state.leftovers[proposal.members[f]];
      state.supports[lane] |= std::uint64_t{1} << leftover.frame->camera;
      confidence += leftover.frame->keypoints.at(2, leftover.frame->lane(leftover.detection) + j);
      supporting += 1.0;
    }
    state.joints.at(kConfidence, lane) = supporting > 0.0 ? confidence / supporting : 0.0;
  }
  return true;
}

}  // namespace tipoff
