#include "core/reunite.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/logarithm.hpp"
#include "scene.hpp"

using namespace tipoff;
using namespace tipoff::testing;

namespace {

constexpr int kPeople = 4;
constexpr std::int64_t kSecond_ns = 1'000'000'000;

// People of five joints as reunite sees them: by place and velocity of the trunk.
struct Court {
  Setup setup{ring(2), five_joints()};
  State state;
  ReuniteScratch scratch;
  std::vector<std::size_t> found;

  Court() { state.time_ns = kSecond_ns; }

  std::size_t add(Vec3 place, Vec3 velocity) {
    const std::size_t k = append_track(state, setup.joints, setup.limbs);
    state.tracks[k].seen_ns = state.time_ns;
    for (std::size_t j = 0; j < setup.joints; ++j) {
      start_joint(state.joints, k * setup.joints + j, place, velocity, Sym3::diagonal(1e-4), 0.3);
    }
    return k;
  }

  void lose(Vec3 place, Vec3 velocity) {
    const std::size_t k = add(place, velocity);
    state.tracks[k].id = static_cast<std::int64_t>(k) + 1;
    State before = state;
    before.time_ns = state.tracks[k].seen_ns = 0;
    remember_leaving(state.tracks[k], before, k, setup);
  }

  void find(Vec3 place, Vec3 velocity) { found.push_back(add(place, velocity)); }

  std::vector<std::ptrdiff_t> weigh() { return reunite(state, setup, found, 250'000'000, scratch); }
};

std::set<std::int64_t> ids_at(Tracker& tracker, int frame) {
  const Snapshot snapshot = tracker.snapshot(frame * kFrame_ns);
  return {snapshot.ids.begin(), snapshot.ids.end()};
}

}  // namespace

TEST_CASE("the logarithm is the library's to its precision, for any size") {
  for (double x = 1e-300; x < 1e300; x *= 1.37) {
    CHECK(natural_log(x) == doctest::Approx(std::log(x)).epsilon(1e-9).scale(1.0));
  }
  CHECK(natural_log(1.0) == 0.0);
}

TEST_CASE("whoever ran on is known by his way, though another stands nearer") {
  Court court;
  court.lose({0.0, 0.0, 1.0}, {4.0, 0.0, 0.0});
  court.lose({5.0, 0.0, 1.0}, {-4.0, 0.0, 0.0});
  court.find({3.6, 0.2, 1.0}, {3.0, 0.0, 0.0});
  court.find({1.4, -0.2, 1.0}, {-3.0, 0.0, 0.0});
  const auto old = court.weigh();
  CHECK(old[0] == 0);
  CHECK(old[1] == 1);
}

TEST_CASE("all are weighed at once: one who could be two leaves the other to whom it must be") {
  Court court;
  court.lose({0.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  court.lose({2.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  court.find({1.1, 0.0, 1.0}, {0.0, 0.0, 0.0});  // a little nearer to the second
  court.find({2.4, 0.0, 1.0}, {0.0, 0.0, 0.0});  // only the second can be here
  const auto old = court.weigh();
  CHECK(old[0] == 0);
  CHECK(old[1] == 1);
}

TEST_CASE("where either may be either, nobody is given an identity of the lost") {
  Court court;
  court.lose({0.0, -1.0, 1.0}, {0.0, 0.0, 0.0});
  court.lose({0.0, 1.0, 1.0}, {0.0, 0.0, 0.0});
  court.find({-1.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  court.find({1.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  const auto old = court.weigh();
  CHECK(old[0] == -1);
  CHECK(old[1] == -1);
}

TEST_CASE("whoever is found where nobody can have run is new") {
  Court court;
  court.lose({-10.0, 0.0, 1.0}, {-2.0, 0.0, 0.0});
  court.find({10.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  CHECK(court.weigh()[0] == -1);
}

TEST_CASE("who was built otherwise is another, who was built alike the same") {
  Court court;
  court.lose({0.0, -1.0, 1.0}, {0.0, 0.0, 0.0});
  court.lose({0.0, 1.0, 1.0}, {0.0, 0.0, 0.0});
  court.find({-1.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  court.find({1.0, 0.0, 1.0}, {0.0, 0.0, 0.0});
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t l = 0; l < court.setup.limbs; ++l) {
      const std::size_t lane = k * court.setup.limbs + l;
      court.state.limbs.at(kLengthWeight, lane) = k < 2 ? 100.0 : 6.0;
      court.state.limbs.at(kLength, lane) = k == 0 || k == 3 ? 0.60 : 0.52;
      court.state.limbs.at(kLengthVar, lane) = 1e-4;
    }
  }
  const auto old = court.weigh();
  CHECK(old[0] == 1);
  CHECK(old[1] == 0);
}

TEST_CASE("a time without frames ends after a tenth of a second, with everybody's identity") {
  for (const int gap : {20, 60}) {
    std::mt19937 random(7);
    Tracker tracker(ring(5), five_joints());
    const auto show = [&](int frame) {
      for (const Seen& seen : see(ring(5), kPeople, frame, 1.0, random)) observe(tracker, seen);
    };
    for (int i = 0; i < 120; ++i) show(i);
    const std::set<std::int64_t> before = ids_at(tracker, 119);
    REQUIRE(before.size() == kPeople);
    const int back = 120 + gap;
    for (int i = back; i < back + 5; ++i) show(i);
    CHECK(ids_at(tracker, back + 4).empty());
    for (int i = back + 5; i < back + 30; ++i) show(i);
    CHECK(ids_at(tracker, back + 29) == before);
  }
}

TEST_CASE("after too long nobody is known again") {
  std::mt19937 random(7);
  Tracker tracker(ring(5), five_joints());
  for (int i = 0; i < 60; ++i) {
    for (const Seen& seen : see(ring(5), kPeople, i, 1.0, random)) observe(tracker, seen);
  }
  const std::set<std::int64_t> before = ids_at(tracker, 59);
  for (int i = 700; i < 730; ++i) {
    for (const Seen& seen : see(ring(5), kPeople, i, 1.0, random)) observe(tracker, seen);
  }
  const std::set<std::int64_t> after = ids_at(tracker, 729);
  CHECK(after.size() == kPeople);
  for (const std::int64_t id : after) CHECK(before.count(id) == 0);
}
