// What a change of a camera does to the images of people, and how much of it a block of residuals
// shows.
//
// The tracker fits the changed camera too, so the residuals of all cameras shift. For one person in
// one block the cameras' mean residuals r_c obey r_c = J_c b + A_c d_c + noise, where b is how far
// the common point is off, J_c the image's derivative by it, A_c the derivative by the camera's
// changes d_c. With the weights w_c, eliminating b leaves e_c = r_c - J_c b^ and the redundancy
// M_c = w_c (I - w_c J_c N^-1 J_c^T), N = sum w J^T J; the score of a change of camera c alone is
// g = A_c^T w_c e_c with information H = A_c^T M_c A_c (Baarda's data snooping, 1968, with vector
// valued alternatives). Neither depends on where the tracker put the person.
#pragma once

#include <span>

#include "camera.hpp"

namespace tipoff {

// The changes of a camera, in this order: turned about its own x (right), y (down) and z (forward)
// axes, rad; relative growth of its focal length; displaced along its axes, m; pictures older than
// their times say, s.
inline constexpr std::size_t kEffects = 8;
inline constexpr std::size_t kZoom = 3;
inline constexpr std::size_t kShift = 4;
inline constexpr std::size_t kLate = 7;
using Effects = std::array<double, kEffects>;

// A symmetric matrix over the effects by rows of its upper triangle.
struct EffectMatrix {
  std::array<double, kEffects*(kEffects + 1) / 2> m{};

  static constexpr std::size_t at(std::size_t i, std::size_t j) {
    return i <= j ? i * kEffects - i * (i + 1) / 2 + j : at(j, i);
  }
  double operator()(std::size_t i, std::size_t j) const { return m[at(i, j)]; }
  void add(const EffectMatrix& other, double scale = 1.0) {
    for (std::size_t i = 0; i < m.size(); ++i) m[i] += scale * other.m[i];
  }
  void scale(double s) {
    for (double& value : m) value *= s;
  }

  template <class Archive>
  void archive(Archive& a) {
    a(m);
  }
};

Effects operator*(const EffectMatrix& a, const Effects& v);
double dot(const Effects& a, const Effects& b);

// Which effects a fit may use, as bits.
inline constexpr unsigned kTurnMask = 0b00000111U;
inline constexpr unsigned kZoomMask = 0b00001000U;
inline constexpr unsigned kShiftMask = 0b01110000U;
inline constexpr unsigned kLateMask = 0b10000000U;
inline constexpr unsigned kAllMask = 0b11111111U;

// The most likely effects among `mask`, the others zero, given weak priors that keep what the
// people's places cannot tell apart from growing.
struct EffectFit {
  Effects value{};
  Effects variance{};  // diagonal of the inverse, under unit noise
  double gain = 0.0;   // by how much it lowers the squared residuals, in variances
};
EffectMatrix covariance_of(const EffectMatrix& information);  // with the priors
EffectFit fit_effects(const EffectMatrix& information, const Effects& gradient, unsigned mask);

// The changes whose charts are watched; those left out look like one of these on a person.
inline constexpr std::size_t kCharts = 5;
inline constexpr std::array<std::size_t, kCharts> kChartEffect{0, 1, 2, kZoom, kLate};

// What one block says about one camera.
struct BlockScore {
  Effects gradient{};
  EffectMatrix information;
  // Between the people of the block: squares of their scores, their products with information, and
  // squares of that.
  std::array<double, kCharts> gg{};
  std::array<double, kCharts> gh{};
  std::array<double, kCharts> hh{};
  int people = 0;
  double misfit = 0.0;  // sum of |e|, px
};

// The mean residual of one person in one camera.
struct PersonView {
  int camera = 0;
  Vec2 residual_px;
  double weight = 0.0;  // 1 / px^2
};

// What is assumed of the cameras before a person is scored: the correction by effects already
// known, and the residual, px, beyond which a view counts less.
struct CameraBelief {
  Effects known{};
  double clip_px = 4.0;
};

// Derivatives of an image by the effects, px a unit.
struct EffectColumns {
  std::array<Vec2, kEffects> a{};
};
EffectColumns columns_of(const Camera& camera, const Projection& image, Vec3 point, Vec3 velocity);

// Adds a person at `point` moving at `velocity` to the scores of the cameras that saw them; fewer
// than two views say nothing.
void score_person(const Rig& rig, Vec3 point, Vec3 velocity, std::span<const PersonView> views,
                  std::span<const CameraBelief> beliefs, std::span<BlockScore> scores);

// By how much camera `c`, changed by `effects`, moves the common point that all cameras who see it
// fit with equal weights, m; negative where fewer than two do or `c` does not.
double displacement_m(const Rig& rig, std::size_t c, const Effects& effects, Vec3 point);

}  // namespace tipoff
