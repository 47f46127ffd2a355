#include "core/plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/plan_search.hpp"
#include "core/plan_views.hpp"
#include "scene.hpp"

using namespace tipoff;
using namespace tipoff::testing;

namespace {

constexpr double kKnown_m = 0.03;
constexpr std::int64_t kNow_ns = 100'000'000'000;

PlanTrack person(std::int64_t id, Vec3 at, double std_m) {
  PlanTrack track;
  track.id = id;
  track.age_ns = 10'000'000'000;
  for (const Vec3& joint : body(0, 0.0)) {
    const Vec3 offset = joint - body(0, 0.0).back();
    track.joints.push_back({at + offset, Sym3::diagonal(std_m * std_m)});
  }
  return track;
}

// Everybody was searched for this moment, so that only poses are worth anything.
PlanScene quiet(const Rig& rig, std::vector<PlanTrack> tracks) {
  PlanScene scene;
  scene.time_ns = kNow_ns;
  scene.interval_ns = kFrame_ns;
  scene.limbs = five_joints().skeleton.limbs;
  scene.tracks = std::move(tracks);
  scene.sigma_px.assign(rig.cameras.size(), 2.0);
  scene.last_search_ns.assign(rig.cameras.size(), kNow_ns);
  return scene;
}

PlanBudget budget(const Rig& rig, double ms) {
  PlanBudget out;
  out.inference_ms = ms;
  out.pose_ms = 7.0;
  out.detect_ms.assign(rig.cameras.size(), 50.0);
  out.available.assign(rig.cameras.size(), 1);
  out.detect_scale = 0.5;
  out.recall = {{40.0, 0.67}, {64.0, 0.82}, {80.0, 0.94}};
  return out;
}

std::size_t poses_of(const Plan& plan, std::int64_t id) {
  return static_cast<std::size_t>(std::count_if(plan.poses.begin(), plan.poses.end(),
                                                [&](const auto& p) { return p.id == id; }));
}

}  // namespace

TEST_CASE("whoever is less known is posed first and more often") {
  const Rig rig = ring(4);
  const PlanScene scene =
      quiet(rig, {person(1, {-2, 1, 1.1}, kKnown_m), person(2, {2, -1, 1.1}, 4 * kKnown_m)});
  const Plan plan = make_plan(scene, rig, budget(rig, 21.0));
  REQUIRE(plan.poses.size() == 3);
  CHECK(plan.poses.front().id == 2);
  CHECK(poses_of(plan, 2) > poses_of(plan, 1));
  CHECK(plan.cost_ms == doctest::Approx(21.0));
  CHECK(plan.error_after_m < plan.error_before_m);
}

TEST_CASE("a gain is what the covariance really loses") {
  const Rig rig = ring(1);
  const PlanTrack track = person(1, {0, 0, 1.1}, 0.05);
  const PlanScene scene = quiet(rig, {track});
  const Plan plan = make_plan(scene, rig, budget(rig, 7.0));
  REQUIRE(plan.poses.size() == 1);
  // Alone in the view, each joint is worth 0.95 of a free one, at the camera's noise.
  double before = 0.0;
  double after = 0.0;
  for (const PlanJoint& joint : track.joints) {
    Projection p;
    REQUIRE(project(rig.cameras[0], joint.p, p));
    Sym3 information;
    REQUIRE(invert(joint.covariance, information));
    information.add_outer(p.du, 0.95 / 4.0);
    information.add_outer(p.dv, 0.95 / 4.0);
    Sym3 posterior;
    REQUIRE(invert(information, posterior));
    before += std::sqrt(joint.covariance.trace());
    after += std::sqrt(posterior.trace());
  }
  CHECK(plan.poses[0].gain_m == doctest::Approx((before - after) / 6.0).epsilon(0.01));
}

TEST_CASE("the second view crosses the first one, it does not repeat it") {
  // Two cameras nearly at the same place, a third one across.
  Rig rig = ring(4);
  rig.cameras[1] = rig.cameras[0];
  rig.cameras[1].t = rig.cameras[1].t + Vec3{0.05, 0.0, 0.0};
  rig.cameras[1].prepare();
  rig.cameras.erase(rig.cameras.begin() + 2);
  const PlanScene scene = quiet(rig, {person(1, {0, 0, 1.1}, 0.1)});
  const Plan plan = make_plan(scene, rig, budget(rig, 14.0));
  REQUIRE(plan.poses.size() == 2);
  CHECK((plan.poses[0].camera == 2) != (plan.poses[1].camera == 2));
}

