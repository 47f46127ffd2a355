#include "ball_report.hpp"

#include <algorithm>

#include "ball_motion.hpp"

namespace tipoff::ball {
namespace {

// A hand's wrist is this far from the ball that it holds, at most and as a standard deviation.
constexpr double kInHand_m = 0.42;
constexpr double kInHandStd_m = 0.15;
// Nobody is told to hold a ball farther away than this, however uncertain.
constexpr double kReach_m = 0.9;
// Wrists speak of the position only where the ball is less certain than this.
constexpr double kUnsure_m = 0.08;
// Whoever dribbles has a wrist within this horizontal distance of the ball.
constexpr double kBeside_m = 0.9;
constexpr double kBesideBounce_m = 1.0;
constexpr double kRun_mps = 3.5;
constexpr double kDribble_m = 1.7;
constexpr std::int64_t kSinceBounce_ns = 700'000'000;
constexpr double kTillBounce_s = 0.45;
// A dribble lands where it started.
constexpr double kDrift_mps = 4.0;
// Nearer to a wrist than this it takes a sure flight to leave the hand.
constexpr double kAtHand_m = 0.30;
// Farther than this from every wrist nobody has it.
constexpr double kFar_m = 0.8;
constexpr double kFlightAtHand = 0.15;
constexpr double kMovedAfar = 0.1;
constexpr double kSureFlight = 0.85;
// A dribbling hand touches the ball for less than this.
constexpr double kTouch_s = 0.25;
constexpr double kLying_m = 0.10;
constexpr double kLying_mps = 0.6;

const Track* chosen(const State& state) {
  for (const Track& track : state.tracks) {
    if (track.key == state.chosen) return &track;
  }
  return nullptr;
}

struct Nearest {
  const Wrist* wrist = nullptr;
  double metres = 1e9;
};

Nearest nearest(std::span<const Wrist> wrists, Vec3 at, double vertical) {
  Nearest out;
  for (const Wrist& wrist : wrists) {
    Vec3 gap = wrist.at - at;
    gap.z *= vertical;
    const double metres = norm(gap);
    if (metres < out.metres) out = {&wrist, metres};
  }
  return out;
}

// What the nearest wrist says of the modes: beside one, a flight is unlikely, far from all of them
// nobody moves the ball. Odds of flight against being held, linear in between.
void weigh(Modes& modes, std::span<const Wrist> wrists) {
  if (wrists.empty()) return;
  const double metres = nearest(wrists, moments(modes).p, 1.0).metres;
  const double near = std::clamp((kFar_m - metres) / (kFar_m - kAtHand_m), 0.0, 1.0);
  modes[kFlight].weight *= 1.0 - (1.0 - kFlightAtHand) * near;
  const double moved = kMovedAfar + (1.0 - kMovedAfar) * near;
  modes[kHeld].weight *= moved;
  modes[kBrisk].weight *= moved;
  double total = 0.0;
  for (const Mode& mode : modes) total += mode.weight;
  for (Mode& mode : modes) mode.weight /= total;
}

// A ball that somebody holds out of sight is where their wrist is.
void fuse(Report& r, const Wrist& wrist) {
  const Sym3 around = wrist.covariance_m2 + Sym3::diagonal(kInHandStd_m * kInHandStd_m);
  Sym3 ours;
  Sym3 theirs;
  Sym3 both;
  if (!invert(r.covariance_m2, ours) || !invert(around, theirs)) return;
  if (!invert(ours + theirs, both)) return;
  r.position = both * (ours * r.position + theirs * wrist.at);
  r.covariance_m2 = both;
}

double seconds_to_floor(const Report& r, const Options& options) {
  Vec3 p = r.position;
  Vec3 v = r.velocity;
  for (double t = 0.0; t < kTillBounce_s; t += 0.02) {
    if (p.z <= options.floor_m + options.radius_m) return t;
    fly(p, v, {}, 0.02, options);
  }
  return 1e9;
}

bool dribbled(const Report& r, std::int64_t time_ns, const Nearest& beside, bool people,
              const Options& options) {
  const double height = r.position.z - options.floor_m;
  if (height > kDribble_m || r.in_hand_s > kTouch_s) return false;
  if (people && beside.metres > kBeside_m) return false;
  const double across = std::sqrt(r.velocity.x * r.velocity.x + r.velocity.y * r.velocity.y);
  if (!people && across > kDrift_mps) return false;
  const bool was = !r.bounces.empty() && time_ns - r.bounces.back().time_ns < kSinceBounce_ns &&
                   time_ns >= r.bounces.back().time_ns;
  if (was) {
    // It bounced beside the one who has it now: a pass by way of the floor does not.
    const Vec3 gap = (people ? beside.wrist->at : r.position) - r.bounces.back().at;
    const double since = 1e-9 * static_cast<double>(time_ns - r.bounces.back().time_ns);
    const double reach = kBesideBounce_m + kRun_mps * since;
    if (gap.x * gap.x + gap.y * gap.y < reach * reach) return true;
  }
  return people && r.flight > 0.5 && r.velocity.z < -1.0 && across < kDrift_mps &&
         seconds_to_floor(r, options) < kTillBounce_s;
}

void name_phase(Report& r, std::int64_t time_ns, std::span<const Wrist> wrists,
                const Options& options) {
  const double std = std::sqrt(largest_eigenvalue(r.covariance_m2));
  const bool people = !wrists.empty();
  const Nearest near = nearest(wrists, r.position, 1.0);
  const Nearest beside = nearest(wrists, r.position, 0.0);
  const double height = r.position.z - options.floor_m - options.radius_m;
  const bool low = height < kLying_m && std::fabs(r.velocity.z) < kLying_mps;
  const bool in_hand = people && near.metres < std::min(kInHand_m + std, kReach_m);
  if (low && !(in_hand && r.flight < 0.5)) {
    r.phase = dribbled(r, time_ns, beside, people, options) && beside.metres < kBeside_m
                  ? Phase::kDribbled
                  : Phase::kUnknown;
  } else if (dribbled(r, time_ns, beside, people, options)) {
    r.phase = Phase::kDribbled;
  } else if (r.flight > (near.metres < kAtHand_m ? kSureFlight : 0.5)) {
    r.phase = Phase::kFlight;
  } else if (people ? in_hand : height > 2.0 * kLying_m) {
    r.phase = Phase::kHeld;
  }
  if (r.phase == Phase::kHeld && near.wrist != nullptr) r.holder = near.wrist->person;
  if (r.phase == Phase::kDribbled && beside.wrist != nullptr) r.holder = beside.wrist->person;
  if (r.phase == Phase::kHeld && near.wrist != nullptr && std > kUnsure_m) fuse(r, *near.wrist);
}

}  // namespace

Report report(const State& state, std::int64_t time_ns, std::span<const Wrist> wrists,
              const Options& options) {
  Report out;
  const Track* track = chosen(state);
  if (track == nullptr || time_ns - track->seen_ns > options.max_coast_ns) {
    return out;
  }
  Modes modes = track->modes;
  move_modes(modes, 1e-9 * static_cast<double>(time_ns - state.time_ns), options);
  weigh(modes, wrists);
  const Moments now = moments(modes);
  out.position = now.p;
  out.velocity = now.v;
  out.covariance_m2 = now.pp;
  out.velocity_covariance_m2ps2 = now.vv;
  out.flight = modes[kFlight].weight;
  out.seen_ns = track->seen_ns;
  out.in_hand_s = track->in_hand_s;
  out.views = track->seen_ns == state.time_ns ? track->views : 0;
  for (const Bounce& bounce : track->bounces) {
    if (bounce.time_ns <= time_ns) out.bounces.push_back(bounce);
  }
  name_phase(out, time_ns, wrists, options);
  Sym3 inverse;
  const bool told = std::sqrt(largest_eigenvalue(out.covariance_m2)) <= options.max_std_m &&
                    finite(out.position) && invert(out.covariance_m2, inverse);
  if (!told) return Report{};
  out.known = true;
  if (out.flight > 0.5) out.arc = fit_arc(*track, options);
  return out;
}

}  // namespace tipoff::ball
