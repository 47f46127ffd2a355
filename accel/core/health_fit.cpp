#include "health_fit.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Standard deviations of a change that nothing is known of: rad, relative, m, s.
constexpr Effects kPrior{0.01, 0.01, 0.01, 0.02, 0.015, 0.015, 0.015, 0.05};
// The common point is known this well without any camera, 1/m^2; it keeps near-parallel rays apart.
constexpr double kPointInformation = 4.0;

// Rounds of weighing views down that do not agree with the others.
constexpr int kRounds = 3;
constexpr std::size_t kMostViews = 64;

struct Seen {
  std::size_t camera = 0;
  double weight = 0.0;
  double trust = 1.0;
  Projection image;
  EffectColumns columns;
  Vec2 residual;
  Vec2 misfit;  // left over by the common point
};

// The Cholesky factor of the information of some effects and their priors, in units of the priors,
// which also puts all effects on one scale.
struct Factor {
  std::array<std::size_t, kEffects> index{};
  std::size_t n = 0;
  std::array<Effects, kEffects> l{};

  bool decompose(const EffectMatrix& information, unsigned mask) {
    for (std::size_t i = 0; i < kEffects; ++i) {
      if ((mask >> i & 1U) != 0) index[n++] = i;
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = information(index[i], index[j]) * kPrior[index[i]] * kPrior[index[j]];
        if (i == j) sum += 1.0;
        for (std::size_t k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
        if (i == j && (!(sum > 0.0) || !std::isfinite(sum))) return false;
        l[i][j] = i == j ? std::sqrt(sum) : sum / l[j][j];
      }
    }
    return true;
  }

  Effects solve(Effects x) const {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t k = 0; k < i; ++k) x[i] -= l[i][k] * x[k];
      x[i] /= l[i][i];
    }
    for (std::size_t i = n; i-- > 0;) {
      for (std::size_t k = i + 1; k < n; ++k) x[i] -= l[k][i] * x[k];
      x[i] /= l[i][i];
    }
    return x;
  }
};

// The common point by reweighted least squares: misfits and weights of the views, and the point's
// covariance; false where the views do not give one.
bool settle(std::span<Seen> views, std::span<const CameraBelief> beliefs, Sym3& covariance) {
  for (int round = 0; round < kRounds; ++round) {
    Sym3 normal = Sym3::diagonal(kPointInformation);
    Vec3 right;
    for (const Seen& s : views) {
      const double w = s.trust * s.weight;
      normal.add_outer(s.image.du, w);
      normal.add_outer(s.image.dv, w);
      right = right + (w * s.residual.x) * s.image.du + (w * s.residual.y) * s.image.dv;
    }
    if (!invert(normal, covariance)) return false;
    const Vec3 b = covariance * right;
    for (Seen& s : views) {
      s.misfit = s.residual - Vec2{dot(s.image.du, b), dot(s.image.dv, b)};
      if (round + 1 == kRounds) continue;
      const double size = norm(s.misfit);
      const double clip = beliefs[s.camera].clip_px;
      s.trust = size > clip ? clip / size : 1.0;
    }
  }
  return true;
}

void add_score(const Seen& s, const Sym3& covariance, BlockScore& score) {
  const Vec3 pu = covariance * s.image.du;
  const Vec3 pv = covariance * s.image.dv;
  const double w = s.trust * s.weight;
  const double uu = w * (1.0 - w * dot(s.image.du, pu));
  const double uv = -w * w * dot(s.image.du, pv);
  const double vv = w * (1.0 - w * dot(s.image.dv, pv));
  Effects g{};
  std::array<Vec2, kEffects> ma;
  for (std::size_t k = 0; k < kEffects; ++k) {
    const Vec2 a = s.columns.a[k];
    g[k] = w * dot(a, s.misfit);
    score.gradient[k] += g[k];
    ma[k] = {uu * a.x + uv * a.y, uv * a.x + vv * a.y};
  }
  std::size_t at = 0;
  for (std::size_t k = 0; k < kEffects; ++k) {
    for (std::size_t m = k; m < kEffects; ++m, ++at) {
      score.information.m[at] += dot(ma[k], s.columns.a[m]);
    }
  }
  for (std::size_t q = 0; q < kCharts; ++q) {
    const std::size_t k = kChartEffect[q];
    const double h = dot(ma[k], s.columns.a[k]);
    score.gg[q] += g[k] * g[k];
    score.gh[q] += g[k] * h;
    score.hh[q] += h * h;
  }
  ++score.people;
  score.misfit += norm(s.misfit);
}

}  // namespace

Effects operator*(const EffectMatrix& a, const Effects& v) {
  Effects out{};
  for (std::size_t i = 0; i < kEffects; ++i) {
    for (std::size_t j = 0; j < kEffects; ++j) out[i] += a(i, j) * v[j];
  }
  return out;
}

