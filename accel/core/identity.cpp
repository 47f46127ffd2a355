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
// After a blackout whoever is found is weighed for so long at least, how he moves and is built, and
// for so long at most, before he is told from those who were there before. They are waited for.
constexpr std::int64_t kSettle_ns = 100'000'000;
constexpr std::int64_t kUnclear_ns = 500'000'000;
constexpr std::int64_t kBridged_ns = 10'000'000'000;
// Two tracks whose joints are this close on average are one body.
constexpr double kSameBody_m = 0.15;
constexpr double kMaxEvidence = 50.0;

double mean_distance(const State& state, std::size_t a, std::size_t b, std::size_t joints) {
  double sum = 0.0;
  for (std::size_t j = 0; j < joints; ++j) {
    sum +=
        norm(vec3_at(state.joints, kP, a * joints + j) - vec3_at(state.joints, kP, b * joints + j));
  }
  return sum / static_cast<double>(joints);
}

// Whether somebody who was there before the newest blackout has not been found again.
bool bridging(const State& state) {
  for (const Track& track : state.tracks) {
    if (track.confirmed() && track.seen_ns != kNever && track.seen_ns < state.resumed_ns) {
      return true;
    }
  }
  return false;
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

void notice_blackout(const State& before, State& state, const Setup& setup) {
  state.resumed_ns = before.resumed_ns;
  if (before.time_ns == kNever || state.time_ns - before.time_ns <= coast_ns(before, setup)) return;
  for (const Track& track : before.tracks) {
    if (track.confirmed()) state.resumed_ns = state.time_ns;
  }
}

void confirm(State& state, std::vector<std::size_t>& sure, const Setup& setup,
             ReuniteScratch& scratch) {
  // Whether track k is younger than `age` and came after a blackout whose people are still missed.
  const bool missed = bridging(state);
  const auto waits = [&](std::size_t k, std::int64_t age) {
    const std::int64_t born = state.tracks[k].born_ns;
    return missed && born >= state.resumed_ns && state.time_ns - born < age;
  };
  const auto unsettled = [&](std::size_t k) { return waits(k, kSettle_ns); };
  sure.erase(std::remove_if(sure.begin(), sure.end(), unsettled), sure.end());
  const auto& old = reunite(state, setup, sure, coast_ns(state, setup), scratch);
  for (std::size_t i = 0; i < sure.size(); ++i) {
    if (old[i] < 0 && waits(sure[i], kUnclear_ns)) continue;
    Track& track = state.tracks[sure[i]];
    if (old[i] < 0) {
      track.id = state.next_id++;
      ++state.counters.births;
      continue;
    }
    const auto lost = static_cast<std::size_t>(old[i]);
    track.id = state.tracks[lost].id;
    track.evidence = state.tracks[lost].evidence;
    copy_limbs(state, lost, sure[i], setup.limbs);
    state.tracks[lost].id = -1;
    state.tracks[lost].seen_ns = kNever;
  }
}

void remove_duplicates(State& state, const Setup& setup) {
  const std::int64_t coast = coast_ns(state, setup);
  const auto is_lost = [&](const Track& track) {
    return track.confirmed() && state.time_ns - track.seen_ns > coast;
  };
  for (std::size_t a = 0; a < state.tracks.size(); ++a) {
    for (std::size_t b = a + 1; b < state.tracks.size(); ++b) {
      Track& first = state.tracks[a];
      Track& second = state.tracks[b];
      if (first.seen_ns == kNever || second.seen_ns == kNever) continue;
      // Where a lost one is expected says nothing of whom is found there.
      if (is_lost(first) || is_lost(second)) continue;
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
  // Whoever was there before a blackout is waited for: cameras come back one by one.
  const auto limit = [&](std::int64_t then, std::int64_t usual) {
    return then < state.resumed_ns ? std::max(usual, kBridged_ns) : usual;
  };
  std::vector<char> kept(state.tracks.size(), 1);
  bool all = true;
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const Track& track = state.tracks[k];
    const std::int64_t unseen = track.seen_ns == kNever ? 0 : state.time_ns - track.seen_ns;
    bool gone = track.seen_ns == kNever;
    if (!gone && !track.confirmed()) gone = unseen > patience || track.existence <= kDoubtful;
    if (!gone && track.confirmed()) {
      gone = unseen > limit(track.seen_ns, lost) ||
             state.time_ns - track.paired_ns > limit(track.paired_ns, kUnpaired * lost);
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
