#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "core/ball.hpp"
#include "core/ball_arc.hpp"
#include "core/ball_motion.hpp"
#include "scene.hpp"

using namespace tipoff;
using namespace tipoff::ball;
using tipoff::testing::kFrame_ns;
using tipoff::testing::ring;

namespace {

// A throw that bounces once: down at 5 m/s after 0.6 s, up at 4 m/s.
Vec3 ball_at(double t) {
  const double s = t - 0.6;
  const double rate = s < 0.0 ? -5.0 : 4.0;
  return {-2.0 + 3.0 * t, 0.5, 0.12 + rate * s - 0.5 * kGravity_mps2 * s * s};
}

struct Shown {
  int camera = 0;
  std::int64_t time_ns = 0;
  std::vector<float> rows;
};

std::vector<Shown> show(const Rig& rig, int frames, double sigma_px, int false_ones,
                        std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> noise(0.0, sigma_px);
  std::uniform_real_distribution<float> anywhere(0.0F, 1080.0F);
  std::vector<Shown> out;
  for (int f = 0; f < frames; ++f) {
    for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
      Shown shown{static_cast<int>(c), f * kFrame_ns, {}};
      Vec2 uv;
      if (project(rig.cameras[c], ball_at(1e-9 * static_cast<double>(shown.time_ns)), uv)) {
        shown.rows = {static_cast<float>(uv.x + noise(random)),
                      static_cast<float>(uv.y + noise(random)), 0.8F};
      }
      for (int k = 0; k < false_ones; ++k) {
        for (const float value : {anywhere(random), anywhere(random), 0.9F}) {
          shown.rows.push_back(value);
        }
      }
      out.push_back(shown);
    }
  }
  return out;
}

bool give(BallTracker& tracker, const Shown& s) {
  return tracker.observe(
      {s.camera, s.time_ns, static_cast<std::int64_t>(s.rows.size() / 3), s.rows.data()});
}

Options airless() {
  Options options;
  options.drag_per_m = 0.0;
  return options;
}

bool same(const Report& a, const Report& b) {
  return a.known == b.known && a.position.x == b.position.x && a.position.y == b.position.y &&
         a.position.z == b.position.z && a.velocity.z == b.velocity.z &&
         a.covariance_m2.xx == b.covariance_m2.xx && a.covariance_m2.yz == b.covariance_m2.yz &&
         a.bounces.size() == b.bounces.size();
}

// Visits every member, as a checkpoint does: counts bytes of plain values, follows lists.
struct Counter {
  std::size_t values = 0;
  template <class... T>
  void operator()(T&... members) {
    (visit(members), ...);
  }
  template <class T>
  void visit(T& member) {
    if constexpr (std::is_arithmetic_v<T>) {
      ++values;
    } else if constexpr (requires { member.archive(*this); }) {
      member.archive(*this);
    } else {
      for (auto& element : member) visit(element);
    }
  }
};

}  // namespace

TEST_CASE("a checkpoint goes on to the bit, late frames included") {
  const Rig rig = ring(4);
  const std::vector<Shown> frames = show(rig, 50, 1.5, 2, 7);
  BallTracker whole(rig, Options{});
  BallTracker first(rig, Options{});
  const std::size_t half = 4 * 25;
  // One camera's last frames come late, after the checkpoint.
  const auto late = [&](std::size_t k) { return k >= half - 12 && k < half && k % 4 == 2; };
  for (std::size_t k = 0; k < half; ++k) {
    if (late(k)) continue;
    give(whole, frames[k]);
    give(first, frames[k]);
  }
  const std::vector<std::uint8_t> bytes = first.checkpoint();
  const auto restored = BallTracker::restore(rig, bytes.data(), bytes.size());
  BallTracker& second = *restored;
  CHECK(second.checkpoint() == bytes);
  for (std::size_t k = half - 12; k < frames.size(); ++k) {
    if (k < half && !late(k)) continue;
    CHECK(give(whole, frames[k]));
    CHECK(give(first, frames[k]));
    CHECK(give(second, frames[k]));
    const Report r = whole.snapshot(frames[k].time_ns, {});
    CHECK(same(r, first.snapshot(frames[k].time_ns, {})));
    CHECK(same(r, second.snapshot(frames[k].time_ns, {})));
  }
  CHECK(second.stats().accepted == whole.stats().accepted);
  CHECK(second.checkpoint() == first.checkpoint());
}

