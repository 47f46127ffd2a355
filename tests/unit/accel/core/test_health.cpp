#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <random>
#include <type_traits>
#include <utility>

#include "core/health.hpp"
#include "core/health_swap.hpp"
#include "scene.hpp"

using namespace tipoff;
using testing::ring;

namespace {

constexpr std::size_t kCamera = 2;
constexpr int kPeople = 8;

// People who walk in circles, and what a rig whose cameras are `truly` sees of them.
class Play {
 public:
  explicit Play(int cameras) : rig(ring(cameras)), truly(rig), monitor(rig.cameras.size()) {}

  // Blocks of play; `late_s` holds for the camera of the tests.
  void go(int blocks) {
    for (int b = 0; b < blocks; ++b) {
      time_ns += kHealthBlock_ns;
      monitor.begin(rig, time_ns);
      for (int p = 0; p < kPeople; ++p) person(p);
      for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
        monitor.count(static_cast<int>(c), {150, shown[c], 150, shown[c]});
      }
    }
    monitor.begin(rig, time_ns + kHealthBlock_ns);
    time_ns += kHealthBlock_ns;
  }

  std::vector<CameraHealth> report() const { return monitor.report(rig); }

  Verdict verdict(std::size_t c = kCamera) const { return report()[c].verdict; }

  bool others_good() const {
    const auto cameras = report();
    for (std::size_t c = 0; c < cameras.size(); ++c) {
      if (c != kCamera && cameras[c].verdict != Verdict::kGood) return false;
    }
    return true;
  }

  Rig rig;
  Rig truly;
  HealthMonitor monitor;
  double late_s = 0.0;
  double common_m = 0.0;  // by which the tracker is off, for every camera
  std::vector<Vec2> constant = std::vector<Vec2>(64);
  std::vector<int> shown = std::vector<int>(64, 150);
  std::int64_t time_ns = 0;

 private:
  void person(int p) {
    const double t = 1e-9 * static_cast<double>(time_ns);
    const double rate = (p % 2 == 0 ? 1.0 : -1.0) * (0.3 + 0.05 * p);
    const double radius = 2.0 + 0.5 * p;
    const double a = rate * t + 0.8 * p;
    const Vec3 point{radius * std::cos(a), radius * std::sin(a), 1.0};
    const Vec3 velocity{-radius * rate * std::sin(a), radius * rate * std::cos(a), 0.0};
    const Vec3 believed = point + Vec3{common_m, -common_m, 0.5 * common_m};
    std::vector<ResidualSum> sums;
    for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
      const double old = c == kCamera ? late_s : 0.0;
      Vec2 seen;
      Vec2 expected;
      if (!project(truly.cameras[c], point - old * velocity, seen)) continue;
      if (!project(rig.cameras[c], believed, expected)) continue;
      const Vec2 noise{noise_(random_), noise_(random_)};
      sums.push_back({static_cast<int>(c), 200.0, seen + constant[c] + noise - expected, 2.0});
    }
    monitor.observe_sums(p, believed, velocity, sums);
  }

  std::mt19937 random_{7};
  std::normal_distribution<double> noise_{0.0, 0.15};
};

// Writes every member into a list of numbers, or reads it back.
class Numbers {
 public:
  template <class... Members>
  void operator()(Members&... members) {
    (visit(members), ...);
  }
  std::vector<double> values;
  bool reading = false;

 private:
  template <class T>
  void visit(T& value) {
    if constexpr (std::is_arithmetic_v<T>) {
      if (reading) {
        value = static_cast<T>(values[at_++]);
      } else {
        values.push_back(static_cast<double>(value));
      }
    } else {
      value.archive(*this);
    }
  }
  template <class T, std::size_t N>
  void visit(std::array<T, N>& array) {
    for (T& value : array) visit(value);
  }
  template <class T>
  void visit(std::vector<T>& list) {
    auto size = static_cast<double>(list.size());
    visit(size);
    list.resize(static_cast<std::size_t>(size));
    for (T& value : list) visit(value);
  }
  std::size_t at_ = 0;
};

