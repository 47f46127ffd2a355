#include "ball_motion.hpp"

namespace tipoff::ball {
namespace {

// Longest step of a prediction, and the most steps: beyond their product steps grow.
constexpr double kStep_s = 0.02;
constexpr int kMostSteps = 64;
// A ball that meets the floor more slowly than this stays there.
constexpr double kRest_mps = 0.35;
// Relative spread of the restitution, and of what friction leaves of the horizontal velocity.
constexpr double kRestitutionStd = 0.07;
constexpr double kFriction = 0.95;
constexpr double kFrictionStd = 0.10;
constexpr double kFrictionFloor_mps = 0.15;
// Shares below this are not mixed; into a flight, whose velocity is known far better than that of
// the other modes, only what is considerable is.
constexpr double kTiny = 1e-7;
constexpr double kConsiderable = 0.008;

// An acceleration that is forgotten within tau (Singer 1970), and white acceleration beside it.
struct Manoeuvre {
  double std_mps2;
  double tau_s;
  double white_m2ps3;
};
constexpr std::array<Manoeuvre, kModes> kManoeuvres{{
    {0.3, 0.5, 3e-4},    // flight: spin, wind, the drag of another ball
    {26.0, 0.08, 0.05},  // held: hands of somebody who plays
    {110.0, 0.04, 1.0},  // brisk: caught, thrown, pushed
    {5.0, 0.2, 5e-3},    // still: held quietly, lying, rolling
    {26.0, 0.08, 0.0},   // struck: after a blow
}};

// A blow in a step: the standard deviation of what it adds to the velocity.
constexpr double kBlow_mps = 6.0;

// Changes of mode a second, from row to column.
constexpr std::array<std::array<double, kModes>, kModes> kRates{{
    {0.0, 0.3, 0.6, 0.03, 0.5},
    {0.7, 0.0, 3.0, 0.7, 0.6},
    {6.0, 6.0, 0.0, 0.5, 0.5},
    {0.3, 2.0, 0.6, 0.0, 0.3},
    {20.0, 20.0, 20.0, 0.0, 0.0},
}};

// The Singer model over one step: transition scalars and noise by blocks.
struct Transition {
  double t, pa, va, aa;
  std::array<double, 6> noise;  // pp, pv, pa, vv, va, aa
};

// (x - 1 + e^-x) / x^2, given e^-x.
double second(double x, double e) {
  if (x > 0.3) return (x - 1.0 + e) / (x * x);
  double sum = 1.0;
  for (int n = 12; n > 2; --n) sum = 1.0 - x / n * sum;
  return 0.5 * sum;
}

Transition transition(const Manoeuvre& m, double t) {
  const auto gains = [&](double s) {
    const double x = s / m.tau_s;
    const double e = exp_of(-x);
    const double pa = s * s * second(x, e);
    return std::array<double, 3>{pa, m.tau_s * (1.0 - e), e};
  };
  const std::array<double, 3> whole = gains(t);
  Transition out{t, whole[0], whole[1], whole[2], {}};
  // Gauss-Legendre with three points over the step.
  constexpr std::array<double, 3> kPoint{0.1127016653792583, 0.5, 0.8872983346207417};
  constexpr std::array<double, 3> kShare{5.0 / 18.0, 8.0 / 18.0, 5.0 / 18.0};
  const double psd = 2.0 * m.std_mps2 * m.std_mps2 / m.tau_s;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::array<double, 3> g = gains(kPoint[i] * t);
    const double w = psd * kShare[i] * t;
    out.noise[0] += w * g[0] * g[0];
    out.noise[1] += w * g[0] * g[1];
    out.noise[2] += w * g[0] * g[2];
    out.noise[3] += w * g[1] * g[1];
    out.noise[4] += w * g[1] * g[2];
    out.noise[5] += w * g[2] * g[2];
  }
  out.noise[0] += m.white_m2ps3 * t * t * t / 3.0;
  out.noise[1] += m.white_m2ps3 * t * t / 2.0;
  out.noise[3] += m.white_m2ps3 * t;
  return out;
}

// P <- F P F^T + Q, where F acts alike on every axis.
void move_covariance(Mat9& P, const Transition& f) {
  for (std::size_t c = 0; c < kDim; ++c) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      double& p = P[axis * kDim + c];
      double& v = P[(3 + axis) * kDim + c];
      double& a = P[(6 + axis) * kDim + c];
      p = p + f.t * v + f.pa * a;
      v = v + f.va * a;
      a = f.aa * a;
    }
  }
  for (std::size_t r = 0; r < kDim; ++r) {
    double* row = &P[r * kDim];
    for (std::size_t axis = 0; axis < 3; ++axis) {
      row[axis] = row[axis] + f.t * row[3 + axis] + f.pa * row[6 + axis];
      row[3 + axis] = row[3 + axis] + f.va * row[6 + axis];
      row[6 + axis] = f.aa * row[6 + axis];
    }
  }
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::size_t p = axis;
    const std::size_t v = 3 + axis;
    const std::size_t a = 6 + axis;
    P[p * kDim + p] += f.noise[0];
    P[p * kDim + v] += f.noise[1];
    P[v * kDim + p] += f.noise[1];
    P[p * kDim + a] += f.noise[2];
    P[a * kDim + p] += f.noise[2];
    P[v * kDim + v] += f.noise[3];
    P[v * kDim + a] += f.noise[4];
    P[a * kDim + v] += f.noise[4];
    P[a * kDim + a] += f.noise[5];
  }
}

