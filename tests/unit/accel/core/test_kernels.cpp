#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "core/dispatch.hpp"
#include "core/free_solve.hpp"
#include "core/motion.hpp"
#include "core/setup.hpp"
#include "scene.hpp"

using namespace tipoff;

namespace {

constexpr std::size_t kLanes = 40;

const Kernels& best() {
  return *kernels_of("auto");
}

// Joints near the court's centre with sound covariances, from a seed.
Lanes some_state(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, 1.0);
  Lanes state(kStateRows);
  state.clear(kLanes);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    set_vec3(state, kP, lane, {2.0 * normal(random), 2.0 * normal(random), 1.0});
    set_vec3(state, kV, lane, {normal(random), normal(random), normal(random)});
    // B B^T of a random 6 x 6 matrix.
    double b[6][6];
    for (auto& row : b) {
      for (double& x : row) x = 0.03 * normal(random);
    }
    const auto product = [&](int r, int c) {
      double sum = r == c ? 1e-5 : 0.0;
      for (int k = 0; k < 6; ++k) sum += b[r][k] * b[c][k];
      return sum;
    };
    set_sym3(
        state, kPP, lane,
        {product(0, 0), product(0, 1), product(0, 2), product(1, 1), product(1, 2), product(2, 2)});
    for (int r = 0; r < 3; ++r) {
      for (int c = 0; c < 3; ++c) {
        state.at(static_cast<std::size_t>(kPV + 3 * r + c), lane) = product(r, 3 + c);
      }
    }
    set_sym3(
        state, kVV, lane,
        {product(3, 3), product(3, 4), product(3, 5), product(4, 4), product(4, 5), product(5, 5)});
  }
  return state;
}

Lanes moved(const Kernels& kernels, const Lanes& from, double dt_s, double keep, double q) {
  Lanes to = from;
  Lanes rows(4);
  rows.clear(kLanes);
  for (std::size_t i = 0; i < kLanes; ++i) rows.at(3, i) = q;
  PredictArgs args{};
  args.from = from.data();
  args.to = to.data();
  args.from_stride = args.to_stride = static_cast<long>(from.stride());
  args.lanes = kLanes;
  args.dt_s = dt_s;
  args.keep = keep;
  args.q = rows.row(3);
  for (std::size_t i = 0; i < 3; ++i) args.body[i] = rows.row(i);
  kernels.predict(args);
  return to;
}

bool equal(const Lanes& a, const Lanes& b) {
  return a.stride() == b.stride() &&
         std::memcmp(a.data(), b.data(), a.rows() * a.stride() * sizeof(double)) == 0;
}

Setup setup_of(const Rig& rig, const std::string& isa = "auto") {
  TrackerOptions options = testing::five_joints();
  options.isa = isa;
  return {rig, options};
}

// A point that the given cameras see with an error in one of them.
FreeProblem problem_of(const Rig& rig, Vec3 truth, std::size_t views, double spoiled_px) {
  FreeProblem p;
  p.reset(views, 1);
  for (std::size_t c = 0; c < views; ++c) {
    Vec2 uv;
    REQUIRE(project(rig.cameras[c], truth, uv));
    p.cameras[c] = static_cast<int>(c);
    p.views[c].at(kZu, 0) = uv.x + (c == 2 ? spoiled_px : 0.0);
    p.views[c].at(kZv, 0) = uv.y;
    p.views[c].at(kInv, 0) = 0.25;
  }
  return p;
}

}  // namespace

TEST_CASE("instruction sets are known by name, and an unknown one is none") {
  CHECK(kernels_of("baseline") != nullptr);
  CHECK(kernels_of("auto") != nullptr);
  CHECK(kernels_of("mmx") == nullptr);
  CHECK(instruction_sets().front() == "baseline");
  CHECK_THROWS_WITH_AS(setup_of(testing::ring(4), "mmx"), doctest::Contains("baseline"),
                       std::invalid_argument);
}

// An image as doubles.
Lanes widened(const FloatLanes& image) {
  Lanes out(image.rows());
  out.clear(image.stride());
  for (std::size_t r = 0; r < image.rows(); ++r) {
    std::copy_n(image.row(r), image.stride(), out.row(r));
  }
  return out;
}

