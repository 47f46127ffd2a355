// A small court for tests: cameras on a ring, bodies of five joints that walk, and what is seen of
// them.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/tracker.hpp"

namespace tipoff::testing {

inline constexpr std::int64_t kFrame_ns = 16'666'667;

inline Mat3 look(Vec3 from, Vec3 at) {
  const Vec3 forward = (1.0 / norm(at - from)) * (at - from);
  const Vec3 side = cross(forward, Vec3{0.0, 0.0, 1.0});
  const Vec3 right = (1.0 / norm(side)) * side;
  const Vec3 down = cross(forward, right);
  Mat3 R;
  R.m = {right.x, right.y, right.z, down.x, down.y, down.z, forward.x, forward.y, forward.z};
  return R;
}

inline Rig ring(int cameras) {
  Rig rig;
  for (int c = 0; c < cameras; ++c) {
    const double angle = 6.283185307179586 * (c + 0.3) / cameras;
    const Vec3 centre{16.0 * std::cos(angle), 12.0 * std::sin(angle), 7.0};
    Camera camera;
    camera.k = {1200.0, 1200.0, 0.0, 960.0, 540.0};
    camera.d = {-0.12, 0.02, 4e-4, -3e-4, 0.0};
    camera.R = look(centre, {0.0, 0.0, 1.0});
    camera.t = -1.0 * (camera.R * centre);
    camera.width = 1920.0;
    camera.height = 1080.0;
    camera.prepare();
    rig.cameras.push_back(camera);
  }
  return rig;
}

// Head, two hands, two feet around a trunk of one joint.
inline TrackerOptions five_joints() {
  TrackerOptions options;
  options.skeleton.joints = 6;
  options.skeleton.limbs = {{5, 0}, {5, 1}, {5, 2}, {5, 3}, {5, 4}};
  options.skeleton.mirror = {0, 2, 1, 4, 3, 5};
  options.skeleton.trunk = {5};
  options.skeleton.parents = {5, 5, 5, 5, 5, -1};
  return options;
}

inline std::vector<Vec3> body(int person, double time_s) {
  const double x = -4.0 + 2.5 * person + 1.0 * std::sin(0.7 * time_s + person);
  const double y = 1.5 * std::cos(0.5 * time_s + 2.0 * person);
  const Vec3 trunk{x, y, 1.1};
  const double swing = 0.25 * std::sin(6.0 * time_s);
  return {trunk + Vec3{0.0, 0.0, 0.6},       trunk + Vec3{swing, 0.3, 0.1},
          trunk + Vec3{-swing, -0.3, 0.1},   trunk + Vec3{swing, 0.12, -1.0},
          trunk + Vec3{-swing, -0.12, -1.0}, trunk};
}

struct Seen {
  int camera = 0;
  std::int64_t time_ns = 0;
  std::vector<float> keypoints;
  int rows = 0;
};

// What all cameras see of `people` in frame `index`, with noise from `random`.
inline std::vector<Seen> see(const Rig& rig, int people, int index, double sigma_px,
                             std::mt19937& random) {
  std::normal_distribution<double> noise(0.0, sigma_px);
  std::vector<Seen> out;
  for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
    Seen seen{static_cast<int>(c), index * kFrame_ns, {}, people};
    for (int p = 0; p < people; ++p) {
      for (const Vec3& joint : body(p, 1e-9 * static_cast<double>(seen.time_ns))) {
        Vec2 uv;
        const bool there = project(rig.cameras[c], joint, uv);
        seen.keypoints.push_back(static_cast<float>(uv.x + noise(random)));
        seen.keypoints.push_back(static_cast<float>(uv.y + noise(random)));
        seen.keypoints.push_back(there ? 0.9F : 0.0F);
      }
    }
    out.push_back(std::move(seen));
  }
  return out;
}

inline bool observe(Tracker& tracker, const Seen& seen) {
  return tracker.observe(
      {seen.camera, seen.time_ns, seen.rows, 6, seen.keypoints.data(), 0, nullptr});
}

inline bool same(const Snapshot& a, const Snapshot& b) {
  const auto bits = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  if (a.ids != b.ids || a.views != b.views || a.points.size() != b.points.size()) return false;
  for (std::size_t i = 0; i < a.points.size(); ++i) {
    const Vec3 p = a.points[i];
    const Vec3 q = b.points[i];
    const Sym3 s = a.covariances[i];
    const Sym3 t = b.covariances[i];
    if (!bits(p.x, q.x) || !bits(p.y, q.y) || !bits(p.z, q.z)) return false;
    if (!bits(s.xx, t.xx) || !bits(s.xy, t.xy) || !bits(s.xz, t.xz)) return false;
    if (!bits(s.yy, t.yy) || !bits(s.yz, t.yz) || !bits(s.zz, t.zz)) return false;
  }
  return true;
}

}  // namespace tipoff::testing
