// Projection, its Jacobian, undistortion and the domain of a distortion.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/camera.hpp"
#include "scene.hpp"

using namespace tipoff;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Camera camera_with(Distortion d) {
  Camera camera = testing::ring(1).cameras.front();
  camera.k = {1100.0, 1120.0, 3.0, 900.0, 560.0};
  camera.d = d;
  camera.prepare();
  return camera;
}

}  // namespace

TEST_CASE("a point on the axis is seen at the principal point") {
  const Camera camera = camera_with({-0.2, 0.05, 1e-3, -1e-3, 0.01});
  const Vec3 axis{camera.R(2, 0), camera.R(2, 1), camera.R(2, 2)};
  Projection p;
  REQUIRE(project(camera, camera.center + 12.5 * axis, p));
  CHECK(p.uv.x == doctest::Approx(900.0).epsilon(1e-12));
  CHECK(p.uv.y == doctest::Approx(560.0).epsilon(1e-12));
  CHECK(p.depth == doctest::Approx(12.5).epsilon(1e-12));
}

TEST_CASE("the Jacobian is the derivative of the projection") {
  const Camera camera = camera_with({-0.2, 0.05, 2e-3, -1e-3, 0.01});
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> where(-3.0, 3.0);
  for (int i = 0; i < 200; ++i) {
    const Vec3 point{where(random), where(random), where(random)};
    Projection p;
    REQUIRE(project(camera, point, p));
    const double h = 1e-6;
    const Vec3 steps[3] = {{h, 0, 0}, {0, h, 0}, {0, 0, h}};
    const double du[3] = {p.du.x, p.du.y, p.du.z};
    const double dv[3] = {p.dv.x, p.dv.y, p.dv.z};
    for (int axis = 0; axis < 3; ++axis) {
      Vec2 ahead, behind;
      REQUIRE(project(camera, point + steps[axis], ahead));
      REQUIRE(project(camera, point - steps[axis], behind));
      CHECK(std::fabs((ahead.x - behind.x) / (2 * h) - du[axis]) < 1e-5);
      CHECK(std::fabs((ahead.y - behind.y) / (2 * h) - dv[axis]) < 1e-5);
    }
  }
}

TEST_CASE("both projections give the same bits") {
  const Camera camera = camera_with({-0.2, 0.05, 2e-3, -1e-3, 0.01});
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> where(-40.0, 40.0);
  for (int i = 0; i < 2000; ++i) {
    const Vec3 point{where(random), where(random), where(random)};
    Vec2 uv;
    Projection p;
    const bool seen = project(camera, point, uv);
    REQUIRE(project(camera, point, p) == seen);
    if (seen) CHECK((uv.x == p.uv.x && uv.y == p.uv.y));
  }
}

TEST_CASE("undistortion inverts projection up to the edge of the domain") {
  std::mt19937_64 random(5);
  std::normal_distribution<double> term(0.0, 1.0);
  std::uniform_real_distribution<double> turn(0.0, 6.283185307179586);
  std::uniform_real_distribution<double> share(0.0, 0.95);
  for (int i = 0; i < 5000; ++i) {
    const Camera camera = camera_with({0.2 * term(random), 0.1 * term(random), 1e-3 * term(random),
                                       1e-3 * term(random), 0.03 * term(random)});
    const double r = share(random) * std::min(1.0, std::sqrt(camera.max_r2));
    const double angle = turn(random);
    const Vec2 expected{r * std::cos(angle), r * std::sin(angle)};
    const Vec3 local{2.0 * expected.x, 2.0 * expected.y, 2.0};
    Vec2 uv, found;
    REQUIRE(project(camera, transposed_times(camera.R, local - camera.t), uv));
    REQUIRE(undistort(camera, uv, found));
    CHECK(std::fabs(found.x - expected.x) < 1e-9);
    CHECK(std::fabs(found.y - expected.y) < 1e-9);
  }
}

TEST_CASE("a distortion grows up to its first turning point") {
  CHECK(monotonic_limit({0.0, 0.0, 0.0, 0.0, 0.0}) == kInf);
  CHECK(monotonic_limit({0.3, 0.1, 0.0, 0.0, 0.1}) == kInf);
  CHECK(monotonic_limit({-1.0 / 3.0, 0.0, 0.0, 0.0, 0.0}) == doctest::Approx(1.0).epsilon(1e-14));
  CHECK(monotonic_limit({0.0, -0.2, 0.0, 0.0, 0.0}) == doctest::Approx(1.0).epsilon(1e-14));
  CHECK(monotonic_limit({0.0, 0.0, 0.0, 0.0, -1.0 / 7.0}) == doctest::Approx(1.0).epsilon(1e-14));
  // 1 - 3 s + 2 s^2 turns at 1/2 and grows again beyond 1: the first counts.
  CHECK(monotonic_limit({-1.0, 0.4, 0.0, 0.0, 0.0}) == doctest::Approx(0.5).epsilon(1e-14));
}

TEST_CASE("what has no image or no ray is refused") {
  const Camera camera = camera_with({-0.3, 0.0, 0.0, 0.0, 0.0});
  const Vec3 axis{camera.R(2, 0), camera.R(2, 1), camera.R(2, 2)};
  const Vec3 right{camera.R(0, 0), camera.R(0, 1), camera.R(0, 2)};
  const double edge = std::sqrt(camera.max_r2);
  Vec2 out;
  CHECK_FALSE(project(camera, camera.center, out));
  CHECK_FALSE(project(camera, camera.center - axis, out));
  CHECK_FALSE(project(camera, camera.center + axis + 1.001 * edge * right, out));
  CHECK(project(camera, camera.center + axis + 0.999 * edge * right, out));
  CHECK_FALSE(project(camera, {std::nan(""), 0.0, 0.0}, out));
  CHECK_FALSE(undistort(camera, {std::nan(""), 500.0}, out));
  CHECK_FALSE(undistort(camera, {kInf, 500.0}, out));
  CHECK_FALSE(undistort(camera, {1e300, 500.0}, out));
  CHECK_FALSE(undistort(camera, {900.0 + 0.71 * 1100.0, 560.0}, out));
  CHECK(undistort(camera, {900.0 + 0.69 * 1100.0, 560.0}, out));
}

TEST_CASE("rays start at the camera and pass through the point") {
  const Camera camera = camera_with({-0.1, 0.02, 1e-3, 1e-3, 0.0});
  const Vec3 point{1.0, -2.0, 1.5};
  Vec2 uv, xy;
  REQUIRE(project(camera, point, uv));
  REQUIRE(undistort(camera, uv, xy));
  const Vec3 d = ray_direction(camera, xy);
  CHECK(norm(d) == doctest::Approx(1.0).epsilon(1e-14));
  CHECK(norm(cross(d, point - camera.center)) < 1e-10);
}

TEST_CASE("rows are exposed one after the other") {
  Camera camera = camera_with({});
  camera.height = 1000.0;
  CHECK(row_delay_ns(camera, 500.0) == 0);
  camera.readout_ns = 8'000'000;
  CHECK(row_delay_ns(camera, 0.0) == 0);
  CHECK(row_delay_ns(camera, 500.0) == 4'000'000);
  CHECK(row_delay_ns(camera, 5000.0) == 8'000'000);
  CHECK(row_delay_ns(camera, -5.0) == 0);
  CHECK(row_delay_ns(camera, std::nan("")) == 0);
}
