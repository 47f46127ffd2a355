#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "core/filter.hpp"
#include "core/solve.hpp"
#include "scene.hpp"

using namespace tipoff;

TEST_CASE("the largest eigenvalue is bounded from above and at most 2 % off") {
  CHECK(largest_eigenvalue({4.0, 0.0, 0.0, 1.0, 0.0, 9.0}) == doctest::Approx(9.0).epsilon(0.02));
  CHECK(largest_eigenvalue({1e-6, 0.0, 0.0, 1e-6, 0.0, 1e-6}) >= 1e-6);
  CHECK(largest_eigenvalue(Sym3::diagonal(2.0)) == doctest::Approx(2.0).epsilon(0.02));
  // v v^T has one eigenvalue, |v|^2.
  Sym3 one;
  one.add_outer({1.0, 2.0, 3.0}, 1.0);
  CHECK(largest_eigenvalue(one) == doctest::Approx(14.0).epsilon(0.02));
}

TEST_CASE("a filter follows constant velocity and grows unsure without views") {
  JointFilter f;
  f.start({0.0, 0.0, 1.0}, {2.0, 0.0, 0.0}, Sym3::diagonal(1e-4), 0.1);
  const Motion calm{1.0, 1e9};
  for (int i = 0; i < 10; ++i) f.predict(0.01, {2.0, 0.0, 0.0}, calm);
  CHECK(f.p.x == doctest::Approx(0.2).epsilon(1e-6));
  CHECK(f.pp.xx > 1e-4);
  CHECK(f.vv.xx > 0.01);
}

TEST_CASE("conditioning on a position is a Kalman update of position and velocity") {
  // One axis by hand: P = [a b; b c], measurement variance r.
  JointFilter f;
  f.start({0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, Sym3::diagonal(0.04), 1.0);
  for (int i = 0; i < 3; ++i) f.pv(i, i) = 0.05;
  const double r = 0.01;
  const double gain = 0.04 / (0.04 + r);
  const double posterior = 0.04 * (1.0 - gain);
  const double z = 0.1;
  f.condition({gain * z, 0.0, 0.0}, Sym3::diagonal(posterior));
  CHECK(f.p.x == doctest::Approx(gain * z));
  CHECK(f.v.x == doctest::Approx(0.05 / (0.04 + r) * z));
  CHECK(f.vv.xx == doctest::Approx(1.0 - 0.05 * 0.05 / (0.04 + r)));
  CHECK(f.pv(0, 0) == doctest::Approx(0.05 * (1.0 - gain)));
}

TEST_CASE("one solve over all views finds the point, with and without an outlier") {
  const Rig rig = testing::ring(6);
  const Vec3 truth{1.2, -0.7, 1.4};
  for (const bool spoiled : {false, true}) {
    Sightings views;
    for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
      Vec2 uv;
      REQUIRE(project(rig.cameras[c], truth, uv));
      if (spoiled && c == 2) uv.x += 60.0;
      views.items[c] = {&rig.cameras[c], uv, 2.0, 0.0, static_cast<int>(c)};
      ++views.count;
    }
    PointSolution out;
    REQUIRE(solve_free(views, {}, out));
    CHECK(norm(out.point - truth) < (spoiled ? 2e-3 : 1e-6));
    CHECK(out.inliers == (spoiled ? 5 : 6));
  }
}

TEST_CASE("one view alone moves a point across its ray, never along it") {
  const Rig rig = testing::ring(4);
  const Vec3 truth{0.5, 0.5, 1.0};
  PointPrior prior{truth + Vec3{0.1, 0.05, -0.05}, {}, Sym3::diagonal(0.01), {}};
  REQUIRE(invert(prior.covariance, prior.information));
  Sightings views;
  Vec2 uv;
  REQUIRE(project(rig.cameras[0], truth, uv));
  views.items[0] = {&rig.cameras[0], uv, 1.0, 0.0, 0};
  views.count = 1;
  PointSolution out;
  REQUIRE(solve_point(views, &prior, {}, prior.point, out));
  const Vec3 ray = (1.0 / norm(truth - rig.cameras[0].center)) * (truth - rig.cameras[0].center);
  const Vec3 moved = out.point - prior.point;
  CHECK(std::fabs(dot(moved, ray)) < 0.1 * norm(moved));
  CHECK_FALSE(solve_free(views, {}, out));
}
