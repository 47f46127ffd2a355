// Small fixed-size linear algebra in double precision: the vectors, 3x3 matrices and symmetric 3x3
// matrices that cameras and filters need. Every operation is written out in one order, so that the
// same input gives the same bits wherever contraction is off.
#pragma once

#include <array>
#include <cmath>

namespace tipoff {

struct Vec2 {
  double x = 0.0;
  double y = 0.0;
};

struct Vec3 {
  double x = 0.0;
  double y = 0.0;
  double z = 0.0;
};

inline Vec2 operator+(Vec2 a, Vec2 b) {
  return {a.x + b.x, a.y + b.y};
}
inline Vec2 operator-(Vec2 a, Vec2 b) {
  return {a.x - b.x, a.y - b.y};
}
inline Vec2 operator*(double s, Vec2 a) {
  return {s * a.x, s * a.y};
}
inline double dot(Vec2 a, Vec2 b) {
  return a.x * b.x + a.y * b.y;
}

inline Vec3 operator+(Vec3 a, Vec3 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Vec3 operator-(Vec3 a, Vec3 b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Vec3 operator*(double s, Vec3 a) {
  return {s * a.x, s * a.y, s * a.z};
}
inline double dot(Vec3 a, Vec3 b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline double norm(Vec3 a) {
  return std::sqrt(dot(a, a));
}
inline double norm(Vec2 a) {
  return std::sqrt(dot(a, a));
}
inline Vec3 cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline bool finite(Vec3 a) {
  return std::isfinite(a.x) && std::isfinite(a.y) && std::isfinite(a.z);
}

// A 3x3 matrix by rows.
struct Mat3 {
  std::array<double, 9> m{1, 0, 0, 0, 1, 0, 0, 0, 1};
  double operator()(int r, int c) const { return m[static_cast<std::size_t>(3 * r + c)]; }
  double& operator()(int r, int c) { return m[static_cast<std::size_t>(3 * r + c)]; }
};

inline Vec3 operator*(const Mat3& a, Vec3 v) {
  return {a.m[0] * v.x + a.m[1] * v.y + a.m[2] * v.z, a.m[3] * v.x + a.m[4] * v.y + a.m[5] * v.z,
          a.m[6] * v.x + a.m[7] * v.y + a.m[8] * v.z};
}

// The product of the transpose with a vector.
inline Vec3 transposed_times(const Mat3& a, Vec3 v) {
  return {a.m[0] * v.x + a.m[3] * v.y + a.m[6] * v.z, a.m[1] * v.x + a.m[4] * v.y + a.m[7] * v.z,
          a.m[2] * v.x + a.m[5] * v.y + a.m[8] * v.z};
}

// A symmetric 3x3 matrix by its upper triangle.
struct Sym3 {
  double xx = 0.0;
  double xy = 0.0;
  double xz = 0.0;
  double yy = 0.0;
  double yz = 0.0;
  double zz = 0.0;

  static Sym3 diagonal(double d) { return {d, 0.0, 0.0, d, 0.0, d}; }

  double trace() const { return xx + yy + zz; }

  double determinant() const {
    return xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz);
  }

  // Adds w * v v^T.
  void add_outer(Vec3 v, double w) {
    xx += w * v.x * v.x;
    xy += w * v.x * v.y;
    xz += w * v.x * v.z;
    yy += w * v.y * v.y;
    yz += w * v.y * v.z;
    zz += w * v.z * v.z;
  }
};

inline Sym3 operator+(const Sym3& a, const Sym3& b) {
  return {a.xx + b.xx, a.xy + b.xy, a.xz + b.xz, a.yy + b.yy, a.yz + b.yz, a.zz + b.zz};
}
inline Sym3 operator*(double s, const Sym3& a) {
  return {s * a.xx, s * a.xy, s * a.xz, s * a.yy, s * a.yz, s * a.zz};
}
inline Vec3 operator*(const Sym3& a, Vec3 v) {
  return {a.xx * v.x + a.xy * v.y + a.xz * v.z, a.xy * v.x + a.yy * v.y + a.yz * v.z,
          a.xz * v.x + a.yz * v.y + a.zz * v.z};
}

// The inverse by cofactors; false (and `out` untouched) where the matrix is not positive definite
// to working precision.
inline bool invert(const Sym3& a, Sym3& out) {
  const double cxx = a.yy * a.zz - a.yz * a.yz;
  const double cxy = a.xz * a.yz - a.xy * a.zz;
  const double cxz = a.xy * a.yz - a.xz * a.yy;
  const double det = a.xx * cxx + a.xy * cxy + a.xz * cxz;
  if (!(det > 0.0) || !std::isfinite(det) || !(a.xx > 0.0) || !(a.xx * a.yy - a.xy * a.xy > 0.0)) {
    return false;
  }
  const double s = 1.0 / det;
  if (!std::isfinite(s)) return false;
  out = {s * cxx,
         s * cxy,
         s * cxz,
         s * (a.xx * a.zz - a.xz * a.xz),
         s * (a.xy * a.xz - a.xx * a.yz),
         s * (a.xx * a.yy - a.xy * a.xy)};
  return true;
}

}  // namespace tipoff
