#include "core/contest.hpp"

#include <doctest/doctest.h>

#include "core/camera.hpp"
#include "core/observation.hpp"
#include "core/tracker.hpp"
#include "scene.hpp"

using namespace tipoff;
using namespace tipoff::testing;

namespace {

// Two people 0.5 m apart, as predicted, and in each view the detections of both: row 0 is the
// first.
struct Pair {
  explicit Pair(int cameras) : setup(ring(cameras), five_joints()) {
    for (int person = 0; person < 2; ++person) {
      const std::size_t k = append_track(state, setup.joints, setup.limbs);
      state.tracks[k].id = person + 1;
      const std::vector<Vec3> points = place(person);
      for (std::size_t j = 0; j < setup.joints; ++j) {
        start_joint(state.joints, k * setup.joints + j, points[j] + Vec3{0.05, -0.05, 0.0}, Vec3{},
                    Sym3::diagonal(0.01), 1.0);
      }
    }
    for (int c = 0; c < cameras; ++c) add_view(c);
  }

  static std::vector<Vec3> place(int person) {
    std::vector<Vec3> points = body(0, 0.0);
    for (Vec3& p : points) p = p + Vec3{0.5 * person, 0.0, 0.0};
    return points;
  }

  void add_view(int c) {
    const Camera& camera = setup.rig.cameras[static_cast<std::size_t>(c)];
    std::vector<float> keypoints;
    for (int person = 0; person < 2; ++person) {
      for (const Vec3& point : place(person)) {
        Vec2 image;
        REQUIRE(project(camera, point, image));
        keypoints.push_back(static_cast<float>(image.x));
        keypoints.push_back(static_cast<float>(image.y));
        keypoints.push_back(0.9F);
      }
    }
    Observation observation;
    observation.camera = c;
    observation.keypoints = keypoints.data();
    observation.rows = 2;
    observation.joints = static_cast<int>(setup.joints);
    TrackerStats stats;
    const auto frame = std::make_shared<Frame>();
    fill(*frame, observation, setup, stats);
    frames.push_back(frame);
    FrameWork w;
    w.frame = frames.back().get();
    w.camera = c;
    w.wide = true;
    w.track_of = w.detection_of = {0, 1};
    take_images(state.joints, 2, setup, c, 0.0, w.image, w.boxes);
    w.noise.reserve(w.frame->keypoints.stride());
    for (std::size_t i = 0; i < w.frame->keypoints.stride(); ++i) {
      w.noise.at(0, i) = w.frame->keypoints.at(2, i) > 0.0 ? 25.0 : 0.0;
      w.noise.at(1, i) = w.frame->keypoints.at(2, i) > 0.0 ? 0.04 : 0.0;
    }
    work.push_back(std::move(w));
  }

  void exchange(std::size_t view) {
    std::swap(work[view].detection_of[0], work[view].detection_of[1]);
    std::swap(work[view].track_of[0], work[view].track_of[1]);
  }

  State state;
  Setup setup;
  std::vector<FramePtr> frames;
  std::vector<FrameWork> work;
};

}  // namespace

TEST_CASE("a mixture of two people over several views is undone") {
  for (const std::vector<std::size_t>& mixed :
       {std::vector<std::size_t>{}, {2}, {0, 3}, {0, 1, 2}, {0, 1, 2, 3}}) {
    Pair pair(4);
    for (const std::size_t view : mixed) pair.exchange(view);
    settle_contests(pair.state, pair.setup, pair.work, pair.work.size());
    for (const FrameWork& w : pair.work) {
      CHECK(w.detection_of == std::vector<int>{0, 1});
      CHECK(w.track_of == std::vector<int>{0, 1});
    }
  }
}

TEST_CASE("a detection alone goes to whom all views give it") {
  Pair pair(4);
  pair.work[1].detection_of = {-1, 0};  // the second has the first's, the first none
  pair.work[1].track_of = {1, -1};
  settle_contests(pair.state, pair.setup, pair.work, pair.work.size());
  CHECK(pair.work[1].detection_of == std::vector<int>{0, -1});
  CHECK(pair.work[1].track_of == std::vector<int>{0, -1});
}