void scale(Mat9& P, std::size_t i, double factor) {
  for (std::size_t k = 0; k < kDim; ++k) P[i * kDim + k] *= factor;
  for (std::size_t k = 0; k < kDim; ++k) P[k * kDim + i] *= factor;
}

// What is uncertain about a velocity after the floor, `left` seconds ago.
void add_kick(Mat9& P, std::size_t axis, double std_mps, double left_s) {
  const double v = std_mps * std_mps;
  P[axis * kDim + axis] += v * left_s * left_s;
  P[axis * kDim + 3 + axis] += v * left_s;
  P[(3 + axis) * kDim + axis] += v * left_s;
  P[(3 + axis) * kDim + 3 + axis] += v;
}

// When a ball at height z above rest and rising at w meets the floor; `within` at most.
double time_to_floor(double z, double w, double a, double within) {
  if (z <= 0.0) return 0.0;
  const double disc = w * w - 2.0 * a * z;
  if (!(disc >= 0.0)) return within;
  // The root of z + w s + a s^2 / 2 that is ahead, in the form that does not cancel.
  const double root = std::sqrt(disc);
  const double s = w < 0.0 ? 2.0 * z / (root - w) : -(w + root) / a;
  return std::isfinite(s) ? std::clamp(s, 0.0, within) : within;
}

void step_flight(Mode& mode, double t, const Options& options) {
  Vec3 p = part(mode.x, 0);
  Vec3 v = part(mode.x, 1);
  const Vec3 extra = part(mode.x, 2);
  const double rest = options.floor_m + options.radius_m;
  const Vec3 p0 = p;
  const Vec3 v0 = v;
  fly(p, v, extra, t, options);
  const Transition f = transition(kManoeuvres[kFlight], t);
  move_covariance(mode.P, f);
  set_part(mode.x, 2, f.aa * extra);
  if (p.z < rest && v.z < 0.0) {
    const double a = free_acceleration(v0, options).z + extra.z;
    const double s = time_to_floor(p0.z - rest, v0.z, a, t);
    Vec3 at = p0;
    Vec3 speed = v0;
    fly(at, speed, extra, s, options);
    at.z = rest;
    const double left = t - s;
    if (-speed.z < kRest_mps) {
      v = {speed.x, speed.y, 0.0};
      p = {at.x + left * v.x, at.y + left * v.y, rest};
      scale(mode.P, 5, 0.3);
      add_kick(mode.P, 2, 0.1, left + 0.01);
    } else {
      v = {kFriction * speed.x, kFriction * speed.y, -options.restitution * speed.z};
      add_kick(mode.P, 0, kFrictionStd * std::fabs(speed.x) + kFrictionFloor_mps, left);
      add_kick(mode.P, 1, kFrictionStd * std::fabs(speed.y) + kFrictionFloor_mps, left);
      scale(mode.P, 2, -options.restitution);
      scale(mode.P, 5, -options.restitution);
      add_kick(mode.P, 2, kRestitutionStd * std::fabs(speed.z) + 0.05, left);
      p = at;
      fly(p, v, extra, left, options);
    }
  }
  set_part(mode.x, 0, p);
  set_part(mode.x, 1, v);
}

