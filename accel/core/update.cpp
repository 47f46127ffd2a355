#include "update.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// A solve without the prior must explain the views better by this much before it restarts a joint.
constexpr double kRestartMargin = 6.0;
constexpr double kPriorCap = 16.0;
constexpr double kRestartSpeed_mps = 4.0;
constexpr double kRestartSpread_m = 0.3;
// A longer move than this leaves the linearisation's reach.
constexpr double kLinear_m = 0.2;
// Joints that are looked at again in one step; the rest keeps its linear solution.
constexpr std::size_t kMaxDoubtful = 512;

// Only views that still say something of the noise after the fit teach it.
constexpr double kLeastShare = 0.4;
// Once all is learned, one step in this many teaches.
constexpr std::int64_t kLessonEvery = 4;

// How fast liveliness follows, s, how far one step may push it, and its bounds.
constexpr double kLivelyMemory_s = 1.0;
constexpr double kLivelyCap = 9.0;
constexpr double kLeastLively = 0.05;
constexpr double kMostLively = 20.0;
constexpr std::int64_t kLivelyAge_ns = 300'000'000;

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
    std::fill_n(w.view.row(kInv), w.view.stride(), 0.0);
    std::fill_n(w.view.row(kZu), w.view.stride(), 0.0);
    std::fill_n(w.view.row(kZv), w.view.stride(), 0.0);
    std::array<double, NoiseModel::kBands + 1> inverse{};
    for (int b = 0; b < NoiseModel::kBands; ++b) {
      inverse[static_cast<std::size_t>(b) + 1] = 1.0 / state_.noise.variance_px2(w.camera, b);
    }
    const double* u = frame.keypoints.row(0);
    const double* v = frame.keypoints.row(1);
    const double* depth = w.image.row(kDepth);
    double* zu = w.view.row(kZu);
    double* zv = w.view.row(kZv);
    double* inv = w.view.row(kInv);
    const std::vector<int>& mirror = setup_.options.skeleton.mirror;
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const int n = w.detection_of[k];
      if (n < 0) continue;
      const std::size_t first = frame.lane(static_cast<std::size_t>(n));
      const bool flipped = w.flipped[static_cast<std::size_t>(n)] != 0;
      for (std::size_t j = 0; j < setup_.joints; ++j) {
        const std::size_t lane = k * setup_.joints + j;
        const std::size_t from = first + (flipped ? static_cast<std::size_t>(mirror[j]) : j);
        if (!(depth[lane] > 0.0)) continue;
        zu[lane] = u[from];
        zv[lane] = v[from];
        inv[lane] = inverse[frame.bands[from]];
      }
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
    const double* count = scratch_.solution.row(kCount);
    const double* inliers = scratch_.solution.row(kInliers);
    const double* prior = scratch_.solution.row(kPriorCost);
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      if (count[lane] < 1.0) continue;
      const bool torn =
          count[lane] >= 2.0 && (inliers[lane] + 1.0 < count[lane] || prior[lane] > kPriorCap);
      if (!torn && !(inliers[lane] < 0.0) && !far(lane)) continue;
      if (scratch_.doubtful.size() < kMaxDoubtful) scratch_.doubtful.push_back(lane);
    }
  }

  bool far(std::size_t lane) const {
    const Vec3 move = vec3_at(scratch_.solution, kMove, lane);
    return dot(move, move) > kLinear_m * kLinear_m;
  }

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
    solve_with_prior(p, setup_);
    bool torn = false;
    for (std::size_t i = 0; i < p.lanes; ++i) {
      const std::size_t lane = scratch_.doubtful[i];
      if (p.solution.at(kInliers, i) < 0.0) {
        scratch_.solution.at(kInliers, lane) = -1.0;
      } else {
        for (std::size_t r = 0; r < kSolutionRows; ++r) {
          scratch_.solution.at(r, lane) = p.solution.at(r, i);
        }
        const Vec3 point = vec3_at(p.start, 0, i) + vec3_at(p.solution, kMove, i);
        set_vec3(scratch_.solution, kMove, lane, point - vec3_at(state_.joints, kP, lane));
        for (std::size_t f = 0; f < frames_; ++f) {
          work_[f].view.at(kR2, lane) = p.views[f].at(FreeProblem::kResidual, i);
        }
      }
      torn = torn || is_torn(lane);
    }
    if (torn) restart();
  }

  bool is_torn(std::size_t lane) const {
    return at(kCount, lane) >= 2.0 &&
           (at(kInliers, lane) + 1.0 < at(kCount, lane) || at(kPriorCost, lane) > kPriorCap);
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
        work_[f].view.at(kR2, lane) = p.views[f].at(FreeProblem::kResidual, i);
      }
      scratch_.solution.at(kInliers, lane) = -2.0;  // done; not to be conditioned
      ++state_.counters.restarted;
    }
  }

  void condition() {
    scratch_.rows.reserve(lanes_);
    double* apply = scratch_.rows.row(0);
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      apply[lane] = at(kCount, lane) >= 1.0 && at(kInliers, lane) >= 0.0 ? 1.0 : 0.0;
    }
    for (std::size_t i = lanes_; i < padded(lanes_); ++i) apply[i] = 0.0;
    teaching_ = !state_.noise.settled() || state_.steps % kLessonEvery == 0;
    ConditionArgs args{};
    args.state = state_.joints.data();
    args.stride = static_cast<long>(state_.joints.stride());
    args.lanes = static_cast<long>(padded(lanes_));
    args.solution = scratch_.solution.data();
    args.solution_stride = static_cast<long>(scratch_.solution.stride());
    args.apply = apply;
    args.frames = static_cast<int>(frames_);
    args.images = images_.data();
    args.views = views_.data();
    args.image_stride = static_cast<long>(work_[0].image.stride());
    args.shares = teaching_ ? 1 : 0;
    args.gained[0] = scratch_.rows.row(1);
    args.gained[1] = scratch_.rows.row(2);
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
    std::uint64_t asked = 0;
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      const std::size_t k = lane / setup_.joints;
      if (lane == k * setup_.joints) asked = cameras_asked(state_.tracks[k].id);
      std::uint64_t& support = state_.supports[lane];
      support &= ~asked;
      if (at(kCount, lane) < 1.0 || at(kInliers, lane) == -1.0) continue;
      double confidence = 0.0;
      double count = 0.0;
      for (std::size_t f = 0; f < frames_; ++f) {
        const FrameWork& w = work_[f];
        if (!(w.view.at(kR2, lane) <= 2.0 * kCore)) continue;
        support |= std::uint64_t{1} << w.camera;
        confidence += confidence_of(w, k, lane - k * setup_.joints);
        count += 1.0;
      }
      if (count == 0.0) continue;
      state_.joints.at(kUnseen, lane) = 0.0;
      state_.joints.at(kConfidence, lane) = confidence / count;
    }
  }

  double confidence_of(const FrameWork& w, std::size_t k, std::size_t joint) const {
    const auto n = static_cast<std::size_t>(w.detection_of[k]);
    const std::size_t j =
        w.flipped[n] ? static_cast<std::size_t>(setup_.options.skeleton.mirror[joint]) : joint;
    return w.frame->keypoints.at(2, w.frame->lane(n) + j);
  }

  void learn_noise() {
    if (!teaching_) return;
    for (std::size_t f = 0; f < frames_; ++f) {
      const FrameWork& w = work_[f];
      NoiseModel::Lesson lesson;
      const double* r2 = w.view.row(kR2);
      const double* share = w.view.row(kShare);
      const double* inv = w.view.row(kInv);
      for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
        if (w.detection_of[k] < 0) continue;
        const auto n = static_cast<std::size_t>(w.detection_of[k]);
        const bool flipped = w.flipped[n] != 0;
        for (std::size_t j = 0; j < setup_.joints; ++j) {
          const std::size_t lane = k * setup_.joints + j;
          if (!(inv[lane] > 0.0) || r2[lane] > kCore || !(share[lane] > kLeastShare)) continue;
          if (at(kInliers, lane) < 0.0) continue;
          const std::size_t from =
              w.frame->lane(n) +
              (flipped ? static_cast<std::size_t>(setup_.options.skeleton.mirror[j]) : j);
          const std::size_t band = static_cast<std::size_t>(w.frame->bands[from]) - 1;
          lesson.sum[band] += r2[lane] / inv[lane];
          lesson.share[band] += NoiseModel::truncated(share[lane]);
          lesson.count[band] += 1.0;
        }
      }
      state_.noise.learn(w.camera, lesson);
    }
  }

  // The views move a prediction, on average, by what they take from its covariance:
  // E |move|^2 = tr P - tr P'. Where they move it farther, joints of this kind are livelier than
  // assumed.
  void learn_liveliness() {
    if (!(dt_s_ > 0.0)) return;
    std::array<double, Liveliness::kKinds> moved{};
    std::array<double, Liveliness::kKinds> expected{};
    const double* move2 = scratch_.rows.row(1);
    const double* lost = scratch_.rows.row(2);
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const Track& track = state_.tracks[k];
      if (!track.confirmed() || state_.time_ns - track.born_ns < kLivelyAge_ns) continue;
      for (std::size_t j = 0; j < setup_.joints; ++j) {
        const std::size_t lane = k * setup_.joints + j;
        if (at(kCount, lane) < 1.0 || at(kInliers, lane) < at(kCount, lane)) continue;
        if (!(lost[lane] > 0.0) || state_.joints.at(kFresh, lane) > 0.0) continue;
        const auto kind = static_cast<std::size_t>(setup_.kinds[j]);
        moved[kind] += std::min(move2[lane], kLivelyCap * lost[lane]);
        expected[kind] += lost[lane];
      }
    }
    const double rate = std::min(dt_s_ / kLivelyMemory_s, 0.2);
    for (std::size_t kind = 0; kind < moved.size(); ++kind) {
      if (!(expected[kind] > 0.0)) continue;
      const double ratio = std::clamp(moved[kind] / expected[kind], 0.25, 4.0);
      double& factor = state_.liveliness.factor[kind];
      factor = std::clamp(factor * (1.0 + rate * (ratio - 1.0)), kLeastLively, kMostLively);
    }
  }

  State& state_;
  const Setup& setup_;
  std::vector<FrameWork>& work_;
  std::size_t frames_;
  double dt_s_;
  UpdateScratch& scratch_;
  std::size_t lanes_;
  bool teaching_ = true;
  std::array<const double*, kMaxCameras> images_{};
  std::array<double*, kMaxCameras> views_{};
};

}  // namespace

void update_joints(State& state, const Setup& setup, std::vector<FrameWork>& work,
                   std::size_t frames, double dt_s, UpdateScratch& scratch) {
  if (state.tracks.empty() || frames == 0) return;
  Update(state, setup, work, frames, dt_s, scratch).run();
}

}  // namespace tipoff
