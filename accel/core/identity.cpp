#include "identity.hpp"

#include <algorithm>

#include "motion.hpp"

namespace tipoff {
namespace {

constexpr double kDoubtful = -1.0;
// A tentative track that no view held for this long is given up: so many frame intervals, at least
// so much time.
constexpr std::int64_t kTentative_ns = 160'000'000;
constexpr std::int64_t kTentativeIntervals = 3;
// A slow camera's frames are few: what the options give in time lasts at least so many of its
// intervals.
constexpr std::int64_t kCoastIntervals = 2;
constexpr std::int64_t kLostIntervals = 8;
// A confirmed track that no two views held for this many times as long as it may be lost is given
// up.
constexpr std::int64_t kUnpaired = 3;
// A lost track is taken up again within this distance plus what it may have run.
constexpr double kReunite_m = 0.6;
constexpr double kReunite_mps = 4.0;
constexpr double kReuniteMost_m = 4.0;
// Two tracks whose joints are this close on average are one body.
constexpr double kSameBody_m = 0.15;
constexpr double kMaxEvidence = 50.0;

// Whether the roster's evidence clearly names two different people.
bool contradicts(const Track& a, const Track& b) {
  if (a.evidence.empty() || a.evidence.size() != b.evidence.size()) return false;
  constexpr double kClear = 3.0;
  double joint = -2.0 * kMaxEvidence;
  for (std::size_t r = 0; r < a.evidence.size(); ++r) {
    joint = std::max(joint, a.evidence[r] + b.evidence[r]);
  }
  return joint < -kClear;
}

std::size_t find_lost(const State& state, std::size_t k, const Setup& setup) {
  std::size_t best = state.tracks.size();
  double best_distance = kReuniteMost_m;
  double variance = 0.0;
  const Vec3 centre = trunk_centre(state.joints, k, setup, variance);
  for (std::size_t i = 0; i < state.tracks.size(); ++i) {
    const Track& old = state.tracks[i];
    if (!old.confirmed() || old.seen_ns == kNever) continue;
    const std::int64_t unseen = state.time_ns - old.seen_ns;
    if (unseen <= coast_ns(state, setup)) continue;
    const Vec3 place = trunk_centre(state.joints, i, setup, variance);
    const double reach = kReunite_m + kReunite_mps * 1e-9 * static_cast<double>(unseen);
    const double distance = norm(place - centre);
    if (distance < std::min(reach, best_distance) && !contradicts(state.tracks[k], old)) {
      best = i;
      best_distance = distance;
    }
  }
  return best;
}

double mean_distance(const State& state, std::size_t a, std::size_t b, std::size_t joints) {
  double sum = 0.0;
  for (std::size_t j = 0; j < joints; ++j) {
    sum +=
        norm(vec3_at(state.joints, kP, a * joints + j) - vec3_at(state.joints, kP, b * joints + j));
  }
  return sum / static_cast<double>(joints);
}

std::int64_t longest_interval(const State& state) {
  return *std::max_element(state.interval_ns.begin(), state.interval_ns.end());
}

}  // namespace

std::int64_t coast_ns(const State& state, const Setup& setup) {
  return std::max(setup.options.max_coast_ns, kCoastIntervals * longest_interval(state));
}

std::int64_t lost_ns(const State& state, const Setup& setup) {
  return std::max(setup.options.max_lost_ns, kLostIntervals * longest_interval(state));
}

void confirm(State& state, std::size_t k, const Setup& setup) {
  Track& track = state.tracks[k];
  const std::size_t lost = find_lost(state, k, setup);
  if (lost == state.tracks.size()) {
    track.id = state.next_id++;
    ++state.counters.births;
    return;
  }
  Track& old = state.tracks[lost];
  track.id = old.id;
  track.evidence = old.evidence;
  copy_limbs(state, lost, k, setup.limbs);
  old.id = -1;
  old.seen_ns = kNever;
}

void remove_duplicates(State& state, const Setup& setup) {
  for (std::size_t a = 0; a < state.tracks.size(); ++a) {
    for (std::size_t b = a + 1; b < state.tracks.size(); ++b) {
      Track& first = state.tracks[a];
      Track& second = state.tracks[b];
      if (first.seen_ns == kNever || second.seen_ns == kNever) continue;
      const auto trunk = static_cast<std::size_t>(setup.options.skeleton.trunk.front());
      const Vec3 apart = vec3_at(state.joints, kP, a * setup.joints + trunk) -
                         vec3_at(state.joints, kP, b * setup.joints + trunk);
      const double joints = static_cast<double>(setup.joints);
      if (norm(apart) > joints * kSameBody_m) continue;  // the mean cannot be below
      if (mean_distance(state, a, b, setup.joints) > kSameBody_m) continue;
      const bool keep_first = first.confirmed() != second.confirmed()
                                  ? first.confirmed()
                                  : first.existence >= second.existence;
      (keep_first ? second : first).seen_ns = kNever;
    }
  }
}

void bury(State& state, const Setup& setup) {
  const std::int64_t patience =
      std::max(kTentative_ns, kTentativeIntervals * longest_interval(state));
  const std::int64_t lost = lost_ns(state, setup);
  std::vector<char> kept(state.tracks.size(), 1);
  bool all = true;
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const Track& track = state.tracks[k];
    const std::int64_t unseen = track.seen_ns == kNever ? 0 : state.time_ns - track.seen_ns;
    bool gone = track.seen_ns == kNever;
    if (!gone && !track.confirmed()) gone = unseen > patience || track.existence <= kDoubtful;
    if (!gone && track.confirmed()) {
      gone = unseen > lost || state.time_ns - track.paired_ns > kUnpaired * lost;
    }
    if (!gone) continue;
    kept[k] = 0;
    all = false;
    if (track.confirmed()) ++state.counters.deaths;
  }
  if (!all) keep_tracks(state, kept, setup.joints, setup.limbs);
}

void add_evidence(Track& track, const Frame& frame, std::size_t detection) {
  if (frame.roster == 0) return;
  const auto roster = static_cast<std::size_t>(frame.roster);
  if (track.evidence.size() < roster) track.evidence.resize(roster, 0.0);
  const std::size_t row = detection * roster;
  double best = -kMaxEvidence;
  for (std::size_t r = 0; r < roster; ++r) {
    const double e = static_cast<double>(frame.evidence[row + r]);
    if (std::isfinite(e)) track.evidence[r] += std::clamp(e, -kMaxEvidence, kMaxEvidence);
    best = r == 0 ? track.evidence[r] : std::max(best, track.evidence[r]);
  }
  for (double& e : track.evidence) e = std::max(e - best, -kMaxEvidence);
}

}  // namespace tipoff