void step_moved(Mode& mode, std::size_t kind, double t, const Options& options) {
  const Transition f = transition(kManoeuvres[kind], t);
  const Vec3 v = part(mode.x, 1);
  const Vec3 a = part(mode.x, 2);
  Vec3 p = part(mode.x, 0) + f.t * v + f.pa * a;
  Vec3 speed = v + f.va * a;
  const double rest = options.floor_m + options.radius_m;
  if (p.z < rest && speed.z < 0.0) {
    p.z = rest;
    speed.z = 0.0;
  }
  set_part(mode.x, 0, p);
  set_part(mode.x, 1, speed);
  set_part(mode.x, 2, f.aa * a);
  move_covariance(mode.P, f);
  if (kind != kStruck) return;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double blow = kBlow_mps * kBlow_mps;
    mode.P[axis * kDim + axis] += blow * t * t / 3.0;
    mode.P[axis * kDim + 3 + axis] += blow * t / 2.0;
    mode.P[(3 + axis) * kDim + axis] += blow * t / 2.0;
    mode.P[(3 + axis) * kDim + 3 + axis] += blow;
  }
}

// A mode's state in the terms of another: accelerations mean different things in flight.
Mode as_kind(const Mode& mode, std::size_t from, std::size_t to, const Options& options) {
  if ((from == kFlight) == (to == kFlight)) return mode;
  Mode out = mode;
  if (to == kFlight) {
    for (std::size_t i = 6; i < kDim; ++i) {
      out.x[i] = 0.0;
      for (std::size_t k = 0; k < kDim; ++k) out.P[i * kDim + k] = out.P[k * kDim + i] = 0.0;
      const double std = kManoeuvres[kFlight].std_mps2;
      out.P[i * kDim + i] = std * std;
    }
  } else {
    set_part(out.x, 2, acceleration_of(mode, from, options));
  }
  return out;
}

void accumulate(Mode& sum, const Mode& mode, double weight, const Vec9& mean) {
  for (std::size_t r = 0; r < kDim; ++r) {
    const double dr = weight * (mode.x[r] - mean[r]);
    for (std::size_t c = 0; c < kDim; ++c) {
      sum.P[r * kDim + c] += weight * mode.P[r * kDim + c] + dr * (mode.x[c] - mean[c]);
    }
  }
}