TEST_CASE("a ball's checkpoint is refused whichever byte of it is damaged") {
  const Rig rig = ring(3);
  BallTracker tracker(rig, Options{});
  for (const Shown& s : show(rig, 12, 1.0, 1, 3)) REQUIRE(give(tracker, s));
  const std::vector<std::uint8_t> bytes = tracker.checkpoint();
  const auto restored = BallTracker::restore(rig, bytes.data(), bytes.size());
  CHECK(restored->snapshot(11 * kFrame_ns, {}).known);
  std::vector<std::uint8_t> damaged = bytes;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    damaged[at] ^= 0x10;
    CHECK_THROWS_AS(BallTracker::restore(rig, damaged.data(), damaged.size()), BadCheckpoint);
    damaged[at] = bytes[at];
  }
  CHECK_THROWS_AS(BallTracker::restore(rig, bytes.data(), bytes.size() / 2), BadCheckpoint);
  CHECK_THROWS_AS(BallTracker::restore(rig, bytes.data(), 0), BadCheckpoint);
  CHECK_THROWS_WITH_AS(BallTracker::restore(ring(4), bytes.data(), bytes.size()),
                       doctest::Contains("another rig"), BadCheckpoint);
}

TEST_CASE("a ball tracker before its first frame has a checkpoint, too") {
  const Rig rig = ring(2);
  Options options;
  options.floor_m = -0.25;
  options.wrists = {9, 10};
  BallTracker tracker(rig, options);
  const std::vector<std::uint8_t> bytes = tracker.checkpoint();
  const auto restored = BallTracker::restore(rig, bytes.data(), bytes.size());
  CHECK(restored->options().floor_m == -0.25);
  CHECK(restored->options().wrists == std::vector<int>{9, 10});
  CHECK(restored->checkpoint() == bytes);
}

TEST_CASE("exp and log are right without libm") {
  for (double x = -30.0; x < 30.0; x += 0.37) {
    CHECK(exp_of(x) == doctest::Approx(std::exp(x)).epsilon(1e-14));
    CHECK(log_of(std::exp(x)) == doctest::Approx(x).epsilon(1e-13));
  }
  CHECK(exp_of(-1e9) == 0.0);
  CHECK(std::isfinite(exp_of(1e9)));
  CHECK(std::isfinite(log_of(0.0)));
}

TEST_CASE("a step of all modes keeps every covariance positive and the weights a distribution") {
  Modes modes = new_modes({0.0, 0.0, 1.0}, Sym3::diagonal(1e-4), 3.0);
  for (const double step : {1e-4, 0.016, 0.02, 0.5, 5.0}) {
    move_modes(modes, step, Options{});
    double sum = 0.0;
    for (const Mode& mode : modes) {
      sum += mode.weight;
      Sym3 inverse;
      CHECK(invert(block_of(mode.P, 0), inverse));
      CHECK(invert(block_of(mode.P, 1), inverse));
    }
    CHECK(sum == doctest::Approx(1.0));
  }
}

TEST_CASE("a flight alone falls by gravity and bounces at the ball's radius") {
  Modes modes = new_modes({0.0, 0.0, 2.0}, Sym3::diagonal(1e-6), 0.01);
  const Options options = airless();
  const auto fall = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      for (Mode& mode : modes) mode.weight = 0.0;
      modes[kFlight].weight = 1.0;
      move_modes(modes, 0.01, options);
    }
  };
  fall(50);
  CHECK(modes[kFlight].x[2] == doctest::Approx(2.0 - 0.5 * 9.81 * 0.25).epsilon(0.001));
  fall(30);
  const double down_s = std::sqrt(2.0 * 1.88 / 9.81);
  const double up = options.restitution * 9.81 * down_s;
  const double left = 0.8 - down_s;
  CHECK(modes[kFlight].x[2] ==
        doctest::Approx(0.12 + up * left - 4.905 * left * left).epsilon(0.03));
  CHECK(modes[kFlight].x[5] == doctest::Approx(up - 9.81 * left).epsilon(0.05));
}

