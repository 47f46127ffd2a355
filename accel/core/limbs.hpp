// Limbs in an image: how thick they are, and who they may hide.
#pragma once

#include <algorithm>

#include "linalg.hpp"

namespace tipoff {

// Half the width of a limb, m.
inline constexpr double kLimbRadius_m = 0.14;
// Somebody is in front when nearer by this, m; within it either may be.
inline constexpr double kInFront_m = 0.3;

// Squared distance of a point from the segment from a to b.
inline double segment_distance2(Vec2 p, Vec2 a, Vec2 b) {
  const Vec2 ab = b - a;
  const double length2 = dot(ab, ab);
  const double s = length2 > 0.0 ? std::clamp(dot(p - a, ab) / length2, 0.0, 1.0) : 0.0;
  const Vec2 d = p - (a + s * ab);
  return dot(d, d);
}

}  // namespace tipoff