TEST_CASE("every instruction set moves, projects, pulls and smooths to the same bits") {
  const Rig rig = testing::ring(5);
  const Lanes state = some_state(3);
  const auto run = [&](const std::string& isa) {
    const Setup setup = setup_of(rig, isa);
    const Kernels& k = *setup.kernels;
    std::vector<Lanes> out;
    out.push_back(moved(k, state, 0.016, 0.9, 20.0));
    FloatLanes image(kImageRows);
    image.clear(kLanes);
    ProjectArgs project_args{};
    project_args.lens = &setup.lenses[1];
    project_args.state = state.data();
    project_args.stride = static_cast<long>(state.stride());
    project_args.lanes = kLanes;
    project_args.offset_s = 0.002;
    project_args.image = image.data();
    project_args.image_stride = static_cast<long>(image.stride());
    k.project(project_args);
    const Lanes seen = widened(image);
    out.push_back(seen);
    Lanes rays(4);
    rays.clear(kLanes);
    RayArgs ray_args{};
    ray_args.lens = &setup.lenses[1];
    ray_args.u = seen.row(kU);
    ray_args.v = seen.row(kVpx);
    ray_args.given = seen.row(kDepth);
    for (std::size_t i = 0; i < 3; ++i) ray_args.ray[i] = rays.row(i);
    ray_args.valid = rays.row(3);
    ray_args.lanes = kLanes;
    k.rays(ray_args);
    out.push_back(rays);
    Lanes pulled = state;
    Lanes targets(4);
    targets.clear(kLanes);
    for (std::size_t i = 0; i < kLanes; i += 3) targets.at(3, i) = 0.01;
    PullArgs pull_args{};
    pull_args.state = pulled.data();
    pull_args.stride = static_cast<long>(pulled.stride());
    pull_args.lanes = kLanes;
    for (std::size_t i = 0; i < 3; ++i) pull_args.target[i] = targets.row(i);
    pull_args.variance = targets.row(3);
    k.pull(pull_args);
    out.push_back(pulled);
    Lanes smoothed = state;
    Lanes cut(1);
    cut.clear(kLanes);
    cut.at(0, 7) = 1.0;
    SmoothArgs smooth_args{};
    smooth_args.filtered = state.data();
    smooth_args.predicted = out.front().data();
    smooth_args.later = pulled.data();
    smooth_args.out = smoothed.data();
    smooth_args.cut = cut.row(0);
    smooth_args.stride = static_cast<long>(state.stride());
    smooth_args.lanes = kLanes;
    smooth_args.dt_s = 0.016;
    smooth_args.keep = 0.9;
    k.smooth(smooth_args);
    out.push_back(smoothed);
    return out;
  };
  const std::vector<Lanes> expected = run("baseline");
  for (const std::string& isa : instruction_sets()) {
    const std::vector<Lanes> found = run(isa);
    for (std::size_t i = 0; i < found.size(); ++i) {
      CAPTURE(isa);
      CAPTURE(i);
      CHECK(equal(found[i], expected[i]));
    }
  }
}

