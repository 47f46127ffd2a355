// The pinhole camera with Brown's distortion (OpenCV order k1 k2 p1 p2 k3) and the rig of cameras.
//
// World to camera: x_cam = R X + t. Pixels are distorted unless said otherwise. A point has no
// image where it lies behind the camera or beyond the radius up to which the radial distortion
// grows.
#pragma once

#include <cstdint>
#include <vector>

#include "linalg.hpp"

namespace tipoff {

// A point nearer than this to the camera's plane, or behind it, has no image.
inline constexpr double kMinDepth = 1e-6;

struct Intrinsics {
  double fx = 1.0;
  double fy = 1.0;
  double skew = 0.0;
  double cx = 0.0;
  double cy = 0.0;
};

struct Distortion {
  double k1 = 0.0;
  double k2 = 0.0;
  double p1 = 0.0;
  double p2 = 0.0;
  double k3 = 0.0;
};

struct Camera {
  Intrinsics k;
  Distortion d;
  Mat3 R;
  Vec3 t;
  double width = 0.0;
  double height = 0.0;
  std::int64_t readout_ns = 0;

  // Derived by `prepare`.
  Vec3 center;
  double max_r2 = 0.0;

  // Fills the derived members; call it after any change of the others.
  void prepare();
};

// The image of a point with its derivatives by world x, y, z.
struct Projection {
  Vec2 uv;
  double depth = 0.0;
  Vec3 du;
  Vec3 dv;
};

// The smallest squared normalised radius at which r (1 + k1 r^2 + k2 r^4 + k3 r^6) stops growing;
// infinity where it never does.
double monotonic_limit(const Distortion& d);

// Distorted pixel of a world point; false where it has no image.
bool project(const Camera& camera, Vec3 point, Vec2& uv);

// The same with depth and Jacobian.
bool project(const Camera& camera, Vec3 point, Projection& out);

// Normalised undistorted coordinates (x/z, y/z) of a distorted pixel by Newton's method; false
// where no point of the monotonic domain has this image.
bool undistort(const Camera& camera, Vec2 uv, Vec2& normalised);

// Unit direction in the world of the ray through normalised coordinates.
Vec3 ray_direction(const Camera& camera, Vec2 normalised);

// How long after the first row the row through v was exposed, in nanoseconds; rows outside the
// image count as its edge.
std::int64_t row_delay_ns(const Camera& camera, double v);

struct Rig {
  std::vector<Camera> cameras;
};

}  // namespace tipoff