void turn(Camera& camera, double pan_rad) {
  const Vec3 centre = camera.center;
  Mat3 by;  // the transpose of a rotation about y: what turned right sees more to the left
  by.m = {std::cos(pan_rad), 0.0, -std::sin(pan_rad), 0.0, 1.0, 0.0,
          std::sin(pan_rad), 0.0, std::cos(pan_rad)};
  Mat3 out;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      out(r, c) = 0.0;
      for (int k = 0; k < 3; ++k) out(r, c) += by(r, k) * camera.R(k, c);
    }
  }
  camera.R = out;
  camera.t = -1.0 * (out * centre);
  camera.prepare();
}

}  // namespace

TEST_CASE("the derivatives by a camera's changes are those of its projection") {
  const Rig rig = ring(5);
  const Vec3 point{1.5, -2.0, 1.2};
  const Vec3 velocity{3.0, 1.0, 0.5};
  const Camera& camera = rig.cameras[1];
  Projection image;
  REQUIRE(project(camera, point, image));
  const EffectColumns columns = columns_of(camera, image, point, velocity);
  const double step = 1e-6;
  const auto agrees = [&](std::size_t k, Camera changed, Vec3 where) {
    changed.prepare();
    Vec2 uv;
    REQUIRE(project(changed, where, uv));
    CHECK((uv.x - image.uv.x) / step == doctest::Approx(columns.a[k].x).epsilon(1e-3));
    CHECK((uv.y - image.uv.y) / step == doctest::Approx(columns.a[k].y).epsilon(1e-3));
  };
  Camera turned = camera;
  turn(turned, step);
  agrees(1, turned, point);
  Camera zoomed = camera;
  zoomed.k.fx *= 1.0 + step;
  zoomed.k.fy *= 1.0 + step;
  agrees(kZoom, zoomed, point);
  for (std::size_t axis = 0; axis < 3; ++axis) {
    Camera shifted = camera;
    (axis == 0 ? shifted.t.x : axis == 1 ? shifted.t.y : shifted.t.z) -= step;
    agrees(kShift + axis, shifted, point);
  }
  agrees(kLate, camera, point - step * velocity);
}

TEST_CASE("scores do not depend on where the tracker put a person") {
  const Rig rig = ring(6);
  const Vec3 point{1.0, 2.0, 1.0};
  std::vector<CameraBelief> beliefs(6);
  for (CameraBelief& belief : beliefs) belief.clip_px = 100.0;
  std::vector<BlockScore> here(6);
  std::vector<BlockScore> there(6);
  std::vector<PersonView> views;
  std::vector<PersonView> moved;
  for (int c = 0; c < 6; ++c) {
    Projection image;
    REQUIRE(project(rig.cameras[static_cast<std::size_t>(c)], point, image));
    const Vec2 r{0.3 * c, 1.0 - 0.2 * c};
    const Vec3 d{0.02, -0.03, 0.01};
    views.push_back({c, r, 1.0});
    moved.push_back({c, r + Vec2{dot(image.du, d), dot(image.dv, d)}, 1.0});
  }
  score_person(rig, point, {}, views, beliefs, here);
  score_person(rig, point, {}, moved, beliefs, there);
  for (std::size_t c = 0; c < 6; ++c) {
    const double size = std::sqrt(here[c].information(1, 1));
    CHECK(there[c].gradient[1] / size == doctest::Approx(here[c].gradient[1] / size).epsilon(0.01));
  }
}