TEST_CASE("the lane kernels agree with the camera model") {
  const Rig rig = testing::ring(5);
  const Setup setup = setup_of(rig);
  const Lanes state = some_state(5);
  FloatLanes floats(kImageRows);
  floats.clear(kLanes);
  ProjectArgs args{};
  args.lens = &setup.lenses[3];
  args.state = state.data();
  args.stride = static_cast<long>(state.stride());
  args.lanes = kLanes;
  args.image = floats.data();
  args.image_stride = static_cast<long>(floats.stride());
  best().project(args);
  const Lanes image = widened(floats);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    Projection expected;
    REQUIRE(project(rig.cameras[3], vec3_at(state, kP, lane), expected));
    // Single precision: a thousandth of a pixel.
    CHECK(std::abs(image.at(kU, lane) - expected.uv.x) < 1e-3);
    CHECK(std::abs(image.at(kVpx, lane) - expected.uv.y) < 1e-3);
    CHECK(norm(vec3_at(image, kDu, lane) - expected.du) < 3e-6 * norm(expected.du));
    CHECK(norm(vec3_at(image, kDv, lane) - expected.dv) < 3e-6 * norm(expected.dv));
  }
  Lanes rays(4);
  rays.clear(kLanes);
  RayArgs ray_args{};
  ray_args.lens = args.lens;
  ray_args.u = image.row(kU);
  ray_args.v = image.row(kVpx);
  ray_args.given = image.row(kDepth);
  for (std::size_t i = 0; i < 3; ++i) ray_args.ray[i] = rays.row(i);
  ray_args.valid = rays.row(3);
  ray_args.lanes = kLanes;
  best().rays(ray_args);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const Vec3 towards = vec3_at(state, kP, lane) - rig.cameras[3].center;
    CHECK(rays.at(3, lane) == 1.0);
    CHECK(norm(vec3_at(rays, 0, lane) - (1.0 / norm(towards)) * towards) < 1e-6);
  }
}

TEST_CASE("a prediction keeps constant velocity and grows unsure") {
  Lanes state = some_state(1);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    start_joint(state, lane, {0.0, 0.0, 1.0}, {2.0, 0.0, 0.0}, Sym3::diagonal(1e-4), 0.1);
  }
  Lanes now = state;
  for (int i = 0; i < 10; ++i) now = moved(best(), now, 0.01, 1.0, 1.0);
  CHECK(now.at(kP, 0) == doctest::Approx(0.2).epsilon(1e-9));
  // 1e-4 + t^2 0.01 + q t^3 / 3.
  CHECK(now.at(kPP, 0) == doctest::Approx(1e-4 + 0.01 * 0.01 + 1e-3 / 3.0).epsilon(1e-9));
  CHECK(now.at(kVV, 0) == doctest::Approx(0.01 + 0.1).epsilon(1e-9));
}

TEST_CASE("a pull is a Kalman update of position and velocity") {
  // One axis by hand: P = [a b; b c], measurement variance r.
  Lanes state = some_state(1);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    start_joint(state, lane, {}, {}, Sym3::diagonal(0.04), 1.0);
    for (std::size_t i = 0; i < 9; i += 4) state.at(kPV + i, lane) = 0.05;
  }
  const double r = 0.01;
  const double z = 0.1;
  Lanes targets(4);
  targets.clear(kLanes);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    targets.at(0, lane) = z;
    targets.at(3, lane) = lane == 4 ? 0.0 : r;
  }
  PullArgs args{};
  args.state = state.data();
  args.stride = static_cast<long>(state.stride());
  args.lanes = kLanes;
  for (std::size_t i = 0; i < 3; ++i) args.target[i] = targets.row(i);
  args.variance = targets.row(3);
  best().pull(args);
  const double gain = 0.04 / (0.04 + r);
  CHECK(state.at(kP, 0) == doctest::Approx(gain * z));
  CHECK(state.at(kPP, 0) == doctest::Approx(0.04 * (1.0 - gain)));
  CHECK(state.at(kV, 0) == doctest::Approx(0.05 / (0.04 + r) * z));
  CHECK(state.at(kVV, 0) == doctest::Approx(1.0 - 0.05 * 0.05 / (0.04 + r)));
  CHECK(state.at(kPV, 0) == doctest::Approx(0.05 * (1.0 - gain)));
  CHECK(state.at(kP, 4) == 0.0);  // a lane without a pull stays as it was
}