void mix(Modes& modes, double t, const Options& options) {
  const Modes old = modes;
  for (std::size_t to = 0; to < kModes; ++to) {
    std::array<double, kModes> share{};
    double total = 0.0;
    for (std::size_t from = 0; from < kModes; ++from) {
      double stay = 1.0;
      if (from == to) {
        for (const double rate : kRates[from]) stay -= std::min(rate * t, 0.3);
      }
      const double moved = from == to ? stay : std::min(kRates[from][to] * t, 0.3);
      share[from] = old[from].weight * std::max(moved, 0.0);
      total += share[from];
    }
    Mode& out = modes[to];
    out.weight = total;
    if (!(total > 0.0)) continue;
    std::array<Mode, kModes> parts;
    Vec9 mean{};
    double used = 0.0;
    for (std::size_t from = 0; from < kModes; ++from) {
      share[from] /= total;
      const bool counts = from == to || share[from] >= (to == kFlight ? kConsiderable : kTiny);
      if (!counts) share[from] = 0.0;
      if (share[from] == 0.0) continue;
      parts[from] = as_kind(old[from], from, to, options);
      for (std::size_t i = 0; i < kDim; ++i) mean[i] += share[from] * parts[from].x[i];
      used += share[from];
    }
    for (double& value : mean) value /= used;
    out.x = mean;
    out.P.fill(0.0);
    for (std::size_t from = 0; from < kModes; ++from) {
      if (share[from] > 0.0) accumulate(out, parts[from], share[from] / used, mean);
    }
  }
}

}  // namespace

Vec3 free_acceleration(Vec3 velocity, const Options& options) {
  const Vec3 drag = (-options.drag_per_m * norm(velocity)) * velocity;
  return drag + Vec3{0.0, 0.0, -kGravity_mps2};
}

void fly(Vec3& position, Vec3& velocity, Vec3 extra_mps2, double step_s, const Options& options) {
  const Vec3 first = free_acceleration(velocity, options) + extra_mps2;
  const Vec3 middle = velocity + (0.5 * step_s) * first;
  const Vec3 a = free_acceleration(middle, options) + extra_mps2;
  position = position + step_s * velocity + (0.5 * step_s * step_s) * a;
  velocity = velocity + step_s * a;
}

Vec3 acceleration_of(const Mode& mode, std::size_t kind, const Options& options) {
  const Vec3 a = part(mode.x, 2);
  return kind == kFlight ? a + free_acceleration(part(mode.x, 1), options) : a;
}

void move_modes(Modes& modes, double seconds, const Options& options) {
  if (!(seconds > 0.0)) return;
  const double wanted = std::ceil(seconds / kStep_s);
  const int steps = wanted < kMostSteps ? static_cast<int>(wanted) : kMostSteps;
  const double t = seconds / steps;
  for (int i = 0; i < steps; ++i) {
    mix(modes, t, options);
    step_flight(modes[kFlight], t, options);
    for (std::size_t kind = kHeld; kind < kModes; ++kind) {
      step_moved(modes[kind], kind, t, options);
    }
  }
}

Modes new_modes(Vec3 at, const Sym3& covariance_m2, double speed_std_mps) {
  constexpr std::array<double, kModes> kStart{0.38, 0.35, 0.1, 0.15, 0.02};
  Modes out;
  for (std::size_t kind = 0; kind < kModes; ++kind) {
    Mode& mode = out[kind];
    mode.weight = kStart[kind];
    set_part(mode.x, 0, at);
    const Sym3& c = covariance_m2;
    const std::array<double, 9> rows{c.xx, c.xy, c.xz, c.xy, c.yy, c.yz, c.xz, c.yz, c.zz};
    for (std::size_t i = 0; i < 9; ++i) mode.P[(i / 3) * kDim + i % 3] = rows[i];
    const double a = kManoeuvres[kind].std_mps2;
    add_diagonal(mode.P, 1, speed_std_mps * speed_std_mps);
    add_diagonal(mode.P, 2, a * a);
  }
  return out;
}

Moments moments(const Modes& modes) {
  Moments out;
  for (const Mode& mode : modes) {
    out.p = out.p + mode.weight * part(mode.x, 0);
    out.v = out.v + mode.weight * part(mode.x, 1);
  }
  for (const Mode& mode : modes) {
    out.pp = out.pp + mode.weight * block_of(mode.P, 0);
    out.vv = out.vv + mode.weight * block_of(mode.P, 1);
    out.pp.add_outer(part(mode.x, 0) - out.p, mode.weight);
    out.vv.add_outer(part(mode.x, 1) - out.v, mode.weight);
  }
  return out;
}

}  // namespace tipoff::ball