TEST_CASE("a bounced throw is followed, among as many false candidates as there may be") {
  const Rig rig = ring(6);
  for (const int false_ones : {0, 3, 20}) {
    BallTracker tracker(rig, airless());
    double worst = 0.0;
    for (const Shown& s : show(rig, 60, 1.0, false_ones, 5)) {
      CHECK(give(tracker, s));
      if (s.camera != 5 || s.time_ns < 10 * kFrame_ns) continue;
      const Report r = tracker.snapshot(s.time_ns, {});
      REQUIRE(r.known);
      Sym3 inverse;
      CHECK(invert(r.covariance_m2, inverse));
      worst = std::max(worst, norm(r.position - ball_at(1e-9 * static_cast<double>(s.time_ns))));
    }
    CHECK(worst < 0.06);
    const Report last = tracker.snapshot(59 * kFrame_ns, {});
    REQUIRE(last.bounces.size() == 1);
    CHECK(std::fabs(1e-9 * static_cast<double>(last.bounces[0].time_ns) - 0.6) < 0.004);
    CHECK(last.arc.valid);
    CHECK(last.arc.from_floor);
  }
}

TEST_CASE("the order of arrival and the questions asked change no bit of the ball") {
  const Rig rig = ring(4);
  std::vector<Shown> frames = show(rig, 50, 1.5, 2, 11);
  BallTracker in_order(rig, Options{});
  for (const Shown& s : frames) REQUIRE(give(in_order, s));
  std::mt19937 random(5);
  const std::size_t window = 4 * 4;
  for (std::size_t k = 0; k + window <= frames.size(); k += window) {
    std::shuffle(frames.begin() + static_cast<std::ptrdiff_t>(k),
                 frames.begin() + static_cast<std::ptrdiff_t>(k + window), random);
  }
  BallTracker shuffled(rig, Options{});
  for (std::size_t k = 0; k < frames.size(); ++k) {
    REQUIRE(give(shuffled, frames[k]));
    if (k % 7 == 0) shuffled.snapshot(frames[k].time_ns, {});
  }
  for (const std::int64_t back_ns : {0, 20'000'000, 70'000'000, -30'000'000}) {
    const std::int64_t time_ns = 49 * kFrame_ns - back_ns;
    CHECK(same(in_order.snapshot(time_ns, {}), shuffled.snapshot(time_ns, {})));
  }
}

TEST_CASE("what cannot be is refused, what is absurd is left out") {
  const Rig rig = ring(3);
  CHECK_THROWS_AS(BallTracker(Rig{}, Options{}), std::invalid_argument);
  Options broken;
  broken.restitution = 1.0;
  CHECK_THROWS_AS(BallTracker(rig, broken), std::invalid_argument);
  BallTracker tracker(rig, Options{});
  CHECK_THROWS_AS(tracker.observe({3, 0, 0, nullptr}), std::invalid_argument);
  CHECK_THROWS_AS(tracker.observe({0, INT64_MAX, 0, nullptr}), std::invalid_argument);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> rows{nan, 1, 1, 5, inf, 1, 5, 5, 0, 5, 5, -1, 1e30F, 5, 1};
  CHECK(tracker.observe({0, 0, 5, rows.data()}));
  CHECK(tracker.stats().unusable_candidates == 5);
  CHECK_FALSE(tracker.snapshot(0, {}).known);
  CHECK(tracker.observe({0, 1'000'000'000, 0, nullptr}));
  CHECK_FALSE(tracker.observe({1, 0, 0, nullptr}));
  CHECK_THROWS_AS(tracker.snapshot(0, {}), OutOfRange);
}

TEST_CASE("an archive sees every part of a state") {
  ball::State state;
  state.tracks.resize(2);
  state.tracks[0].fixes.resize(3);
  state.tracks[0].bounces.resize(1);
  Counter counter;
  state.archive(counter);
  const std::size_t before = counter.values;
  state.tracks[1].fixes.resize(1);
  Counter more;
  state.archive(more);
  CHECK(more.values == before + 15);
  CHECK(before > 2 * kModes * (kDim + kDim * kDim));
}

TEST_CASE("several threads may feed and ask") {
  const Rig rig = ring(4);
  BallTracker tracker(rig, Options{});
  const std::vector<Shown> frames = show(rig, 40, 1.0, 1, 2);
  std::thread asks([&] {
    for (int k = 0; k < 200; ++k) tracker.snapshot(50 * kFrame_ns, {});
  });
  for (const Shown& s : frames) give(tracker, s);
  asks.join();
  CHECK(tracker.stats().accepted == 160);
}
