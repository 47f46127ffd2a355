#include "update.hpp"

#include <algorithm>

#include "motion.hpp"

namespace tipoff {
namespace {

// A solve without the prior must explain the views better by this much before it restarts a joint.
constexpr double kRestartMargin = 6.0;
constexpr double kPriorCap = 16.0;
constexpr double kRestartSpeed_mps = 4.0;
constexpr double kRestartSpread_m = 0.3;
// One view in so many against the rest makes no doubt.
constexpr double kTornShare = 3.0;
// A longer move than this leaves the linearisation's reach.
constexpr double kLinear_m = 0.2;
// Joints that are looked at again in one step; the rest keeps its linear solution.
constexpr std::size_t kMaxDoubtful = 512;

// Only views that still say something of the noise after the fit teach it.
constexpr double kLeastShare = 0.4;
// Once all is learned, one step in this many teaches.
constexpr std::int64_t kLessonEvery = 4;

// How fast liveliness follows, s, how far one step may push it, and its bounds.
constexpr double kLivelyMemory_s = 20.0;
constexpr double kLivelyCap = 25.0;
// What the moves are taken for, relative to what the covariances lost: acceleration lasts longer
// than a step, so that moves by the views of one frame-set, worked in apart, tell it several times.
constexpr double kLivelyGoal = 0.95;
constexpr double kLivelyApart = 0.28;
// A joint's own liveliness beside its kind's: how fast it follows, how fast it fades, 1/s.
constexpr double kOwnGain_per_s = 8.0;
constexpr double kOwnFade_per_s = 0.6;
constexpr double kOwnCap = 16.0;
constexpr double kOwnLeast = 0.1;
constexpr double kOwnMost = 10.0;
// Joints with more outliers than this teach nothing.
constexpr double kMostOutliers = 3.0;
constexpr double kLeastLively = 0.05;
constexpr double kMostLively = 20.0;
constexpr std::int64_t kLivelyAge_ns = 300'000'000;

// Rows of what is gathered from a frame, and of the scratch.
constexpr std::array<std::size_t, 4> kGathered{kZu, kZv, kInv, kSure};
enum ScratchRow : std::size_t { kTeaches, kMove2, kLost, kMoved, kExpected };

class Update {
 public:
  Update(State& state, const Setup& setup, std::vector<FrameWork>& work, std::size_t frames,
         double dt_s, UpdateScratch& scratch)
      : state_(state),
        setup_(setup),
        work_(work),
        frames_(frames),
        dt_s_(dt_s),
        scratch_(scratch),
        lanes_(state.tracks.size() * setup.joints) {}

  void run() {
    for (std::size_t f = 0; f < frames_; ++f) gather(work_[f]);
    solve();
    find_doubtful();
    if (!scratch_.doubtful.empty()) look_again();
    condition();
    note_support();
    learn_noise();
    learn_liveliness();
  }

 private:
  void gather(FrameWork& w) {
    const Frame& frame = *w.frame;
    w.view.reserve(w.image.stride());
    const std::size_t joints = setup_.joints;
    const std::array<const float*, 4> from{frame.keypoints.row(0), frame.keypoints.row(1),
                                           w.noise.row(1), frame.keypoints.row(2)};
    for (std::size_t r = 0; r < from.size(); ++r) {
      float* __restrict row = w.view.row(kGathered[r]);
      for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
        const int n = w.detection_of[k];
        // Whole blocks: what reaches beyond a track is overwritten by the next one.
        if (n < 0) {
          for (std::size_t b = 0; b < joints; b += kBlock)
            std::fill_n(row + k * joints + b, kBlock, 0.0F);
          continue;
        }
        const float* __restrict values = from[r] + frame.lane(static_cast<std::size_t>(n));
        for (std::size_t b = 0; b < joints; b += kBlock) {
          std::memcpy(row + k * joints + b, values + b, kBlock * sizeof(float));
        }
      }
      std::fill(row + lanes_, row + w.view.stride(), 0.0F);
    }
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const int n = w.detection_of[k];
      if (n < 0 || w.flipped[static_cast<std::size_t>(n)] == 0) continue;
      gather_mirrored(w, frame.lane(static_cast<std::size_t>(n)), k * joints);
    }
  }