TEST_CASE("a camera that turns is named, measured, trusted less, and acquitted when it is back") {
  Play play(6);
  play.common_m = 0.01;
  CHECK(play.verdict() == Verdict::kLearning);
  play.go(100);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.others_good());
  CHECK(play.monitor.sigma_scale(kCamera) == 1.0);
  turn(play.truly.cameras[kCamera], 0.0035);
  play.go(8);
  CHECK(play.verdict() == Verdict::kTurned);
  CHECK(play.others_good());
  CHECK(play.monitor.sigma_scale(kCamera) >= 2.0);
  CHECK(play.monitor.sigma_scale(0) == 1.0);
  play.go(30);
  const CameraHealth found = play.report()[kCamera];
  CHECK(found.effect[1] == doctest::Approx(0.0035).epsilon(0.05));
  CHECK(std::fabs(found.effect[1] - 0.0035) < 5.0 * found.error[1] + 1e-5);
  CHECK(found.displacement_m > 0.002);
  play.go(200);
  CHECK(play.verdict() == Verdict::kTurned);
  play.truly = play.rig;
  play.go(8);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.monitor.sigma_scale(kCamera) == 1.0);
  play.go(100);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.others_good());
}

TEST_CASE("a late camera is late, and by how much") {
  Play play(6);
  play.go(60);
  play.late_s = 0.0167;
  play.go(3);
  CHECK(play.verdict() == Verdict::kLate);
  CHECK(play.report()[kCamera].effect[kLate] == doctest::Approx(0.0167).epsilon(0.15));
  CHECK(play.others_good());
}

TEST_CASE("a camera that grows longer has zoomed") {
  Play play(6);
  play.go(60);
  play.truly.cameras[kCamera].k.fx *= 1.01;
  play.truly.cameras[kCamera].k.fy *= 1.01;
  play.go(12);
  CHECK(play.verdict() == Verdict::kZoomed);
  CHECK(play.report()[kCamera].effect[kZoom] == doctest::Approx(0.01).epsilon(0.1));
}

TEST_CASE("what cameras are off by from the start is no change, a later knock is") {
  Play play(8);
  for (std::size_t c = 0; c < 8; ++c) {
    play.constant[c] = {c % 2 == 0 ? 12.0 : -8.0, c % 3 == 0 ? 16.0 : -5.0};
  }
  play.go(400);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.others_good());
  CHECK(norm(play.report()[0].bias_px) > 5.0);
  turn(play.truly.cameras[kCamera], 0.0035);
  play.go(20);
  CHECK(play.verdict() == Verdict::kTurned);
  CHECK(play.others_good());
}

TEST_CASE("two cameras that disagree are not told apart, and keep their trust") {
  Play play(2);
  play.go(60);
  turn(play.truly.cameras[1], 0.01);
  play.go(20);
  for (std::size_t c = 0; c < 2; ++c) {
    CHECK(play.monitor.sigma_scale(static_cast<int>(c)) == 1.0);
  }
}

TEST_CASE("another camera's pictures are known by whose they are, and own ones again") {
  Play play(5);
  play.go(60);
  CHECK_FALSE(play.monitor.doubtful(kCamera));
  play.shown[kCamera] = 10;
  play.go(1);
  CHECK(play.monitor.doubtful(kCamera));
  std::vector<int> asked;
  for (int i = 0; i < 40; ++i) {
    const int other = play.monitor.next_guess(kCamera);
    REQUIRE(other != static_cast<int>(kCamera));
    if (i < 4) asked.push_back(other);
    play.monitor.guessed(kCamera, other, 8, other == 4 ? 0.9 : 0.1);
  }
  CHECK(asked == std::vector<int>{1, 3, 4, 0});
  play.go(1);
  CHECK(play.verdict() == Verdict::kSwapped);
  CHECK(play.report()[kCamera].partner == 4);
  CHECK(play.monitor.sigma_scale(kCamera) > 5.0);
  CHECK(play.others_good());
  play.shown[kCamera] = 140;
  play.go(6);
  CHECK(play.verdict() == Verdict::kGood);
}

