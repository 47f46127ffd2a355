#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "core/associate.hpp"
#include "core/tracker.hpp"
#include "scene.hpp"

using namespace tipoff;
using namespace tipoff::testing;

namespace {

std::vector<Seen> play(const Rig& rig, int people, int frames, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Seen> out;
  for (int f = 0; f < frames; ++f) {
    for (Seen& seen : see(rig, people, f, 1.5, random)) out.push_back(std::move(seen));
  }
  return out;
}

double worst_error_m(const Snapshot& s, int people) {
  double worst = 0.0;
  for (std::size_t k = 0; k < s.ids.size(); ++k) {
    double nearest = 1e9;
    for (int p = 0; p < people; ++p) {
      const std::vector<Vec3> truth = body(p, 1e-9 * static_cast<double>(s.time_ns));
      double sum = 0.0;
      for (std::size_t j = 0; j < truth.size(); ++j) sum += norm(s.points[k * 6 + j] - truth[j]);
      nearest = std::min(nearest, sum / 6.0);
    }
    worst = std::max(worst, nearest);
  }
  return worst;
}

}  // namespace

TEST_CASE("everybody is there in the first frame and keeps one identity") {
  const Rig rig = ring(5);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(3);
  for (int f = 0; f < 120; ++f) {
    for (const Seen& seen : see(rig, 4, f, 1.5, random)) CHECK(observe(tracker, seen));
    const Snapshot s = tracker.snapshot(f * kFrame_ns);
    CHECK(s.ids == std::vector<std::int64_t>{1, 2, 3, 4});
    if (f > 20) CHECK(worst_error_m(s, 4) < 0.04);
  }
}

TEST_CASE("the order of arrival changes no bit") {
  const Rig rig = ring(4);
  std::vector<Seen> frames = play(rig, 3, 40, 11);
  Tracker in_order(rig, five_joints());
  for (const Seen& seen : frames) REQUIRE(observe(in_order, seen));
  // Within 50 ms everything may change places; some of it is asked for in between.
  std::mt19937 random(5);
  const std::size_t window = 4 * 3;
  for (std::size_t i = 0; i + window <= frames.size(); i += window) {
    const auto at = frames.begin() + static_cast<std::ptrdiff_t>(i);
    std::shuffle(at, at + static_cast<std::ptrdiff_t>(window), random);
  }
  Tracker shuffled(rig, five_joints());
  for (const Seen& seen : frames) {
    REQUIRE(observe(shuffled, seen));
    (void)shuffled.snapshot(seen.time_ns);
    (void)shuffled.predict(1, seen.time_ns + 3'000'000);
  }
  const std::int64_t last = 39 * kFrame_ns;
  for (const std::int64_t back : {0LL, 7'000'000LL, 60'000'000LL, 100'000'000LL}) {
    CHECK(same(in_order.snapshot(last - back), shuffled.snapshot(last - back)));
  }
  CHECK(shuffled.stats().replayed > 0);
}