TEST_CASE("a view in which somebody is hidden is worth less than a free one") {
  const Rig rig = ring(4);
  const Vec3 camera = rig.cameras[0].center;
  const Vec3 at{0.0, 0.0, 1.1};
  // The other one stands on the line of sight.
  const Vec3 toward{camera.x - at.x, camera.y - at.y, 0.0};
  const Vec3 front = at + (1.2 / norm(toward)) * toward;
  const PlanScene alone = quiet(rig, {person(1, at, 0.05)});
  const PlanScene both = quiet(rig, {person(1, at, 0.05), person(2, front, 0.05)});
  const std::vector<char> all(4, 1);
  const PlanViews free_views(alone, rig, all);
  const PlanViews crowded(both, rig, all);
  CHECK(free_views.view(0, 0).open == doctest::Approx(0.95));
  CHECK(crowded.view(0, 0).open < 0.7);
  CHECK(crowded.view(0, 0).chance < 1.0);
  CHECK(crowded.view(0, 1).open > crowded.view(0, 0).open);
  const Plan plan = make_plan(both, rig, budget(rig, 7.0 * 4));
  for (const PlannedPose& pose : plan.poses) {
    if (pose.id == 1) CHECK(pose.camera != 0);
  }
}

TEST_CASE("the budget holds, and is spent where there is anything to gain") {
  const Rig rig = ring(6);
  std::vector<PlanTrack> tracks;
  for (int k = 0; k < 5; ++k) tracks.push_back(person(k + 1, {2.0 * k - 4.0, 0.5 * k, 1.1}, 0.05));
  const PlanScene scene = quiet(rig, tracks);
  double last = 0.0;
  for (const double ms : {0.0, 6.9, 7.0, 30.0, 100.0, 1000.0}) {
    const Plan plan = make_plan(scene, rig, budget(rig, ms));
    CHECK(plan.cost_ms <= ms);
    CHECK(plan.gain_m >= last);
    last = plan.gain_m;
    const auto count = static_cast<double>(plan.poses.size());
    CHECK(plan.cost_ms == doctest::Approx(7.0 * count + 50.0 * plan.detects.size()));
    std::vector<std::pair<int, std::int64_t>> seen;
    for (const PlannedPose& pose : plan.poses) seen.emplace_back(pose.camera, pose.id);
    std::sort(seen.begin(), seen.end());
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  }
  CHECK(make_plan(scene, rig, budget(rig, 6.9)).poses.empty());
  CHECK(make_plan(scene, rig, budget(rig, 7.0)).poses.size() == 1);
}

TEST_CASE("a request that costs something of its own draws poses into few views") {
  const Rig rig = ring(6);
  std::vector<PlanTrack> tracks;
  for (int k = 0; k < 4; ++k) tracks.push_back(person(k + 1, {2.0 * k - 3.0, 0.0, 1.1}, 0.05));
  const PlanScene scene = quiet(rig, tracks);
  const auto views = [&](double request_ms) {
    PlanBudget b = budget(rig, 7.0 * 6 + 2.0 * request_ms);
    b.request_ms = request_ms;
    const Plan plan = make_plan(scene, rig, b);
    std::vector<char> asked(6, 0);
    double cost = 0.0;
    for (const PlannedPose& pose : plan.poses) {
      cost += 7.0 + (asked[static_cast<std::size_t>(pose.camera)] ? 0.0 : request_ms);
      asked[static_cast<std::size_t>(pose.camera)] = 1;
    }
    CHECK(plan.cost_ms == doctest::Approx(cost));
    return std::count(asked.begin(), asked.end(), 1);
  };
  CHECK(views(0.0) > views(20.0));
}

TEST_CASE("a camera without a frame is neither posed nor searched") {
  const Rig rig = ring(4);
  PlanScene scene = quiet(rig, {person(1, {0, 0, 1.1}, 0.1)});
  scene.last_search_ns.assign(4, kNeverSearched);
  PlanBudget b = budget(rig, 500.0);
  b.available[2] = 0;
  b.entries_per_s = 1.0;
  const Plan plan = make_plan(scene, rig, b);
  CHECK_FALSE(plan.detects.empty());
  for (const PlannedPose& pose : plan.poses) CHECK(pose.camera != 2);
  for (const PlannedDetect& detect : plan.detects) CHECK(detect.camera != 2);
}