double dot(const Effects& a, const Effects& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < kEffects; ++i) sum += a[i] * b[i];
  return sum;
}

EffectFit fit_effects(const EffectMatrix& information, const Effects& gradient, unsigned mask) {
  EffectFit out;
  Factor factor;
  if (!factor.decompose(information, mask)) return out;
  Effects right{};
  for (std::size_t i = 0; i < factor.n; ++i) {
    right[i] = gradient[factor.index[i]] * kPrior[factor.index[i]];
  }
  const Effects x = factor.solve(right);
  for (std::size_t i = 0; i < factor.n; ++i) {
    const double s = kPrior[factor.index[i]];
    out.value[factor.index[i]] = s * x[i];
    out.gain += x[i] * right[i];
    Effects unit{};
    unit[i] = 1.0;
    out.variance[factor.index[i]] = s * s * factor.solve(unit)[i];
  }
  return out;
}

EffectMatrix covariance_of(const EffectMatrix& information) {
  EffectMatrix out;
  Factor factor;
  const bool definite = factor.decompose(information, kAllMask);
  for (std::size_t i = 0; i < kEffects; ++i) {
    Effects unit{};
    unit[i] = 1.0;
    const Effects column = definite ? factor.solve(unit) : unit;
    for (std::size_t j = 0; j <= i; ++j) {
      out.m[EffectMatrix::at(j, i)] = kPrior[i] * kPrior[j] * column[j];
    }
  }
  return out;
}

EffectColumns columns_of(const Camera& camera, const Projection& image, Vec3 point, Vec3 velocity) {
  const Vec3 x = camera.R * point + camera.t;
  const Vec3 ju = camera.R * image.du;  // by the camera's own coordinates
  const Vec3 jv = camera.R * image.dv;
  const auto by = [&](Vec3 d) { return Vec2{dot(ju, d), dot(jv, d)}; };
  EffectColumns out;
  // A camera turned by a small w sees x + x cross w.
  out.a[0] = by({0.0, x.z, -x.y});
  out.a[1] = by({-x.z, 0.0, x.x});
  out.a[2] = by({x.y, -x.x, 0.0});
  out.a[kZoom] = image.uv - Vec2{camera.k.cx, camera.k.cy};
  out.a[kShift] = {-ju.x, -jv.x};
  out.a[kShift + 1] = {-ju.y, -jv.y};
  out.a[kShift + 2] = {-ju.z, -jv.z};
  out.a[kLate] = {-dot(image.du, velocity), -dot(image.dv, velocity)};
  return out;
}

void score_person(const Rig& rig, Vec3 point, Vec3 velocity, std::span<const PersonView> views,
                  std::span<const CameraBelief> beliefs, std::span<BlockScore> scores) {
  std::array<Seen, kMostViews> seen;
  std::size_t count = 0;
  for (const PersonView& view : views) {
    if (count == seen.size()) break;
    const auto c = static_cast<std::size_t>(view.camera);
    Seen& s = seen[count];
    if (!project(rig.cameras[c], point, s.image)) continue;
    s.camera = c;
    s.weight = view.weight;
    s.columns = columns_of(rig.cameras[c], s.image, point, velocity);
    s.residual = view.residual_px;
    for (std::size_t k = 0; k < kEffects; ++k) {
      s.residual = s.residual - beliefs[c].known[k] * s.columns.a[k];
    }
    ++count;
  }
  const std::span<Seen> all(seen.data(), count);
  Sym3 covariance;
  if (count < 2 || !settle(all, beliefs, covariance)) return;
  for (const Seen& s : all) add_score(s, covariance, scores[s.camera]);
}

double displacement_m(const Rig& rig, std::size_t c, const Effects& effects, Vec3 point) {
  Sym3 normal;
  Vec3 right;
  int count = 0;
  bool here = false;
  for (std::size_t i = 0; i < rig.cameras.size(); ++i) {
    const Camera& camera = rig.cameras[i];
    Projection image;
    if (!project(camera, point, image) || image.uv.x < 0.0 || image.uv.y < 0.0 ||
        image.uv.x > camera.width || image.uv.y > camera.height) {
      continue;
    }
    ++count;
    normal.add_outer(image.du, 1.0);
    normal.add_outer(image.dv, 1.0);
    if (i != c) continue;
    here = true;
    const EffectColumns columns = columns_of(camera, image, point, {});
    Vec2 moved;
    for (std::size_t k = 0; k < kEffects; ++k) moved = moved + effects[k] * columns.a[k];
    right = moved.x * image.du + moved.y * image.dv;
  }
  Sym3 covariance;
  if (!here || count < 2 || !invert(normal, covariance)) return -1.0;
  return norm(covariance * right);
}

}  // namespace tipoff
