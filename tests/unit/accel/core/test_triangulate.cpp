// Robust triangulation without Python: exact, robust, silent where it has to be.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/triangulate.hpp"
#include "scene.hpp"

using namespace tipoff;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<Vec2> images(const Rig& rig, Vec3 point) {
  std::vector<Vec2> uv(rig.cameras.size(), Vec2{kNan, kNan});
  for (std::size_t c = 0; c < uv.size(); ++c) {
    if (!project(rig.cameras[c], point, uv[c])) uv[c] = {kNan, kNan};
  }
  return uv;
}

int inliers_of(const TriangulateScratch& scratch) {
  int count = 0;
  for (const TriangulateView& view : scratch.views) count += view.inlier ? 1 : 0;
  return count;
}

struct Solver {
  TriangulateOptions options;
  TriangulateScratch scratch;
  TriangulateResult result;

  bool operator()(const Rig& rig, const std::vector<Vec2>& uv,
                  const std::vector<double>& confidence = {}) {
    return triangulate(rig, uv, confidence, options, scratch, result);
  }
};

}  // namespace

TEST_CASE("exact images give the point") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> where(-5.0, 5.0);
  Solver solve;
  for (int cameras = 2; cameras <= 14; ++cameras) {
    const Rig rig = testing::ring(cameras);
    for (int i = 0; i < 50; ++i) {
      const Vec3 point{where(random), where(random), 0.2 * where(random) + 1.0};
      REQUIRE(solve(rig, images(rig, point)));
      CHECK(norm(solve.result.point - point) < 1e-8);
      CHECK(inliers_of(solve.scratch) == cameras);
    }
  }
}

TEST_CASE("one to three of seven views may lie anywhere") {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> where(-4.0, 4.0);
  std::uniform_real_distribution<double> off(80.0, 300.0);
  const Rig rig = testing::ring(7);
  Solver solve;
  for (int i = 0; i < 300; ++i) {
    const Vec3 point{where(random), where(random), 1.0};
    std::vector<Vec2> uv = images(rig, point);
    const int wrong = 1 + i % 3;
    for (int k = 0; k < wrong; ++k) {
      Vec2& pixel = uv[static_cast<std::size_t>((i + 2 * k) % 7)];
      pixel = {pixel.x + off(random), pixel.y - off(random)};
    }
    REQUIRE(solve(rig, uv));
    CHECK(norm(solve.result.point - point) < 0.2);
    CHECK(inliers_of(solve.scratch) >= 7 - wrong);
  }
}

TEST_CASE("the covariance is that of the information of the inliers") {
  const Rig rig = testing::ring(5);
  const std::vector<double> confidence{1.0, 0.5, 0.25, 0.8, 0.1};
  const Vec3 point{1.0, -2.0, 1.2};
  Solver solve;
  solve.options.sigma_px = 3.0;
  REQUIRE(solve(rig, images(rig, point), confidence));
  Sym3 information;
  for (std::size_t c = 0; c < 5; ++c) {
    Projection p;
    REQUIRE(project(rig.cameras[c], point, p));
    information.add_outer(p.du, confidence[c] / 9.0);
    information.add_outer(p.dv, confidence[c] / 9.0);
  }
  const Vec3 x = information * (solve.result.covariance * Vec3{1.0, 2.0, 3.0});
  CHECK(norm(x - Vec3{1.0, 2.0, 3.0}) < 1e-6);
}

TEST_CASE("no point where fewer than two views see or agree") {
  const Rig rig = testing::ring(4);
  Solver solve;
  std::vector<Vec2> uv = images(rig, {0.0, 0.0, 1.0});
  CHECK_FALSE(solve(rig, uv, {1.0, 0.0, kNan, -1.0}));
  CHECK_FALSE(solve(rig, std::vector<Vec2>(4, Vec2{kNan, 1.0})));
  uv[1] = uv[2] = {kNan, kNan};
  uv[3].x += 200.0;
  uv[3].y += 200.0;
  CHECK_FALSE(solve(rig, uv));
  CHECK(inliers_of(solve.scratch) == 0);
}

TEST_CASE("no point where rays are parallel, diverge, or start in one place") {
  Solver solve;
  Rig rig = testing::ring(2);
  for (Camera& camera : rig.cameras) camera.d = {};
  Camera& second = rig.cameras[1];
  const Vec3 centre = second.center;
  second.R = rig.cameras[0].R;
  second.t = -1.0 * (second.R * centre);
  for (Camera& camera : rig.cameras) camera.prepare();
  CHECK_FALSE(solve(rig, {{960.0, 540.0}, {960.0, 540.0}}));
  CHECK_FALSE(solve(rig, {{123.4, 77.7}, {123.4, 77.7}}));
  rig.cameras[1] = rig.cameras[0];
  CHECK_FALSE(solve(rig, images(rig, {1.0, 1.0, 1.0})));
}

TEST_CASE("any numbers at all end in a sound point or none") {
  std::mt19937_64 random(7);
  std::uniform_int_distribution<int> kind(0, 9);
  std::uniform_real_distribution<double> pixel(-2000.0, 4000.0);
  const double odd[] = {kNan, std::numeric_limits<double>::infinity(), 1e300, -1e300, 1e-310, 0.0};
  const Rig rig = testing::ring(6);
  Solver solve;
  const auto number = [&](double usual) {
    const int k = kind(random);
    return k < 6 && kind(random) < 2 ? odd[k] : usual;
  };
  for (int i = 0; i < 20000; ++i) {
    std::vector<Vec2> uv(6);
    std::vector<double> confidence(6);
    for (std::size_t c = 0; c < 6; ++c) {
      uv[c] = {number(pixel(random)), number(pixel(random))};
      confidence[c] = number(0.1 * kind(random));
    }
    if (solve(rig, uv, confidence)) {
      CHECK(finite(solve.result.point));
      CHECK(inliers_of(solve.scratch) >= 2);
      CHECK(solve.result.covariance.trace() > 0.0);
    }
  }
}

TEST_CASE("the same question gives the same bits, whatever was asked before") {
  const Rig rig = testing::ring(5);
  std::vector<Vec2> uv = images(rig, {0.5, 0.5, 1.0});
  uv[2].x += 90.0;
  uv[0].y += 1.5;
  Solver fresh, used;
  REQUIRE(used(rig, images(rig, {-2.0, 1.0, 1.5})));
  REQUIRE(fresh(rig, uv));
  REQUIRE(used(rig, uv));
  CHECK(fresh.result.point.x == used.result.point.x);
  CHECK(fresh.result.point.y == used.result.point.y);
  CHECK(fresh.result.point.z == used.result.point.z);
}