  void gather_mirrored(FrameWork& w, std::size_t first, std::size_t lane) const {
    for (std::size_t j = 0; j < setup_.joints; ++j) {
      const std::size_t from = first + static_cast<std::size_t>(setup_.options.skeleton.mirror[j]);
      w.view.at(kZu, lane + j) = w.frame->keypoints.at(0, from);
      w.view.at(kZv, lane + j) = w.frame->keypoints.at(1, from);
      w.view.at(kInv, lane + j) = w.noise.at(1, from);
      w.view.at(kSure, lane + j) = w.frame->keypoints.at(2, from);
    }
  }

  void solve() {
    scratch_.solution.reserve(lanes_);
    for (std::size_t f = 0; f < frames_; ++f) {
      images_[f] = work_[f].image.data();
      views_[f] = work_[f].view.data();
    }
    SolveArgs args{};
    args.state = state_.joints.data();
    args.stride = static_cast<long>(state_.joints.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.frames = static_cast<int>(frames_);
    args.images = images_.data();
    args.views = views_.data();
    args.image_stride = static_cast<long>(work_[0].image.stride());
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    setup_.kernels->solve(args);
  }

  double at(int row, std::size_t lane) const {
    return scratch_.solution.at(static_cast<std::size_t>(row), lane);
  }

  void find_doubtful() {
    scratch_.doubtful.clear();
    scratch_.in_doubt.resize(padded(lanes_));
    DoubtArgs args{};
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.far2 = kLinear_m * kLinear_m;
    args.share = kTornShare;
    args.cap = kPriorCap;
    args.doubtful = scratch_.in_doubt.data();
    if (!setup_.kernels->doubt(args)) return;
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      if (scratch_.in_doubt[lane] == 0) continue;
      if (scratch_.doubtful.size() < kMaxDoubtful) scratch_.doubtful.push_back(lane);
    }
  }

  bool far(std::size_t lane) const {
    const Vec3 move = vec3_at(scratch_.solution, kMove, lane);
    return dot(move, move) > kLinear_m * kLinear_m;
  }

  bool failed(std::size_t lane) const { return at(kInliers, lane) < 0.0; }

  // Puts the doubtful joints side by side: what the views say of them and what was predicted.
  void pose_problem() {
    FreeProblem& p = scratch_.problem;
    p.reset(frames_, scratch_.doubtful.size());
    for (std::size_t f = 0; f < frames_; ++f) {
      const FrameWork& w = work_[f];
      const Camera& camera = setup_.rig.cameras[static_cast<std::size_t>(w.camera)];
      p.cameras[f] = w.camera;
      for (std::size_t i = 0; i < p.lanes; ++i) {
        const std::size_t lane = scratch_.doubtful[i];
        for (const int row : {kZu, kZv, kInv}) {
          const auto r = static_cast<std::size_t>(row);
          p.views[f].at(r, i) = w.view.at(r, lane);
        }
        const double row_s = 1e-9 * static_cast<double>(row_delay_ns(camera, w.view.at(kZv, lane)));
        p.views[f].at(FreeProblem::kTime, i) = w.offset_s + row_s;
      }
    }
    for (std::size_t i = 0; i < p.lanes; ++i) {
      const std::size_t lane = scratch_.doubtful[i];
      const Vec3 predicted = vec3_at(state_.joints, kP, lane);
      Sym3 information;
      if (!invert(sym3_at(state_.joints, kPP, lane), information)) information = {};
      set_vec3(p.velocity, 0, i, vec3_at(state_.joints, kV, lane));
      set_vec3(p.prior, 0, i, predicted);
      set_sym3(p.prior, 3, i, information);
      set_vec3(p.start, 0, i, predicted + vec3_at(scratch_.solution, kMove, lane));
    }
  }

  // First through the full camera model, then, where views are still against it, without the
  // prediction.
  void look_again() {
    pose_problem();
    FreeProblem& p = scratch_.problem;
    const bool bent = std::any_of(scratch_.doubtful.begin(), scratch_.doubtful.end(),
                                  [&](std::size_t lane) { return far(lane) || failed(lane); });
    if (bent) solve_with_prior(p, setup_);
    bool torn = false;
    for (std::size_t i = 0; i < p.lanes; ++i) {
      const std::size_t lane = scratch_.doubtful[i];
      if (!far(lane) && !failed(lane)) {
        torn = torn || is_torn(lane);
        continue;
      }
      if (p.solution.at(kInliers, i) < 0.0) {
        scratch_.solution.at(kInliers, lane) = -1.0;
      } else {
        for (std::size_t r = 0; r < kSolutionRows; ++r) {
          scratch_.solution.at(r, lane) = p.solution.at(r, i);
        }
        const Vec3 point = vec3_at(p.start, 0, i) + vec3_at(p.solution, kMove, i);
        set_vec3(scratch_.solution, kMove, lane, point - vec3_at(state_.joints, kP, lane));
        for (std::size_t f = 0; f < frames_; ++f) {
          work_[f].view.at(kR2, lane) =
              static_cast<float>(p.views[f].at(FreeProblem::kResidual, i));
        }
      }
      torn = torn || is_torn(lane);
    }
    if (torn) restart();
  }

