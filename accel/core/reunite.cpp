#include "reunite.hpp"

#include <algorithm>

#include "assignment.hpp"
#include "logarithm.hpp"
#include "motion.hpp"

namespace tipoff {
namespace {

// How people move while nobody looks, by the time T in between; fitted to players' tracks of 150
// stretches of real games, a third wider for what those were smoothed. A coordinate's velocity
// keeps the part c(T) = 1 / (1 + (T / kTurn_s)^2) of itself. Where both velocities are known, the
// way between is T (v1 + v2) / 2, give or take kSwerve T^2 / (1 + (T / kCourt_s)^2).
constexpr double kTurn_s = 1.3;
constexpr double kSpeed_mps = 1.8;
constexpr double kSwerve_mps2 = 0.3;
constexpr double kCourt_s = 8.0;
// Trunks sway and jump: what their centre and its velocity say of the body's way.
constexpr double kSway_m = 0.2;
constexpr double kSway_mps = 0.4;
// How well a limb's length is known at best and, over the root of their number, by the first of its
// lengths, m; from how many of them it counts.
constexpr double kLimb_m = 0.015;
constexpr double kLimbFirst_m = 0.04;
constexpr double kLimbLearned = 20.0;
constexpr double kLimbSeen = 3.0;
constexpr double kMostLimbs = 30.0;
// A newcomer may be anywhere on the floor, and is this much less likely beforehand (-ln).
constexpr double kFloor_m = 8.0;
constexpr double kNewcomer = 3.0;
constexpr double kContradiction = -3.0;
// Keeps what the assignment is given above 0.
constexpr double kAboveZero = 1000.0;

struct Whereabouts {
  std::int64_t time_ns = 0;
  Vec3 place;
  Vec3 velocity;
  double velocity_variance = 0.0;
};

double square(double x) {
  return x * x;
}

// -ln of a normal density of three coordinates with one variance, but for its constant.
double surprise(double distance2, double variance) {
  return 0.5 * (distance2 / variance + 3.0 * natural_log(variance));
}

Whereabouts whereabouts(const State& state, std::size_t k, const Setup& setup) {
  Whereabouts out;
  double ignored = 0.0;
  out.time_ns = state.time_ns;
  out.place = trunk_centre(state.joints, k, setup, ignored);
  out.velocity = trunk_velocity(state.joints, k, setup, out.velocity_variance);
  return out;
}

// Where somebody found was when that was remembered, else now: who waits to be told from others
// goes on running, which says less and less of whence he came.
Whereabouts whereabouts_found(const State& state, std::size_t k, const Setup& setup) {
  const Track& track = state.tracks[k];
  if (track.mark_ns == kNever) return whereabouts(state, k, setup);
  return {track.mark_ns, track.mark_m, track.mark_mps, track.mark_variance};
}

class Weighing {
 public:
  Weighing(const State& state, const Setup& setup) : state_(state), setup_(setup) {}

  double newcomer(const Whereabouts& now) const {
    const double speed2 = square(kSpeed_mps) + square(kSway_mps) + now.velocity_variance;
    return surprise(3.0 * square(kFloor_m), square(kFloor_m)) +
           surprise(dot(now.velocity, now.velocity), speed2) + kNewcomer;
  }

  double same(std::size_t found, const Whereabouts& now, std::size_t lost) const {
    const Track& old = state_.tracks[lost];
    if (contradicts(state_.tracks[found], old)) return kForbidden;
    const double t = 1e-9 * static_cast<double>(now.time_ns - old.mark_ns);
    const double keeps = 1.0 / (1.0 + square(t / kTurn_s));
    const double before = square(kSway_mps) + old.mark_variance;
    const double measured = square(kSway_mps) + now.velocity_variance;
    const double turned = square(kSpeed_mps) * (1.0 - keeps * keeps) + square(keeps) * before;
    const Vec3 expected = keeps * old.mark_mps;
    // The velocity now, of what was expected and what is measured.
    const double trust = turned / (turned + measured);
    const Vec3 velocity = expected + trust * (now.velocity - expected);
    const double swerve = kSwerve_mps2 * t * t / (1.0 + square(t / kCourt_s));
    const double variance =
        square(swerve) + square(kSway_m) + 0.25 * t * t * (trust * measured + before);
    const Vec3 way = now.place - old.mark_m - 0.5 * t * (old.mark_mps + velocity);
    const Vec3 change = now.velocity - expected;
    const double sum = surprise(dot(way, way), variance) +
                       surprise(dot(change, change), turned + measured) + unlike(found, lost);
    return sum < kForbidden ? sum : kForbidden;
  }

 private:
  // How far apart the bodies' limbs are: half the sum of squared differences over their variance.
  double unlike(std::size_t found, std::size_t lost) const {
    double sum = 0.0;
    for (std::size_t l = 0; l < setup_.limbs; ++l) {
      const double seen = state_.limbs.at(kLengthWeight, found * setup_.limbs + l);
      const double learned = state_.limbs.at(kLengthWeight, lost * setup_.limbs + l);
      if (seen < kLimbSeen || learned < kLimbLearned) continue;
      // The errors of a short time hardly average; those of the first frames are large.
      const double variance = 2.0 * square(kLimb_m) + square(kLimbFirst_m) / seen +
                              state_.limbs.at(kLengthVar, lost * setup_.limbs + l);
      const double apart = state_.limbs.at(kLength, found * setup_.limbs + l) -
                           state_.limbs.at(kLength, lost * setup_.limbs + l);
      sum += square(apart) / variance;
    }
    return 0.5 * std::min(sum, kMostLimbs);
  }

