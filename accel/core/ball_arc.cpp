#include "ball_arc.hpp"

#include <algorithm>

#include "ball_motion.hpp"

namespace tipoff::ball {
namespace {

// Fixes on either side of a bounce that are fitted, and how far away in time.
constexpr std::size_t kSide = 6;
constexpr double kSideWindow_s = 0.13;
constexpr std::int64_t kRefined_ns = 130'000'000;
constexpr std::int64_t kBetween_ns = 100'000'000;
// A ball higher than this above rest did not just bounce.
constexpr double kLow_m = 0.5;
constexpr double kSlowest_mps = 0.7;
constexpr double kMostChi2 = 5.0;
// How well the floor's height and the ball's radius are known.
constexpr double kFloorStd_m = 0.005;

// Chi square of three degrees of freedom up to which a fix belongs to an arc.
constexpr double kOnArc = 14.0;
constexpr std::size_t kFewest = 4;
constexpr double kShortest_s = 0.045;
constexpr std::int64_t kGap_ns = 150'000'000;
constexpr int kRounds = 6;
constexpr int kNewtonSteps = 3;
constexpr double kLongestFall_s = 3.0;
// A blow is told from a push where it fits this much better.
constexpr double kClearly = 0.25;

struct Height {
  double t;  // after a reference
  double z;
  double variance;
  Vec3 at;
};

bool place(const Fix& fix, Vec3& at, Sym3& covariance) {
  if (fix.views < 2 || !invert(fix.information, covariance)) return false;
  at = fix.at + covariance * fix.pull;
  return finite(at) && covariance.trace() < 0.5;
}

// Newest last, heights relative to rest.
std::vector<Height> heights(const Track& track, std::int64_t reference_ns, double rest,
                            std::int64_t since_ns) {
  std::vector<Height> out;
  for (const Fix& fix : track.fixes) {
    if (fix.time_ns < since_ns) continue;
    Vec3 at;
    Sym3 covariance;
    if (!place(fix, at, covariance)) continue;
    out.push_back({1e-9 * static_cast<double>(fix.time_ns - reference_ns), at.z - rest,
                   covariance.zz + 1e-6, at});
  }
  return out;
}

struct BounceFit {
  double t = 0.0;
  double down = 0.0;
  double up = 0.0;
  double variance = 0.0;
  double chi2 = 1e9;
  int after = 0;
};

// Two parabolas that meet at rest height: their common time and both speeds.
BounceFit fit_bounce(const std::vector<Height>& h, std::size_t split, std::size_t side) {
  const std::size_t begin = split > side ? split - side : 0;
  const std::size_t end = std::min(split + side, h.size());
  BounceFit out;
  if (split < begin + 2 || end < split + 2) return out;
  const Height& a = h[split - 1];
  const Height& b = h[split];
  const auto rate = [&](std::size_t i, std::size_t k) {
    return (h[k].z - h[i].z) / (h[k].t - h[i].t);
  };
  out.down = rate(begin, split - 1) - 0.5 * kGravity_mps2 * (a.t - h[begin].t);
  out.up = rate(split, end - 1) + 0.5 * kGravity_mps2 * (h[end - 1].t - b.t);
  if (!(out.down < -0.3) || !(out.up > 0.3)) return out;
  out.t = std::clamp(a.t - a.z / out.down, a.t, b.t);
  for (int step = 0; step < 6; ++step) {
    Sym3 n;  // of t, down, up
    Vec3 g;
    double chi2 = 0.0;
    for (std::size_t i = begin; i < end; ++i) {
      const double s = h[i].t - out.t;
      const bool before = i < split;
      const double v = before ? out.down : out.up;
      const double e = h[i].z - (v * s - 0.5 * kGravity_mps2 * s * s);
      const Vec3 j{-v + kGravity_mps2 * s, before ? s : 0.0, before ? 0.0 : s};
      const double w = 1.0 / h[i].variance;
      n.add_outer(j, w);
      g = g + (w * e) * j;
      chi2 += w * e * e;
    }
    Sym3 inverse;
    if (!invert(n, inverse)) return BounceFit{};
    const Vec3 move = inverse * g;
    out.t += std::clamp(move.x, -0.02, 0.02);
    out.down += move.y;
    out.up += move.z;
    out.variance = inverse.xx;
    const auto freedom = static_cast<double>(end - begin) - 3.0;
    out.chi2 = chi2 / std::max(freedom, 1.0);
  }
  out.after = static_cast<int>(end - split);
  const double slack = 0.003;
  const bool between = out.t >= a.t - slack && out.t <= b.t + slack;
  if (!between || out.down > -kSlowest_mps || out.up < 0.3 * kSlowest_mps) out.chi2 = 1e9;
  if (!(out.up < -1.15 * out.down)) out.chi2 = 1e9;
  return out;
}

// The best bounce near the lowest of the heights.
BounceFit best_bounce(const std::vector<Height>& h) {
  BounceFit best;
  if (h.size() < 4) return best;
  std::size_t lowest = 1;
  for (std::size_t i = 1; i + 1 < h.size(); ++i) {
    if (h[i].z < h[lowest].z) lowest = i;
  }
  if (h[lowest].z > kLow_m) return best;
  for (const std::size_t side : {kSide, std::size_t{4}, std::size_t{3}}) {
    for (std::size_t split = lowest; split <= lowest + 1; ++split) {
      const BounceFit fit = fit_bounce(h, split, side);
      if (fit.chi2 < best.chi2) best = fit;
    }
    if (best.chi2 < kMostChi2) break;
  }
  return best;
}

Bounce bounce_of(const BounceFit& fit, const std::vector<Height>& h, std::int64_t reference_ns,
                 double rest) {
  Bounce out;
  out.time_ns = reference_ns + static_cast<std::int64_t>(1e9 * fit.t);
  out.down_mps = fit.down;
  out.up_mps = fit.up;
  out.after = fit.after;
  const double floor_s = kFloorStd_m / std::min(-fit.down, fit.up);
  out.std_s = std::sqrt(fit.variance * std::max(fit.chi2, 1.0) + floor_s * floor_s);
  for (std::size_t i = 1; i < h.size(); ++i) {
    if (h[i].t < fit.t && i + 1 < h.size()) continue;
    const double share = std::clamp((fit.t - h[i - 1].t) / (h[i].t - h[i - 1].t), 0.0, 1.0);
    out.at = (1.0 - share) * h[i - 1].at + share * h[i].at;
    break;
  }
  out.at.z = rest;
  return out;
}

void fly_by(Vec3& p, Vec3& v, double seconds, const Options& options) {
  const int steps = std::clamp(static_cast<int>(std::fabs(seconds) / 0.02) + 1, 1, 256);
  for (int i = 0; i < steps; ++i) fly(p, v, {}, seconds / steps, options);
}

struct Fit {
  Vec3 p;
  Vec3 v;
  std::array<double, 36> covariance{};
  bool valid = false;
};

// Inverts a symmetric positive definite 6x6 matrix by Cholesky's method.
bool invert6(const std::array<double, 36>& a, std::array<double, 36>& out) {
  std::array<double, 36> l{};
  for (std::size_t r = 0; r < 6; ++r) {
    for (std::size_t c = 0; c <= r; ++c) {
      double sum = a[r * 6 + c];
      for (std::size_t k = 0; k < c; ++k) sum -= l[r * 6 + k] * l[c * 6 + k];
      if (r == c) {
        if (!(sum > 1e-12)) return false;
        l[r * 6 + r] = std::sqrt(sum);
      } else {
        l[r * 6 + c] = sum / l[c * 6 + c];
      }
    }
  }
  for (std::size_t col = 0; col < 6; ++col) {
    std::array<double, 6> x{};
    for (std::size_t r = 0; r < 6; ++r) {
      double sum = r == col ? 1.0 : 0.0;
      for (std::size_t k = 0; k < r; ++k) sum -= l[r * 6 + k] * x[k];
      x[r] = sum / l[r * 6 + r];
    }
    for (std::size_t r = 6; r-- > 0;) {
      double sum = x[r];
      for (std::size_t k = r + 1; k < 6; ++k) sum -= l[k * 6 + r] * x[k];
      x[r] = sum / l[r * 6 + r];
    }
    for (std::size_t r = 0; r < 6; ++r) out[r * 6 + col] = x[r];
  }
  return true;
}

// Gauss-Newton over position and velocity at the newest fix.
Fit fit_flight(const std::vector<Fix>& fixes, std::size_t first, Fit start,
               const Options& options) {
  Fit fit = start;
  const Fix& newest = fixes.back();
  for (int step = 0; step < kNewtonSteps; ++step) {
    std::array<double, 36> n{};
    std::array<double, 6> g{};
    Vec3 p = fit.p;
    Vec3 v = fit.v;
    double at = 0.0;
    for (std::size_t i = fixes.size(); i-- > first;) {
      const Fix& fix = fixes[i];
      const double tau = 1e-9 * static_cast<double>(fix.time_ns - newest.time_ns);
      fly_by(p, v, tau - at, options);
      at = tau;
      const Vec3 e = fix.pull - fix.information * (p - fix.at);
      const Sym3& w = fix.information;
      const std::array<double, 9> rows{w.xx, w.xy, w.xz, w.xy, w.yy, w.yz, w.xz, w.yz, w.zz};
      const std::array<double, 3> pull{e.x, e.y, e.z};
      for (std::size_t r = 0; r < 3; ++r) {
        g[r] += pull[r];
        g[3 + r] += tau * pull[r];
        for (std::size_t c = 0; c < 3; ++c) {
          n[r * 6 + c] += rows[r * 3 + c];
          n[r * 6 + 3 + c] += tau * rows[r * 3 + c];
          n[(3 + r) * 6 + c] += tau * rows[r * 3 + c];
          n[(3 + r) * 6 + 3 + c] += tau * tau * rows[r * 3 + c];
        }
      }
    }
    for (std::size_t r = 3; r < 6; ++r) n[r * 6 + r] += 1e-4;
    fit.valid = invert6(n, fit.covariance);
    if (!fit.valid) return fit;
    std::array<double, 6> move{};
    for (std::size_t r = 0; r < 6; ++r) {
      for (std::size_t c = 0; c < 6; ++c) move[r] += fit.covariance[r * 6 + c] * g[c];
    }
    fit.p = fit.p + Vec3{move[0], move[1], move[2]};
    fit.v = fit.v + Vec3{move[3], move[4], move[5]};
    if (!finite(fit.p) || !finite(fit.v) || norm(fit.v) > 60.0) {
      fit.valid = false;
      return fit;
    }
  }
  return fit;
}

// The distance of a fix from the arc, in its own and the arc's uncertainty.
double off_arc(const Fix& fix, Vec3 p, double tau, const Fit& fit) {
  Vec3 at;
  Sym3 covariance;
  if (!place(fix, at, covariance)) return 0.0;
  const auto& c = fit.covariance;
  const auto of = [&](std::size_t r, std::size_t k) {
    return c[r * 6 + k] + tau * (c[r * 6 + 3 + k] + c[(3 + r) * 6 + k]) +
           tau * tau * c[(3 + r) * 6 + 3 + k];
  };
  const Sym3 spread = covariance + Sym3{of(0, 0), of(0, 1), of(0, 2), of(1, 1), of(1, 2), of(2, 2)};
  Sym3 inverse;
  if (!invert(spread, inverse)) return 0.0;
  const Vec3 gap = at - p;
  return form(gap, inverse, gap);
}

struct Deviation {
  double tau;
  double metres;
  double chi2;
};

// Distances from the arc, newest first, for fixes up to `first`.
std::vector<Deviation> deviations(const std::vector<Fix>& fixes, std::size_t first, const Fit& fit,
                                  const Options& options) {
  std::vector<Deviation> out;
  Vec3 p = fit.p;
  Vec3 v = fit.v;
  double at = 0.0;
  for (std::size_t i = fixes.size(); i-- > first;) {
    const double tau = 1e-9 * static_cast<double>(fixes[i].time_ns - fixes.back().time_ns);
    fly_by(p, v, tau - at, options);
    at = tau;
    Vec3 seen;
    Sym3 covariance;
    const double metres = place(fixes[i], seen, covariance) ? norm(seen - p) : 0.0;
    out.push_back({tau, metres, off_arc(fixes[i], p, tau, fit)});
  }
  return out;
}

// The zero of the line through the deviations' `power`, and how badly it fits the deviations.
struct Onset {
  double tau = 0.0;
  double misfit = 1e300;
};

Onset onset(const std::vector<Deviation>& off, double reference, bool root) {
  double s = 0.0;
  double st = 0.0;
  double stt = 0.0;
  double sy = 0.0;
  double sty = 0.0;
  for (const Deviation& d : off) {
    const double y = root ? std::sqrt(d.metres) : d.metres;
    const double t = d.tau - reference;
    s += 1.0;
    st += t;
    stt += t * t;
    sy += y;
    sty += t * y;
  }
  const double det = s * stt - st * st;
  if (s < 2.0 || !(det > 0.0)) return {};
  const double slope = (s * sty - st * sy) / det;
  const double level = (sy - slope * st) / s;
  if (!(slope < -0.5)) return {};
  Onset out{reference - level / slope, 0.0};
  for (const Deviation& d : off) {
    const double y = level + slope * (d.tau - reference);
    const double e = (root ? y * std::fabs(y) : y) - d.metres;
    out.misfit += e * e;
  }
  return out;
}

// When the hand let go. Before it, the distance from the arc grows with the square of the time
// where a hand pushes, with the time itself after a blow: whichever fits what is off the arc.
double release_tau(const std::vector<Deviation>& all, std::size_t on_arc, double& std_s) {
  const double oldest_on = all[on_arc - 1].tau;
  const double step = oldest_on - all[on_arc].tau;
  std_s = 0.5 * step;
  std::vector<Deviation> off;
  for (std::size_t i = on_arc; i < all.size() && off.size() < 4; ++i) {
    if (oldest_on - all[i].tau > 0.12) break;
    if (all[i].metres > 0.0) off.push_back(all[i]);
  }
  const Onset push = onset(off, oldest_on, true);
  const Onset blow = onset(off, oldest_on, false);
  const Onset& best = blow.misfit < kClearly * push.misfit ? blow : push;
  if (best.misfit > 1e200) return oldest_on;
  return std::clamp(best.tau, oldest_on - step, oldest_on + 0.05);
}

}  // namespace

int note_bounces(Track& track, const Options& options) {
  if (track.fixes.size() < 4) return 0;
  const std::int64_t newest = track.fixes.back().time_ns;
  const double rest = options.floor_m + options.radius_m;
  Bounce* last = track.bounces.empty() ? nullptr : &track.bounces.back();
  const bool refine = last != nullptr && newest - last->time_ns < kRefined_ns;
  const auto window = static_cast<std::int64_t>(1e9 * kSideWindow_s);
  const std::int64_t reference = refine ? last->time_ns : newest;
  std::int64_t since = reference - window - (refine ? 0 : window / 2);
  const std::size_t older = track.bounces.size() - (refine ? 1 : 0);
  if (older > 0) since = std::max(since, track.bounces[older - 1].time_ns);
  const std::vector<Height> h = heights(track, reference, rest, since);
  const BounceFit fit = best_bounce(h);
  if (!(fit.chi2 < kMostChi2)) return 0;
  const Bounce found = bounce_of(fit, h, reference, rest);
  if (refine) {
    *last = found;
    return 0;
  }
  if (last != nullptr && found.time_ns - last->time_ns < kBetween_ns) return 0;
  if (track.bounces.size() >= kMostBounces) track.bounces.erase(track.bounces.begin());
  track.bounces.push_back(found);
  return 1;
}

Arc fit_arc(const Track& track, const Options& options) {
  Arc arc;
  const std::vector<Fix>& fixes = track.fixes;
  if (fixes.size() < kFewest) return arc;
  const std::int64_t newest = fixes.back().time_ns;
  const std::int64_t floor_ns = track.bounces.empty() ? kLongAgo : track.bounces.back().time_ns;
  const auto joins = [&](std::size_t i) {
    return fixes[i].time_ns > floor_ns &&
           (i + 1 == fixes.size() || fixes[i + 1].time_ns - fixes[i].time_ns <= kGap_ns);
  };
  std::size_t first = fixes.size();
  while (first > 0 && joins(first - 1) && fixes[first - 1].flight > 0.5) --first;
  if (fixes.size() - first < kFewest) return arc;
  Fit fit;
  const Moments now = moments(track.modes);
  fit.p = now.p;
  fit.v = now.v;
  std::vector<Deviation> all;
  for (int round = 0; round < kRounds; ++round) {
    fit = fit_flight(fixes, first, fit, options);
    if (!fit.valid) return arc;
    all = deviations(fixes, 0, fit, options);
    std::size_t on = 0;
    while (on < all.size() && all[on].chi2 <= kOnArc && joins(fixes.size() - 1 - on)) ++on;
    if (on < kFewest) return arc;
    const std::size_t next = fixes.size() - on;
    if (next == first) break;
    first = next;
  }
  const std::size_t on = fixes.size() - first;
  const double length = -all[on - 1].tau;
  if (length < kShortest_s) return arc;
  double release = all[on - 1].tau;
  arc.release_std_s = 0.05;
  if (first > 0 && joins(first - 1)) {
    release = release_tau(all, on, arc.release_std_s);
  } else if (floor_ns != kLongAgo && (first == 0 || fixes[first - 1].time_ns <= floor_ns)) {
    release = 1e-9 * static_cast<double>(floor_ns - newest);
    arc.release_std_s = track.bounces.back().std_s;
    arc.from_floor = true;
  }
  arc.valid = true;
  arc.fixes = static_cast<int>(on);
  double chi2 = 0.0;
  for (std::size_t i = 0; i < on; ++i) chi2 += all[i].chi2;
  arc.chi2 = chi2 / (3.0 * static_cast<double>(on));
  arc.time_ns = newest;
  arc.p = fit.p;
  arc.v = fit.v;
  arc.covariance = fit.covariance;
  arc.release_ns = newest + static_cast<std::int64_t>(1e9 * release);
  arc.release_p = fit.p;
  arc.release_v = fit.v;
  fly_by(arc.release_p, arc.release_v, release, options);
  Vec3 p = fit.p;
  Vec3 v = fit.v;
  const double rest = options.floor_m + options.radius_m;
  constexpr double kFall_s = 0.01;
  for (double t = 0.0; t < kLongestFall_s; t += kFall_s) {
    const Vec3 before = p;
    fly(p, v, {}, kFall_s, options);
    if (p.z > rest || v.z > 0.0) continue;
    const double share = std::clamp((before.z - rest) / std::max(before.z - p.z, 1e-9), 0.0, 1.0);
    arc.landing_ns = newest + static_cast<std::int64_t>(1e9 * (t + share * kFall_s));
    break;
  }
  return arc;
}

}  // namespace tipoff::ball