  // Whether so many views are against the solution, or it against the prediction, that the views
  // alone may know better.
  bool is_torn(std::size_t lane) const {
    const double count = at(kCount, lane);
    const double outliers = count - at(kInliers, lane);
    return count >= 2.0 && ((outliers >= 2.0 && kTornShare * outliers >= count) ||
                            at(kPriorCost, lane) > kPriorCap);
  }

  // Starts joints anew where the views alone explain themselves so much better that the prediction
  // must have been wrong. This keeps a fast wrist from being locked out by its own prediction.
  void restart() {
    FreeProblem& p = scratch_.problem;
    solve_without_prior(p, setup_);
    for (std::size_t i = 0; i < p.lanes; ++i) {
      const std::size_t lane = scratch_.doubtful[i];
      if (!is_torn(lane) || !(p.solution.at(kInliers, i) >= 2.0)) continue;
      const Vec3 point = vec3_at(p.start, 0, i) + vec3_at(p.solution, kMove, i);
      const Vec3 d = point - vec3_at(p.prior, 0, i);
      const double away = dot(d, sym3_at(p.prior, 3, i) * d);
      const double before = at(kInliers, lane) >= 0.0
                                ? at(kCost, lane) + std::min(at(kPriorCost, lane), 4.0 * kPriorCap)
                                : 1e30;
      const double after = p.solution.at(kCost, i) + std::min(away, kPriorCap);
      if (!(after + kRestartMargin < before)) continue;
      Sym3 covariance;
      if (!invert(sym3_at(p.solution, kInfo, i), covariance)) continue;
      if (covariance.trace() > 3.0 * kRestartSpread_m * kRestartSpread_m) continue;
      start_joint(state_.joints, lane, point, vec3_at(state_.joints, kV, lane), covariance,
                  kRestartSpeed_mps);
      for (std::size_t f = 0; f < frames_; ++f) {
        work_[f].view.at(kR2, lane) = static_cast<float>(p.views[f].at(FreeProblem::kResidual, i));
      }
      scratch_.solution.at(kInliers, lane) = -2.0;  // done; not to be conditioned
      ++state_.counters.restarted;
    }
  }

  void condition() {
    scratch_.rows.reserve(lanes_);
    teaching_ = !state_.noise.settled() || state_.steps % kLessonEvery == 0;
    ConditionArgs args{};
    args.state = state_.joints.data();
    args.stride = static_cast<long>(state_.joints.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    args.frames = static_cast<int>(frames_);
    args.images = images_.data();
    args.views = views_.data();
    args.image_stride = static_cast<long>(work_[0].image.stride());
    args.shares = teaching_ ? 1 : 0;
    args.gained[0] = scratch_.rows.row(kMove2);
    args.gained[1] = scratch_.rows.row(kLost);
    setup_.kernels->condition(args);
  }

  // The cameras of this step that looked for a track.
  std::uint64_t cameras_asked(std::int64_t id) const {
    std::uint64_t asked = 0;
    for (std::size_t f = 0; f < frames_; ++f) {
      if (work_[f].frame->looked_for(id)) asked |= std::uint64_t{1} << work_[f].camera;
    }
    return asked;
  }

  void note_support() {
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const std::uint64_t others = ~cameras_asked(state_.tracks[k].id);
      for (std::size_t j = 0; j < setup_.joints; ++j)
        state_.supports[k * setup_.joints + j] &= others;
    }
    std::array<long long, kMaxCameras> bits{};
    SupportArgs args{};
    for (std::size_t f = 0; f < frames_; ++f) {
      bits[f] = static_cast<long long>(std::uint64_t{1} << work_[f].camera);
    }
    args.frames = static_cast<int>(frames_);
    args.views = views_.data();
    args.image_stride = static_cast<long>(work_[0].image.stride());
    args.bits = bits.data();
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.supports = state_.supports.data();
    args.unseen = state_.joints.row(kUnseen);
    args.confidence = state_.joints.row(kConfidence);
    setup_.kernels->support(args);
  }

