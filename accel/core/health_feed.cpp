#include "health_feed.hpp"

#include "health_swap.hpp"

namespace tipoff {
namespace {

// Residuals beyond this and beyond so many expected deviations are another person's joint.
constexpr double kAbsurd_px = 40.0;
constexpr double kAbsurdSigmas = 12.0;
// Cameras that a doubtful frame is tried as.
constexpr int kGuesses = 4;

class Feed {
 public:
  Feed(State& state, const Setup& setup, const std::vector<FrameWork>& work, std::size_t frames,
       const Lanes& solution)
      : state_(state), setup_(setup), work_(work), frames_(frames), solution_(solution) {}

  void run() {
    state_.health.begin(setup_.rig, state_.time_ns);
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      if (state_.tracks[k].confirmed()) add_track(k);
    }
    for (std::size_t f = 0; f < frames_; ++f) count(work_[f]);
  }

 private:
  void add_track(std::size_t k) {
    ResidualCell* cells = nullptr;
    for (std::size_t f = 0; f < frames_; ++f) {
      const FrameWork& w = work_[f];
      if (w.detection_of[k] < 0) continue;
      if (cells == nullptr) {
        Vec3 point;
        Vec3 velocity;
        middle(k, point, velocity);
        cells = state_.health.open_cells(state_.tracks[k].key, point, velocity);
        if (cells == nullptr) return;
      }
      const double scale = state_.health.sigma_scale(w.camera);
      const std::size_t lane = k * setup_.joints;
      MissArgs args{};
      args.image = w.image.data() + lane;
      args.view = w.view.data() + lane;
      args.stride = static_cast<long>(w.image.stride());
      args.solution = solution_.data() + lane;
      args.solution_stride = static_cast<long>(solution_.stride());
      args.joints = static_cast<long>(setup_.joints);
      args.far2 = kAbsurd_px * kAbsurd_px;
      args.sigmas2 = kAbsurdSigmas * kAbsurdSigmas / (scale * scale);
      Missed missed{};
      setup_.kernels->miss(args, missed);
      ResidualCell& cell = cells[w.camera];
      cell.count += missed.count;
      cell.u += missed.u;
      cell.v += missed.v;
      cell.squares += missed.squares;
      cell.variance += missed.variance / (scale * scale);
    }
  }

  // Where a track's joints are and move on average.
  void middle(std::size_t k, Vec3& point, Vec3& velocity) const {
    const double share = 1.0 / static_cast<double>(setup_.joints);
    for (std::size_t lane = k * setup_.joints; lane < (k + 1) * setup_.joints; ++lane) {
      point = point + share * vec3_at(state_.joints, kP, lane);
      velocity = velocity + share * vec3_at(state_.joints, kV, lane);
    }
  }

  void count(const FrameWork& w) {
    FrameCounts counts;
    counts.detections = static_cast<int>(w.frame->detections.size());
    for (std::size_t n = 0; n < w.track_of.size(); ++n) {
      const int k = w.track_of[n];
      const bool known = k >= 0 && state_.tracks[static_cast<std::size_t>(k)].confirmed();
      if (known || w.explained[n] != 0) ++counts.explained;
    }
    counts.held = w.held;
    counts.expected = w.expected;
    state_.health.count(w.camera, counts);
    if (counts.detections > 0 && w.frame->searched && state_.health.doubtful(w.camera)) guess(w);
  }

  // Whether the frame would be explained as the picture of another camera.
  void guess(const FrameWork& w) {
    const Frame& frame = *w.frame;
    std::vector<ImagePoint> detections;
    for (std::size_t n = 0; n < frame.detections.size(); ++n) {
      for (std::size_t lane = frame.lane(n); lane < frame.lane(n) + setup_.joints; ++lane) {
        detections.push_back({{frame.keypoints.at(0, lane), frame.keypoints.at(1, lane)},
                              frame.keypoints.at(2, lane) > 0.0});
      }
    }
    for (int tries = 0; tries < kGuesses; ++tries) {
      const int other = state_.health.next_guess(w.camera);
      if (other < 0) return;
      FloatLanes image(kImageRows);
      std::vector<ImageBox> boxes;
      take_images(state_.joints, state_.tracks.size(), setup_, other, w.offset_s, image, boxes);
      std::vector<ImagePoint> images;
      for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
        if (!state_.tracks[k].confirmed()) continue;
        for (std::size_t lane = k * setup_.joints; lane < (k + 1) * setup_.joints; ++lane) {
          images.push_back(
              {{image.at(kU, lane), image.at(kVpx, lane)}, image.at(kDepth, lane) > 0.0});
        }
      }
      const double share = explained_as(detections, images, setup_.joints);
      state_.health.guessed(w.camera, other, static_cast<int>(frame.detections.size()), share);
    }
  }

  State& state_;
  const Setup& setup_;
  const std::vector<FrameWork>& work_;
  std::size_t frames_;
  const Lanes& solution_;
};

}  // namespace

void feed_health(State& state, const Setup& setup, const std::vector<FrameWork>& work,
                 std::size_t frames, const Lanes& solution) {
  if (state.tracks.empty()) return;
  Feed(state, setup, work, frames, solution).run();
}

}  // namespace tipoff