TEST_CASE("a camera that sees people where nobody is is astray, one that sees nobody is blind") {
  Play play(5);
  play.go(60);
  play.shown[kCamera] = 15;
  play.go(9);
  CHECK(play.verdict() == Verdict::kAstray);
  play.shown[kCamera] = 150;
  play.go(9);
  CHECK(play.verdict() == Verdict::kGood);
  for (int b = 0; b < 9; ++b) {
    play.time_ns += kHealthBlock_ns;
    play.monitor.begin(play.rig, play.time_ns);
    play.monitor.count(kCamera, {0, 0, 150, 0});
  }
  CHECK(play.verdict() == Verdict::kBlind);
}

TEST_CASE("where nobody is where he is thought to be, no camera is astray") {
  Play play(5);
  play.go(60);
  play.shown.assign(play.shown.size(), 50);  // as after a blackout, a third is explained
  play.shown[kCamera] = 15;
  play.go(9);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.others_good());
  play.shown.assign(play.shown.size(), 150);
  play.shown[kCamera] = 15;
  play.go(9);
  CHECK(play.verdict() == Verdict::kAstray);
  CHECK(play.others_good());
}

TEST_CASE("two of five cameras are astray at once") {
  Play play(5);
  play.go(60);
  play.shown[kCamera] = play.shown[4] = 15;
  play.go(9);
  CHECK(play.verdict() == Verdict::kAstray);
  CHECK(play.verdict(4) == Verdict::kAstray);
  CHECK(play.verdict(0) == Verdict::kGood);
}

TEST_CASE("a share of detections is explained by images that they lie on") {
  constexpr std::size_t kJoints = 4;
  std::vector<ImagePoint> images;
  for (int k = 0; k < 3; ++k) {
    for (int j = 0; j < 4; ++j) images.push_back({{300.0 * k + 10.0 * j, 40.0 * j}, true});
  }
  std::vector<ImagePoint> detections(images.begin(), images.begin() + 8);
  for (std::size_t i = 4; i < 8; ++i) detections[i].uv = detections[i].uv + Vec2{0.0, 100.0};
  CHECK(explained_as(detections, images, kJoints) == 0.5);
  detections[1].given = false;  // three joints are enough
  CHECK(explained_as(detections, images, kJoints) == 0.5);
  detections[2].given = false;
  CHECK(explained_as(detections, images, kJoints) == 0.0);
  CHECK(std::isnan(explained_as({}, images, kJoints)));
  CHECK(explained_as(detections, {}, kJoints) == 0.0);
}

TEST_CASE("a copy goes on by itself and a pause is survived") {
  Play play(6);
  play.go(80);
  Play other = play;
  turn(other.truly.cameras[kCamera], 0.0035);
  other.go(8);
  CHECK(other.verdict() == Verdict::kTurned);
  CHECK(play.verdict() == Verdict::kGood);
  play.time_ns += 3'600'000'000'000;
  play.go(40);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(play.others_good());
}

TEST_CASE("what is archived goes on as if nothing had happened") {
  Play play(5);
  play.go(70);
  turn(play.truly.cameras[kCamera], 0.0035);
  play.go(3);
  Play again = play;
  Numbers out;
  play.monitor.archive(out);
  again.monitor = HealthMonitor(5);
  out.reading = true;
  again.monitor.archive(out);
  play.go(20);
  again.go(20);
  Numbers a;
  Numbers b;
  play.monitor.archive(a);
  again.monitor.archive(b);
  CHECK(a.values.size() > 1000);
  CHECK(a.values == b.values);
}

TEST_CASE("absurd residuals are left out and people beyond the bound not looked at") {
  Play play(6);
  play.go(80);
  for (std::int64_t person = 0; person < 1000; ++person) {
    const Residual absurd{static_cast<int>(kCamera), {NAN, 1.0}, 2.0};
    const Residual far{static_cast<int>(kCamera), {1e9, 1.0}, 2.0};
    play.monitor.observe(100 + person, {0.0, 0.0, 1.0}, {}, std::vector<Residual>{absurd, far});
  }
  play.go(8);
  CHECK(play.verdict() == Verdict::kGood);
  CHECK(std::isfinite(play.report()[kCamera].effect[0]));
}