TEST_CASE("smoothing one step back is the conditional mean of a joint Gaussian") {
  // What came later is the prediction measured in x: then the smoothed state must equal the
  // filtered one conditioned on that measurement directly.
  const Lanes filtered = some_state(8);
  const double dt = 0.05;
  const double keep = 0.8;
  const Lanes predicted = moved(best(), filtered, dt, keep, 12.0);
  Lanes later = predicted;
  const double r = 0.002;
  const double z = 0.07;  // innovation in x
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const double s = predicted.at(kPP, lane) + r;
    // Covariances of the predicted state with its own x.
    const double c[6] = {predicted.at(kPP, lane),     predicted.at(kPP + 1, lane),
                         predicted.at(kPP + 2, lane), predicted.at(kPV, lane),
                         predicted.at(kPV + 1, lane), predicted.at(kPV + 2, lane)};
    for (std::size_t i = 0; i < 3; ++i) {
      later.at(kP + i, lane) += c[i] / s * z;
      later.at(kV + i, lane) += c[3 + i] / s * z;
      for (std::size_t k = 0; k < 3; ++k) later.at(kPV + 3 * i + k, lane) -= c[i] * c[3 + k] / s;
    }
    const std::size_t at[6][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 2}};
    for (std::size_t i = 0; i < 6; ++i) {
      later.at(kPP + i, lane) -= c[at[i][0]] * c[at[i][1]] / s;
      later.at(kVV + i, lane) -= c[3 + at[i][0]] * c[3 + at[i][1]] / s;
    }
  }
  Lanes out = filtered;
  Lanes cut(1);
  cut.clear(kLanes);
  SmoothArgs args{};
  args.filtered = filtered.data();
  args.predicted = predicted.data();
  args.later = later.data();
  args.out = out.data();
  args.cut = cut.row(0);
  args.stride = static_cast<long>(filtered.stride());
  args.lanes = kLanes;
  args.dt_s = dt;
  args.keep = keep;
  best().smooth(args);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const double s = predicted.at(kPP, lane) + r;
    const double cx = filtered.at(kPP, lane) + dt * filtered.at(kPV, lane);
    const double cy = filtered.at(kPP + 1, lane) + dt * filtered.at(kPV + 3, lane);
    CHECK(out.at(kP, lane) == doctest::Approx(filtered.at(kP, lane) + cx / s * z).epsilon(1e-8));
    CHECK(out.at(kP + 1, lane) ==
          doctest::Approx(filtered.at(kP + 1, lane) + cy / s * z).epsilon(1e-8));
    CHECK(out.at(kPP, lane) == doctest::Approx(filtered.at(kPP, lane) - cx * cx / s).epsilon(1e-6));
    CHECK(out.at(kPP + 1, lane) ==
          doctest::Approx(filtered.at(kPP + 1, lane) - cx * cy / s).epsilon(1e-6));
  }
}

TEST_CASE("a free solve finds the point, with and without an outlier") {
  const Rig rig = testing::ring(6);
  const Setup setup = setup_of(rig);
  const Vec3 truth{1.2, -0.7, 1.4};
  for (const double spoiled_px : {0.0, 60.0}) {
    FreeProblem p = problem_of(rig, truth, 6, spoiled_px);
    solve_without_prior(p, setup);
    const Vec3 point = vec3_at(p.start, 0, 0) + vec3_at(p.solution, kMove, 0);
    CHECK(norm(point - truth) < (spoiled_px > 0.0 ? 2e-3 : 1e-6));
    CHECK(p.solution.at(kInliers, 0) == (spoiled_px > 0.0 ? 5.0 : 6.0));
  }
}

TEST_CASE("one view alone moves a point across its ray, never along it") {
  const Rig rig = testing::ring(4);
  const Setup setup = setup_of(rig);
  const Vec3 truth{0.5, 0.5, 1.0};
  FreeProblem p = problem_of(rig, truth, 1, 0.0);
  const Vec3 predicted = truth + Vec3{0.1, 0.05, -0.05};
  set_vec3(p.prior, 0, 0, predicted);
  set_sym3(p.prior, 3, 0, Sym3::diagonal(100.0));
  set_vec3(p.start, 0, 0, predicted);
  solve_with_prior(p, setup);
  const Vec3 ray = (1.0 / norm(truth - rig.cameras[0].center)) * (truth - rig.cameras[0].center);
  const Vec3 move = vec3_at(p.solution, kMove, 0);
  CHECK(norm(move) > 0.05);
  CHECK(std::fabs(dot(move, ray)) < 0.1 * norm(move));
  solve_without_prior(p, setup);
  CHECK(p.solution.at(kInliers, 0) < 2.0);
}