TEST_CASE("a thread for every camera gives the same bits as one") {
  const Rig rig = ring(4);
  const std::vector<Seen> frames = play(rig, 3, 30, 13);
  TrackerOptions patient = five_joints();
  patient.max_delay_ns = 10'000'000'000;
  Tracker alone(rig, patient);
  for (const Seen& seen : frames) REQUIRE(observe(alone, seen));
  Tracker shared(rig, patient);
  std::vector<std::thread> threads;
  for (int c = 0; c < 4; ++c) {
    threads.emplace_back([&, c] {
      for (const Seen& seen : frames) {
        if (seen.camera != c) continue;
        observe(shared, seen);
        if (c == 0) (void)shared.snapshot(seen.time_ns);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(shared.stats().accepted == static_cast<std::int64_t>(frames.size()));
  CHECK(same(alone.snapshot(29 * kFrame_ns), shared.snapshot(29 * kFrame_ns)));
}

TEST_CASE("too late, twice and too far back are refused, and counted") {
  const Rig rig = ring(4);
  Tracker tracker(rig, five_joints());
  const std::vector<Seen> frames = play(rig, 2, 20, 17);
  for (const Seen& seen : frames) REQUIRE(observe(tracker, seen));
  CHECK_FALSE(observe(tracker, frames.front()));
  CHECK_FALSE(observe(tracker, frames.back()));
  const TrackerStats stats = tracker.stats();
  CHECK(stats.refused_late == 1);
  CHECK(stats.refused_twice == 1);
  CHECK_THROWS_AS(tracker.snapshot(19 * kFrame_ns - 100'000'001), TimeOutOfRange);
  CHECK_NOTHROW(tracker.snapshot(19 * kFrame_ns - 100'000'000));
  CHECK_THROWS_AS(tracker.predict(0, 0), TimeOutOfRange);
}

TEST_CASE("an unobserved track is predicted, then absent, then found again") {
  const Rig rig = ring(4);
  Tracker tracker(rig, five_joints());
  for (const Seen& seen : play(rig, 1, 30, 19)) observe(tracker, seen);
  const std::int64_t last = 29 * kFrame_ns;
  CHECK(tracker.snapshot(last + 250'000'000).ids.size() == 1);
  CHECK(tracker.snapshot(last + 251'000'000).ids.empty());
  // Empty frames, so that time goes on for everybody; then the person is back.
  std::mt19937 random(1);
  for (int f = 30; f < 60; ++f) {
    for (Seen seen : see(rig, 1, f, 1.5, random)) {
      seen.rows = 0;
      observe(tracker, seen);
    }
  }
  CHECK(tracker.snapshot(59 * kFrame_ns).ids.empty());
  for (int f = 60; f < 70; ++f) {
    for (const Seen& seen : see(rig, 1, f, 1.5, random)) observe(tracker, seen);
  }
  CHECK(tracker.snapshot(69 * kFrame_ns).ids == std::vector<std::int64_t>{1});
}

TEST_CASE("a snapshot of the past learns from what came after, without a jump at the last frame") {
  const Rig rig = ring(5);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(23);
  double live = 0.0;
  double past = 0.0;
  for (int f = 0; f < 60; ++f) {
    for (const Seen& seen : see(rig, 3, f, 4.0, random)) observe(tracker, seen);
    const std::int64_t now = f * kFrame_ns;
    const Snapshot newest = tracker.snapshot(now);
    if (f < 20) continue;
    const Snapshot before = tracker.snapshot(now - 1);
    REQUIRE(before.ids == newest.ids);
    for (std::size_t i = 0; i < newest.points.size(); ++i) {
      CHECK(norm(newest.points[i] - before.points[i]) < 1e-6);
    }
    live += worst_error_m(newest, 3);
    past += worst_error_m(tracker.snapshot(now - 3 * kFrame_ns), 3);
  }
  CHECK(past < 0.9 * live);
}

TEST_CASE("nonsense is refused or survived, and the tracks go on") {
  const Rig rig = ring(4);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(29);
  std::vector<float> junk(10'000 * 18);
  const float values[] = {0.0F, 1e30F, -1e30F, std::nanf(""), INFINITY, -INFINITY, 500.0F, 0.5F};
  for (float& v : junk) v = values[random() % 8];
  for (int f = 0; f < 30; ++f) {
    for (const Seen& seen : see(rig, 2, f, 1.5, random)) {
      if (f % 7 == 3 && seen.camera == 2) {
        CHECK(tracker.observe({2, seen.time_ns, 10'000, 6, junk.data(), 0, nullptr}));
      } else {
        observe(tracker, seen);
      }
    }
  }
  const Snapshot s = tracker.snapshot(29 * kFrame_ns);
  CHECK(s.ids.size() >= 2);
  CHECK(s.ids[0] == 1);
  CHECK(s.ids[1] == 2);
  CHECK(tracker.stats().dropped_detections > 0);
  CHECK_THROWS_AS(tracker.observe({9, 0, 0, 6, nullptr, 0, nullptr}), std::invalid_argument);
  CHECK_THROWS_AS(tracker.observe({0, 0, 0, 5, nullptr, 0, nullptr}), std::invalid_argument);
  CHECK_THROWS_AS(tracker.observe({0, INT64_MAX, 0, 6, nullptr, 0, nullptr}),
                  std::invalid_argument);
}

TEST_CASE("a prediction shows where people will be seen") {
  const Rig rig = ring(4);
  Tracker tracker(rig, five_joints());
  for (const Seen& seen : play(rig, 2, 30, 31)) observe(tracker, seen);
  const std::int64_t next = 30 * kFrame_ns;
  for (int c = 0; c < 4; ++c) {
    const Prediction p = tracker.predict(c, next);
    REQUIRE(p.ids.size() == 2);
    int found = 0;
    for (std::size_t k = 0; k < 2; ++k) {
      for (int person = 0; person < 2; ++person) {
        double worst = 0.0;
        bool boxed = true;
        const std::vector<Vec3> truth = body(person, 1e-9 * static_cast<double>(next));
        for (std::size_t j = 0; j < truth.size(); ++j) {
          Vec2 uv;
          REQUIRE(project(rig.cameras[static_cast<std::size_t>(c)], truth[j], uv));
          const float* keypoint = &p.keypoints[(k * 6 + j) * 3];
          worst = std::max({worst, std::fabs(static_cast<double>(keypoint[0]) - uv.x),
                            std::fabs(static_cast<double>(keypoint[1]) - uv.y)});
          boxed = boxed && uv.x > p.boxes[k][0] && uv.x < p.boxes[k][2] && uv.y > p.boxes[k][1] &&
                  uv.y < p.boxes[k][3] && p.visible[k * 6 + j] == 1;
        }
        if (worst < 8.0 && boxed) ++found;
      }
    }
    CHECK(found == 2);
  }
}

TEST_CASE("a body in front hides the one behind, and not the other way round") {
  const Setup setup(ring(4), five_joints());
  const Camera& camera = setup.rig.cameras[0];
  const Vec3 away = (1.0 / norm(camera.center)) * camera.center;
  State state;
  for (std::size_t k = 0; k < 2; ++k) {
    append_track(state, 6, 5);
    const Vec3 shift = (k == 0 ? 0.0 : -3.0) * away;
    const std::vector<Vec3> joints = body(1, 0.0);
    for (std::size_t j = 0; j < 6; ++j) {
      start_joint(state.joints, 6 * k + j, joints[j] + shift, {}, Sym3::diagonal(1e-4), 1.0);
    }
  }
  FloatLanes image(kImageRows);
  std::vector<ImageBox> boxes;
  take_images(state.joints, 2, setup, 0, 0.0, image, boxes);
  int behind = 0;
  for (std::size_t j = 0; j < 6; ++j) {
    CHECK_FALSE(hidden(image, boxes, setup, 0, 0, j));
    if (hidden(image, boxes, setup, 0, 1, j)) ++behind;
  }
  CHECK(behind >= 3);
}

TEST_CASE("every detection knows its track") {
  const Rig rig = ring(4);
  Tracker tracker(rig, five_joints());
  for (const Seen& seen : play(rig, 3, 10, 37)) observe(tracker, seen);
  const std::vector<std::int64_t> ids = tracker.assigned(1, 9 * kFrame_ns);
  std::vector<std::int64_t> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == std::vector<std::int64_t>{1, 2, 3});
  CHECK_THROWS_AS(tracker.assigned(1, 9 * kFrame_ns + 1), TimeOutOfRange);
}

TEST_CASE("every instruction set tracks to the same bits") {
  const Rig rig = testing::ring(5);
  std::vector<std::vector<testing::Seen>> frames;
  std::mt19937 random(21);
  for (int i = 0; i < 40; ++i) frames.push_back(testing::see(rig, 4, i, 3.0, random));
  const auto run = [&](const std::string& isa) {
    TrackerOptions options = five_joints();
    options.isa = isa;
    Tracker tracker(rig, options);
    CHECK(std::string(tracker.isa()) == isa);
    for (const auto& frame : frames) {
      for (const testing::Seen& seen : frame) testing::observe(tracker, seen);
    }
    return std::make_pair(tracker.snapshot(39 * testing::kFrame_ns),
                          tracker.smoothed(32 * testing::kFrame_ns + 1234567));
  };
  const auto expected = run("baseline");
  CHECK(expected.first.ids.size() == 4);
  for (const std::string& isa : instruction_sets()) {
    CAPTURE(isa);
    const auto found = run(isa);
    CHECK(testing::same(found.first, expected.first));
    CHECK(testing::same(found.second, expected.second));
  }
}

TEST_CASE("a smoothed snapshot waits for its observations, rests on no others and is better") {
  const Rig rig = testing::ring(6);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(5);
  double live = 0.0;
  double smooth = 0.0;
  std::vector<Snapshot> first;
  for (int i = 0; i < 90; ++i) {
    const std::int64_t now = i * testing::kFrame_ns;
    for (const testing::Seen& seen : testing::see(rig, 3, i, 4.0, random)) {
      testing::observe(tracker, seen);
    }
    const auto error = [](const Snapshot& s) {
      double sum = 0.0;
      for (std::size_t k = 0; k < s.ids.size(); ++k) {
        double least = 1e9;
        for (int p = 0; p < 3; ++p) {
          const auto truth = testing::body(p, 1e-9 * static_cast<double>(s.time_ns));
          double total = 0.0;
          for (std::size_t j = 0; j < 6; ++j) total += norm(s.points[6 * k + j] - truth[j]);
          least = std::min(least, total);
        }
        sum += least;
      }
      return sum;
    };
    if (i < 10) {
      if (i < 6) CHECK_THROWS_AS(tracker.smoothed(now), NotYet);
      continue;
    }
    CHECK_THROWS_AS(tracker.smoothed(now - 99'000'000), NotYet);
    const Snapshot at_lag = tracker.smoothed(now - 100'000'000);
    smooth += error(at_lag);
    live += error(tracker.snapshot(now));
    first.push_back(at_lag);
    // The same question later, when more has come, has the same answer.
    if (first.size() > 4) {
      const Snapshot& old = first[first.size() - 5];
      CHECK(testing::same(tracker.smoothed(old.time_ns), old));
    }
  }
  CHECK(smooth < 0.8 * live);
  CHECK_THROWS_AS(tracker.smoothed(0), TimeOutOfRange);
}

TEST_CASE("a tracker continues from its checkpoint to the same bits, and refuses a damaged one") {
  const Rig rig = testing::ring(5);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(7);
  std::vector<std::vector<testing::Seen>> frames;
  for (int i = 0; i < 40; ++i) frames.push_back(testing::see(rig, 3, i, 3.0, random));
  for (int i = 0; i < 25; ++i) {
    for (std::size_t c = 0; c < 5; ++c) {
      // One camera's frame is still on its way.
      if (i != 24 || c != 2) testing::observe(tracker, frames[static_cast<std::size_t>(i)][c]);
    }
  }
  const std::vector<std::uint8_t> bytes = tracker.checkpoint();
  const auto restored = Tracker::restore(rig, bytes.data(), bytes.size());
  CHECK(restored->checkpoint() == bytes);
  for (Tracker* t : {&tracker, restored.get()}) testing::observe(*t, frames[24][2]);
  for (int i = 25; i < 40; ++i) {
    const std::int64_t now = i * testing::kFrame_ns;
    for (Tracker* t : {&tracker, restored.get()}) {
      for (const testing::Seen& seen : frames[static_cast<std::size_t>(i)]) {
        testing::observe(*t, seen);
      }
    }
    CHECK(testing::same(tracker.snapshot(now), restored->snapshot(now)));
    CHECK(
        testing::same(tracker.smoothed(now - 120'000'000), restored->smoothed(now - 120'000'000)));
  }
  CHECK(tracker.stats().accepted == restored->stats().accepted);
  for (std::size_t at = 0; at < bytes.size(); at += 97) {
    std::vector<std::uint8_t> damaged = bytes;
    damaged[at] ^= 0x10;
    CHECK_THROWS_AS(Tracker::restore(rig, damaged.data(), damaged.size()), BadCheckpoint);
  }
  CHECK_THROWS_AS(Tracker::restore(rig, bytes.data(), bytes.size() / 2), BadCheckpoint);
  CHECK_THROWS_WITH_AS(Tracker::restore(testing::ring(4), bytes.data(), bytes.size()),
                       doctest::Contains("another rig"), BadCheckpoint);
}

TEST_CASE("a clock that jumps ahead makes no other camera late") {
  const Rig rig = testing::ring(4);
  Tracker tracker(rig, five_joints());
  std::mt19937 random(9);
  for (int i = 0; i < 30; ++i) {
    for (testing::Seen seen : testing::see(rig, 2, i, 2.0, random)) {
      if (seen.camera == 1 && i >= 10 && i < 20) seen.time_ns += 3'600'000'000'000;
      CHECK(testing::observe(tracker, seen));
    }
  }
  CHECK(tracker.newest_ns() == 29 * testing::kFrame_ns);
  CHECK(tracker.snapshot(29 * testing::kFrame_ns).ids.size() == 2);
  CHECK(tracker.stats().held_ahead == 10);
  // All of them jump: the game goes on an hour later, and nothing is lost.
  for (int i = 30; i < 34; ++i) {
    for (testing::Seen seen : testing::see(rig, 2, i, 2.0, random)) {
      seen.time_ns += 3'600'000'000'000;
      CHECK(testing::observe(tracker, seen));
    }
  }
  CHECK(tracker.newest_ns() == 33 * testing::kFrame_ns + 3'600'000'000'000);
  CHECK(tracker.stats().refused_late == 0);
}