  void learn_noise() {
    if (!teaching_) return;
    for (std::size_t f = 0; f < frames_; ++f) {
      const FrameWork& w = work_[f];
      if (state_.health.sigma_scale(w.camera) > 1.0) continue;  // what is accused teaches nothing
      LessonArgs args{};
      args.view = w.view.data();
      args.view_stride = static_cast<long>(w.view.stride());
      args.solution = scratch_.solution.data();
      args.solution_stride = static_cast<long>(scratch_.solution.stride());
      args.lanes = static_cast<long>(padded(lanes_));
      args.least_share = kLeastShare;
      Lesson lesson{};
      setup_.kernels->lesson(args, lesson);
      state_.noise.learn(w.camera, lesson);
    }
  }

  // The views move a prediction, on average, by what they take from its covariance:
  // E |move|^2 = tr P - tr P'. Where they move it farther, joints of this kind are livelier than
  // assumed.
  void learn_liveliness() {
    if (!(dt_s_ > 0.0)) return;
    const double apart =
        1.0 - static_cast<double>(frames_) / static_cast<double>(setup_.rig.cameras.size());
    const double goal = kLivelyGoal * (1.0 - kLivelyApart * apart);
    const double* moves = scratch_.rows.row(kMoved);
    const double* losses = scratch_.rows.row(kExpected);
    weigh_moves(goal);
    std::array<double, Liveliness::kKinds> moved{};
    std::array<double, Liveliness::kKinds> expected{};
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      for (std::size_t j = 0; j < setup_.joints; ++j) {
        const auto kind = static_cast<std::size_t>(setup_.kinds[j]);
        moved[kind] += moves[k * setup_.joints + j];
        expected[kind] += losses[k * setup_.joints + j];
      }
    }
    const double rate = std::min(dt_s_ / kLivelyMemory_s, 0.2);
    for (std::size_t kind = 0; kind < moved.size(); ++kind) {
      if (!(expected[kind] > 0.0)) continue;
      const double ratio = std::clamp(goal * moved[kind] / expected[kind], 0.25, 4.0);
      double& factor = state_.liveliness.factor[kind];
      factor = std::clamp(factor * (1.0 + rate * (ratio - 1.0)), kLeastLively, kMostLively);
    }
  }

  // The same by joint: its own level follows, and what it adds to its kind is noted.
  void weigh_moves(double goal) {
    double* teaches = scratch_.rows.row(kTeaches);
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const Track& track = state_.tracks[k];
      const bool old = track.confirmed() && state_.time_ns - track.born_ns >= kLivelyAge_ns;
      std::fill_n(teaches + k * setup_.joints, setup_.joints, old ? 1.0 : 0.0);
    }
    std::fill(teaches + lanes_, teaches + padded(lanes_), 0.0);
    LivelyArgs args{};
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.teaches = teaches;
    args.fresh = state_.joints.row(kFresh);
    args.move2 = scratch_.rows.row(kMove2);
    args.lost = scratch_.rows.row(kLost);
    args.outliers = kMostOutliers;
    args.goal = goal;
    args.most = kLivelyCap;
    // A joint's own level lasts a tenth of a second: after a wide step it rests.
    const bool rests = dt_s_ > kWideStep_s;
    args.gain = rests ? 0.0 : std::min(kOwnGain_per_s * dt_s_, 0.3);
    args.fade = rests ? 0.0 : std::min(kOwnFade_per_s * dt_s_, 0.3);
    args.most_ratio = kOwnCap;
    args.least_level = kOwnLeast;
    args.most_level = kOwnMost;
    args.level = state_.joints.row(kLevel);
    args.moved = scratch_.rows.row(kMoved);
    args.expected = scratch_.rows.row(kExpected);
    setup_.kernels->lively(args);
  }

  State& state_;
  const Setup& setup_;
  std::vector<FrameWork>& work_;
  std::size_t frames_;
  double dt_s_;
  UpdateScratch& scratch_;
  std::size_t lanes_;
  bool teaching_ = true;
  std::array<const float*, kMaxCameras> images_{};
  std::array<float*, kMaxCameras> views_{};
};

}  // namespace

void update_joints(State& state, const Setup& setup, std::vector<FrameWork>& work,
                   std::size_t frames, double dt_s, UpdateScratch& scratch) {
  if (state.tracks.empty() || frames == 0) return;
  Update(state, setup, work, frames, dt_s, scratch).run();
}

}  // namespace tipoff