TEST_CASE("before anybody looked, cameras are searched; afterwards only when it is due again") {
  const Rig rig = ring(4);
  PlanScene scene = quiet(rig, {});
  scene.last_search_ns.assign(4, kNeverSearched);
  PlanBudget b = budget(rig, 200.0);
  CHECK(make_plan(scene, rig, b).detects.size() == 4);
  b.entries_per_s = 0.5;
  scene = quiet(rig, {person(1, {0, 0, 1.1}, 0.05), person(2, {2, 1, 1.1}, 0.05)});
  b.inference_ms = 21.0;
  b.overdraft_ms = 150.0;
  CHECK(make_plan(scene, rig, b).detects.empty());
  scene.last_search_ns.assign(4, kNow_ns - 4'000'000'000);
  const Plan due = make_plan(scene, rig, b);
  REQUIRE_FALSE(due.detects.empty());
  CHECK(due.detects[0].reason == PlanReason::due);
  CHECK(due.expected_unknown > 0.5);
  CHECK(due.cost_ms <= 21.0 + 150.0);
}

TEST_CASE("the camera that was searched longest ago comes first") {
  const Rig rig = ring(4);
  PlanScene scene = quiet(rig, {});
  for (int c = 0; c < 4; ++c) {
    scene.last_search_ns[static_cast<std::size_t>(c)] = kNow_ns - 500'000'000 * (1 + (c + 2) % 4);
  }
  PlanBudget b = budget(rig, 50.0);
  b.entries_per_s = 0.5;
  const Plan plan = make_plan(scene, rig, b);
  REQUIRE(plan.detects.size() == 1);
  CHECK(plan.detects[0].camera == 1);
}

TEST_CASE("a searched camera is not posed as well") {
  const Rig rig = ring(4);
  PlanScene scene = quiet(rig, {person(1, {0, 0, 1.1}, 0.05)});
  scene.last_search_ns.assign(4, kNow_ns - 4'000'000'000);
  PlanBudget b = budget(rig, 120.0);
  b.entries_per_s = 2.0;
  const Plan plan = make_plan(scene, rig, b);
  REQUIRE_FALSE(plan.detects.empty());
  for (const PlannedPose& pose : plan.poses) {
    for (const PlannedDetect& detect : plan.detects) CHECK(pose.camera != detect.camera);
  }
}

TEST_CASE("a lost person has cameras searched, and is not posed") {
  const Rig rig = ring(4);
  PlanTrack lost = person(1, {0, 0, 1.1}, 0.5);
  lost.reported = false;
  lost.chance = 0.5;
  const PlanScene scene = [&] {
    PlanScene s = quiet(rig, {lost});
    s.last_search_ns.assign(4, kNow_ns - 300'000'000);
    return s;
  }();
  const Plan plan = make_plan(scene, rig, budget(rig, 200.0));
  CHECK(plan.poses.empty());
  REQUIRE_FALSE(plan.detects.empty());
  CHECK(plan.detects[0].reason == PlanReason::lost);
}

TEST_CASE("somebody who is not certain yet is asked about before those who are known well") {
  const Rig rig = ring(4);
  PlanTrack doubtful = person(-1, {2, 0, 1.1}, kKnown_m);
  doubtful.views_wanted = 2;
  doubtful.chance = 0.5;
  const PlanScene scene = quiet(rig, {person(1, {-2, 0, 1.1}, kKnown_m), doubtful});
  const Plan plan = make_plan(scene, rig, budget(rig, 14.0));
  REQUIRE(plan.poses.size() == 2);
  CHECK(poses_of(plan, -1) == 2);
  CHECK(plan.poses[0].reason == PlanReason::fresh);
}

TEST_CASE("what brings less than asked for is left") {
  const Rig rig = ring(4);
  const PlanScene scene = quiet(rig, {person(1, {0, 0, 1.1}, 0.05)});
  PlanBudget b = budget(rig, 100.0);
  const Plan all = make_plan(scene, rig, b);
  REQUIRE(all.poses.size() == 4);
  b.least_gain_m_per_ms = 0.5 * (all.poses[1].gain_m + all.poses[2].gain_m) / 7.0;
  CHECK(make_plan(scene, rig, b).poses.size() == 2);
}

TEST_CASE("recall is linear between its points and flat beyond") {
  PlanBudget b;
  b.detect_scale = 0.5;
  b.recall = {{40.0, 0.6}, {80.0, 0.9}};
  CHECK(recall_of(b, 0.0) == 0.0);
  CHECK(recall_of(b, 40.0) == doctest::Approx(0.3));
  CHECK(recall_of(b, 120.0) == doctest::Approx(0.75));
  CHECK(recall_of(b, 1000.0) == doctest::Approx(0.9));
}

TEST_CASE("covariances that are none and people behind cameras do no harm") {
  const Rig rig = ring(3);
  PlanTrack broken = person(1, {0, 0, 1.1}, 0.05);
  broken.joints[0].covariance = Sym3::diagonal(0.0);
  broken.joints[1].covariance = Sym3::diagonal(std::nan(""));
  broken.joints[2].p = {std::nan(""), 0.0, 0.0};
  broken.joints[3].p = {1e9, 1e9, 1e9};
  const PlanScene scene = quiet(rig, {broken, person(2, {60, 60, 30}, 0.05)});
  const Plan plan = make_plan(scene, rig, budget(rig, 100.0));
  CHECK(std::isfinite(plan.gain_m));
  CHECK(std::isfinite(plan.error_before_m));
  CHECK(plan.error_after_m <= plan.error_before_m);
  for (const PlannedPose& pose : plan.poses) {
    CHECK(std::isfinite(pose.gain_m));
    CHECK(std::isfinite(pose.x0 + pose.x1 + pose.y0 + pose.y1));
  }
}