  // Whether the roster's evidence clearly names two different people.
  static bool contradicts(const Track& a, const Track& b) {
    if (a.evidence.empty() || a.evidence.size() != b.evidence.size()) return false;
    double joint = 2.0 * kContradiction;
    for (std::size_t r = 0; r < a.evidence.size(); ++r) {
      joint = std::max(joint, a.evidence[r] + b.evidence[r]);
    }
    return joint < kContradiction;
  }

  const State& state_;
  const Setup& setup_;
};

// How much dearer, for each pairing, the best arrangement is in which its person is another: the
// shortest cycle of changes through it (Floyd and Warshall, 1962). A change from a to b gives b's
// lost one to a; the last place stands for whatever is free: lost ones that nobody has, and being
// new. The arrangement is the best one, so no cycle is shorter than 0.
void find_margins(ReuniteScratch& s, std::size_t columns) {
  const std::size_t rows = s.lost_of.size();
  const std::size_t n = rows + 1;
  const auto at = [&](std::size_t r, int c) {
    return s.cost[r * columns + static_cast<std::size_t>(c)];
  };
  std::vector<char> taken(columns, 0);
  for (const int lost : s.lost_of) {
    if (lost >= 0) taken[static_cast<std::size_t>(lost)] = 1;
  }
  s.change.assign(n * n, kForbidden);
  for (std::size_t a = 0; a < rows; ++a) {
    const double own = s.lost_of[a] < 0 ? s.newcomer[a] : at(a, s.lost_of[a]);
    for (std::size_t b = 0; b < rows; ++b) {
      if (b != a && s.lost_of[b] >= 0) s.change[a * n + b] = at(a, s.lost_of[b]) - own;
    }
    double free = s.lost_of[a] < 0 ? kForbidden : s.newcomer[a];
    for (std::size_t c = 0; c < columns; ++c) {
      if (!taken[c]) free = std::min(free, s.cost[a * columns + c]);
    }
    s.change[a * n + rows] = free - own;
    s.change[rows * n + a] = 0.0;
  }
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      const double first = s.change[i * n + k];
      if (first >= 0.5 * kForbidden) continue;
      for (std::size_t j = 0; j < n; ++j) {
        s.change[i * n + j] = std::min(s.change[i * n + j], first + s.change[k * n + j]);
      }
    }
  }
  s.margin.resize(rows);
  for (std::size_t r = 0; r < rows; ++r) s.margin[r] = s.change[r * n + r];
}

}  // namespace

void remember(Track& track, const State& state, std::size_t k, const Setup& setup) {
  const Whereabouts then = whereabouts(state, k, setup);
  track.mark_ns = then.time_ns;
  track.mark_m = then.place;
  track.mark_mps = then.velocity;
  track.mark_variance = then.velocity_variance;
}

bool built(const State& state, std::size_t k, const Setup& setup) {
  std::size_t seen = 0;
  for (std::size_t l = 0; l < setup.limbs; ++l) {
    if (state.limbs.at(kLengthWeight, k * setup.limbs + l) >= kLimbSeen) ++seen;
  }
  return 2 * seen >= setup.limbs;
}

const std::vector<std::ptrdiff_t>& reunite(const State& state, const Setup& setup,
                                           const std::vector<Candidate>& found,
                                           std::int64_t unseen_ns, ReuniteScratch& s) {
  s.old.assign(found.size(), -1);
  s.lost.clear();
  for (std::size_t i = 0; i < state.tracks.size(); ++i) {
    const Track& old = state.tracks[i];
    if (!old.confirmed() || old.seen_ns == kNever) continue;
    if (state.time_ns - old.seen_ns > unseen_ns) s.lost.push_back(i);
  }
  if (s.lost.empty() || found.empty()) return s.old;
  const std::size_t columns = s.lost.size();
  const Weighing weighing(state, setup);
  s.cost.resize(found.size() * columns);
  s.newcomer.resize(found.size());
  s.gain.resize(s.cost.size());
  for (std::size_t r = 0; r < found.size(); ++r) {
    const Whereabouts now = whereabouts_found(state, found[r].track, setup);
    s.newcomer[r] = weighing.newcomer(now);
    for (std::size_t c = 0; c < columns; ++c) {
      const double cost = weighing.same(found[r].track, now, s.lost[c]);
      s.cost[r * columns + c] = cost;
      s.gain[r * columns + c] = kAboveZero + cost - s.newcomer[r];
    }
  }
  assign(s.gain, static_cast<int>(found.size()), static_cast<int>(columns), kAboveZero, s.lost_of);
  find_margins(s, columns);
  for (std::size_t r = 0; r < found.size(); ++r) {
    if (s.lost_of[r] < 0 || s.margin[r] < found[r].clear) continue;
    s.old[r] = static_cast<std::ptrdiff_t>(s.lost[static_cast<std::size_t>(s.lost_of[r])]);
  }
  return s.old;
}

}  // namespace tipoff
