#include "advance.hpp"

#include <algorithm>

#include "associate.hpp"
#include "birth.hpp"
#include "health_swap.hpp"
#include "motion.hpp"
#include "solve.hpp"

namespace tipoff {
namespace {

// Existence, in views: what a view that holds a track adds, what one that should and does not
// takes.
constexpr double kHit = 1.0;
constexpr double kMiss = 0.4;
constexpr double kExistenceLow = -3.0;
constexpr double kExistenceHigh = 10.0;
constexpr double kCertain = 5.0;
constexpr double kDoubtful = -1.0;
// A tentative track that no view held for this long is given up.
constexpr std::int64_t kTentative_ns = 160'000'000;
// A confirmed track that no two views held for this many times `max_lost_ns` is given up.
constexpr std::int64_t kUnpaired = 3;
// How long a leftover waits for a partner in another view, in frame intervals, and at most.
constexpr double kLeftoverIntervals = 0.75;
constexpr std::int64_t kLeftoverLeast_ns = 40'000'000;
constexpr std::int64_t kLeftoverMost_ns = 300'000'000;
// A solve without the prior must explain the views better by this much before it restarts a joint.
constexpr double kRestartMargin = 6.0;
constexpr double kPriorCap = 16.0;
constexpr double kRestartSpeed_mps = 4.0;
// A lost track is taken up again within this distance plus what it may have run.
constexpr double kReunite_m = 0.6;
constexpr double kReunite_mps = 4.0;
constexpr double kReuniteMost_m = 4.0;
// Two tracks whose joints are this close on average are one body.
constexpr double kSameBody_m = 0.15;
constexpr double kMaxEvidence = 50.0;
// Cameras that a doubtful frame is tried as.
constexpr int kGuesses = 4;

double seconds(std::int64_t ns) {
  return 1e-9 * static_cast<double>(ns);
}

// Everything one step needs beside the state.
class Step {
 public:
  Step(State& state, const Rig& rig, const TrackerOptions& options,
       const std::vector<FramePtr>& frames)
      : state_(state),
        rig_(rig),
        options_(options),
        frames_(frames),
        now_ns_(frames.back()->time_ns) {
    dt_s_ = state.time_ns == kNever ? 0.0 : seconds(now_ns_ - state.time_ns);
  }

  void run(std::vector<Assigned>& assigned) {
    for (Track& track : state_.tracks) {
      move_track(track, options_.skeleton, dt_s_);
      apply_habits(track, options_.skeleton, now_ns_, dt_s_);
    }
    state_.time_ns = now_ns_;
    for (const FramePtr& frame : frames_) learn_interval(*frame);
    match_frames();
    state_.health.begin(rig_, now_ns_);
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) update_track(k);
    for (std::size_t f = 0; f < frames_.size(); ++f) count_health(f);
    report(assigned);
    collect_leftovers();
    bear();
    remove_duplicates();
    bury();
  }

 private:
  void learn_interval(const Frame& frame) {
    const auto c = static_cast<std::size_t>(frame.camera);
    std::int64_t& last = state_.last_frame_ns[c];
    if (last != kNever) {
      const std::int64_t gap = frame.time_ns - last;
      std::int64_t& interval = state_.interval_ns[c];
      interval = interval == 0 ? gap : interval + (gap - interval) / 8;
    }
    last = frame.time_ns;
  }

  void match_frames() {
    matches_.resize(frames_.size());
    images_.resize(frames_.size());
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      const Frame& frame = *frames_[f];
      const Camera& camera = camera_of(frame);
      images_[f].resize(state_.tracks.size());
      for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
        image_of(state_.tracks[k], camera, seconds(frame.time_ns - now_ns_), images_[f][k]);
      }
      matches_[f] = match(state_, options_, frame, images_[f]);
    }
  }

  const Camera& camera_of(const Frame& frame) const {
    return rig_.cameras[static_cast<std::size_t>(frame.camera)];
  }

  // The detection of frame f that track k holds, -1 for none.
  int detection_of(std::size_t f, std::size_t k) const {
    const std::vector<int>& track_of = matches_[f].track_of;
    for (std::size_t n = 0; n < track_of.size(); ++n) {
      if (track_of[n] == static_cast<int>(k)) return static_cast<int>(n);
    }
    return -1;
  }

  void update_track(std::size_t k) {
    Track& track = state_.tracks[k];
    held_.assign(frames_.size(), -1);
    int hits = 0;
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      held_[f] = detection_of(f, k);
      if (held_[f] >= 0) {
        ++hits;
        add_evidence(track, f);
        track.existence += kHit;
      } else if (expected(f, k)) {
        track.existence -= kMiss;
      }
    }
    track.existence = std::clamp(track.existence, kExistenceLow, kExistenceHigh);
    if (hits == 0) return;
    for (std::size_t j = 0; j < track.joints.size(); ++j) update_joint(track, j);
    if (hits >= 2 || supported_lately(track) >= 2) track.paired_ns = now_ns_;
    track.seen_ns = now_ns_;
    learn_body(track, options_.skeleton, now_ns_, dt_s_);
    if (!track.confirmed() && track.existence >= kCertain) confirm(k);
  }

  // Whether most of the track's body should be seen in frame f.
  bool expected(std::size_t f, std::size_t k) const {
    const TrackImage& image = images_[f][k];
    if (2 * image.inside < static_cast<int>(image.points.size())) return false;
    int open = 0;
    for (std::size_t j = 0; j < image.points.size(); ++j) {
      if (image.points[j].inside &&
          !hidden(images_[f], options_.skeleton, camera_of(*frames_[f]), k, j)) {
        ++open;
      }
    }
    return 2 * open >= static_cast<int>(image.points.size());
  }

  void add_evidence(Track& track, std::size_t f) {
    const Frame& frame = *frames_[f];
    if (frame.roster == 0) return;
    const auto roster = static_cast<std::size_t>(frame.roster);
    if (track.evidence.size() < roster) track.evidence.resize(roster, 0.0);
    const std::size_t row = static_cast<std::size_t>(held_[f]) * roster;
    double best = -kMaxEvidence;
    for (std::size_t r = 0; r < roster; ++r) {
      const double e = static_cast<double>(frame.evidence[row + r]);
      if (std::isfinite(e)) track.evidence[r] += std::clamp(e, -kMaxEvidence, kMaxEvidence);
      best = r == 0 ? track.evidence[r] : std::max(best, track.evidence[r]);
    }
    for (double& e : track.evidence) e = std::max(e - best, -kMaxEvidence);
  }

  // Cameras that supported at least one joint within the last two of their frame intervals.
  int supported_lately(const Track& track) const {
    const std::size_t cameras = rig_.cameras.size();
    int count = 0;
    for (std::size_t c = 0; c < cameras; ++c) {
      bool held = false;
      for (std::size_t j = 0; j < track.joints.size() && !held; ++j) {
        const std::int64_t at = track.supported_ns[j * cameras + c];
        held = at != kNever && now_ns_ - at <= 2 * state_.interval_ns[c] + kGroupWindow_ns;
      }
      if (held) ++count;
    }
    return count;
  }

  void gather(std::size_t joint) {
    views_.count = 0;
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      if (held_[f] < 0) continue;
      const auto n = static_cast<std::size_t>(held_[f]);
      const Frame& frame = *frames_[f];
      const std::size_t source = matches_[f].flipped[n]
                                     ? static_cast<std::size_t>(options_.skeleton.mirror[joint])
                                     : joint;
      const Keypoint& keypoint = frame.of(n)[source];
      if (keypoint.confidence <= 0.0) continue;
      const Camera& camera = camera_of(frame);
      const std::int64_t row = frame.time_ns - now_ns_ + row_delay_ns(camera, keypoint.uv.y);
      const auto slot = static_cast<std::size_t>(views_.count++);
      views_.items[slot] = {&camera, keypoint.uv,
                            state_.noise.sigma_px(frame.camera, keypoint.confidence) *
                                state_.health.sigma_scale(frame.camera),
                            seconds(row), static_cast<int>(f)};
      confidences_[slot] = keypoint.confidence;
    }
  }

  void update_joint(Track& track, std::size_t j) {
    gather(j);
    if (views_.count == 0) return;
    Joint& joint = track.joints[j];
    JointFilter& filter = joint.filter;
    PointPrior prior{filter.p, filter.v, filter.pp, {}};
    if (!invert(filter.pp, prior.information)) return;
    const bool solved = solve_point(views_, &prior, filter.v, filter.p, solution_);
    if (views_.count >= 2 && (!solved || solution_.inliers + 1 < views_.count ||
                              prior_cost(prior, solution_.point) > kPriorCap)) {
      if (restart(filter, prior, solved)) {
        ++state_.counters.restarted;
        note_health(track, filter.v);
        note_support(track, j);
        return;
      }
    }
    if (!solved) return;
    Sym3 posterior;
    if (!invert(prior.information + solution_.information, posterior)) return;
    filter.condition(solution_.point, posterior);
    learn_noise(posterior, filter.v);
    note_health(track, filter.v);
    note_support(track, j);
  }

  // Tells the rig's health by how much every view missed the joint just solved.
  void note_health(const Track& track, Vec3 velocity) {
    if (!track.confirmed()) return;
    residuals_.clear();
    for (int i = 0; i < views_.count; ++i) {
      const Sighting& s = views_.items[static_cast<std::size_t>(i)];
      Vec2 uv;
      if (!project(*s.camera, solution_.point + s.dt_s * velocity, uv)) continue;
      const int camera = frames_[static_cast<std::size_t>(s.slot)]->camera;
      residuals_.push_back({camera, s.uv - uv, s.sigma_px / state_.health.sigma_scale(camera)});
    }
    state_.health.observe(track.key, solution_.point, velocity, residuals_);
  }

  // Counts what frame f shows of the confirmed tracks; where that is little, tries some cameras
  // whose pictures these might be.
  void count_health(std::size_t f) {
    const Frame& frame = *frames_[f];
    FrameCounts counts;
    counts.detections = static_cast<int>(frame.detections.size());
    std::vector<char> holds(state_.tracks.size(), 0);
    for (std::size_t n = 0; n < frame.detections.size(); ++n) {
      const int k = matches_[f].track_of[n];
      if (k >= 0) holds[static_cast<std::size_t>(k)] = 1;
      const bool known = k >= 0 && state_.tracks[static_cast<std::size_t>(k)].confirmed();
      if (known || matches_[f].explained[n] != 0) ++counts.explained;
    }
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      if (!state_.tracks[k].confirmed()) continue;
      if (holds[k] != 0) ++counts.held;
      if (holds[k] != 0 || expected(f, k)) ++counts.expected;
    }
    state_.health.count(frame.camera, counts);
    if (counts.detections > 0 && state_.health.doubtful(frame.camera)) guess(frame);
  }

  void guess(const Frame& frame) {
    std::vector<ImagePoint> detections(frame.keypoints.size());
    for (std::size_t i = 0; i < detections.size(); ++i) {
      detections[i] = {frame.keypoints[i].uv, frame.keypoints[i].confidence > 0.0};
    }
    std::vector<ImagePoint> images;
    TrackImage image;
    for (int tries = 0; tries < kGuesses; ++tries) {
      const int other = state_.health.next_guess(frame.camera);
      if (other < 0) return;
      images.clear();
      for (const Track& track : state_.tracks) {
        if (!track.confirmed()) continue;
        image_of(track, rig_.cameras[static_cast<std::size_t>(other)],
                 seconds(frame.time_ns - now_ns_), image);
        for (const TrackImage::Point& point : image.points) {
          images.push_back({point.uv, point.valid});
        }
      }
      const double share = explained_as(detections, images, static_cast<std::size_t>(frame.joints));
      state_.health.guessed(frame.camera, other, static_cast<int>(frame.detections.size()), share);
    }
  }

  static double prior_cost(const PointPrior& prior, Vec3 point) {
    const Vec3 d = point - prior.point;
    return dot(d, prior.information * d);
  }

  // Solves without the prior, and starts the joint anew there if that explains the views so much
  // better that the prediction must have been wrong.
  bool restart(JointFilter& filter, const PointPrior& prior, bool solved) {
    PointSolution fresh;
    if (!solve_free(views_, filter.v, fresh)) return false;
    const double before =
        solved ? solution_.cost + std::min(prior_cost(prior, solution_.point), 4.0 * kPriorCap)
               : 1e30;
    const double after = fresh.cost + std::min(prior_cost(prior, fresh.point), kPriorCap);
    if (!(after + kRestartMargin < before)) return false;
    Sym3 covariance;
    if (!invert(fresh.information, covariance)) return false;
    if (covariance.trace() > 3.0 * 0.3 * 0.3) return false;
    filter.start(fresh.point, filter.v, covariance, kRestartSpeed_mps);
    solution_ = fresh;
    return true;
  }

  void learn_noise(const Sym3& posterior, Vec3 velocity) {
    if (solution_.inliers < 3) return;
    for (int i = 0; i < views_.count; ++i) {
      const auto slot = static_cast<std::size_t>(i);
      const Sighting& s = views_.items[slot];
      if (solution_.r2[slot] > kCore) continue;
      const int accused = frames_[static_cast<std::size_t>(s.slot)]->camera;
      if (state_.health.sigma_scale(accused) > 1.0) continue;
      Projection image;
      if (!project(*s.camera, solution_.point + s.dt_s * velocity, image)) continue;
      const double variance = s.sigma_px * s.sigma_px;
      const double leverage =
          (dot(image.du, posterior * image.du) + dot(image.dv, posterior * image.dv)) / variance;
      const Frame& frame = *frames_[static_cast<std::size_t>(s.slot)];
      state_.noise.learn(frame.camera, confidences_[slot], solution_.r2[slot] * variance,
                         2.0 - leverage);
    }
  }

  void note_support(Track& track, std::size_t j) {
    const std::size_t cameras = rig_.cameras.size();
    double confidence = 0.0;
    int count = 0;
    for (int i = 0; i < views_.count; ++i) {
      const auto slot = static_cast<std::size_t>(i);
      if (solution_.r2[slot] > 2.0 * kCore) continue;
      const Frame& frame = *frames_[static_cast<std::size_t>(views_.items[slot].slot)];
      track.supported_ns[j * cameras + static_cast<std::size_t>(frame.camera)] = frame.time_ns;
      confidence += confidences_[slot];
      ++count;
    }
    if (count == 0) return;
    track.joints[j].seen_ns = now_ns_;
    track.joints[j].confidence = confidence / count;
  }

  void report(std::vector<Assigned>& assigned) {
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      Assigned entry;
      entry.frame = frames_[f];
      entry.keys.assign(static_cast<std::size_t>(frames_[f]->rows), -1);
      const Match& m = matches_[f];
      for (std::size_t n = 0; n < m.track_of.size(); ++n) {
        const auto row = static_cast<std::size_t>(frames_[f]->detections[n].source);
        if (m.track_of[n] < 0) {
          ++state_.counters.unassigned;
          continue;
        }
        ++state_.counters.assigned;
        if (m.flipped[n]) ++state_.counters.flipped;
        entry.keys[row] = state_.tracks[static_cast<std::size_t>(m.track_of[n])].key;
      }
      assigned.push_back(std::move(entry));
    }
    assigned_ = &assigned;
  }

  // Keeps what belongs to nobody for a partner in another view; each camera's newest frame only.
  void collect_leftovers() {
    std::vector<Leftover> kept;
    for (const Leftover& leftover : state_.leftovers) {
      const auto c = static_cast<std::size_t>(leftover.frame->camera);
      const auto patience = static_cast<std::int64_t>(kLeftoverIntervals *
                                                      static_cast<double>(state_.interval_ns[c]));
      const std::int64_t limit = std::clamp(patience, kLeftoverLeast_ns, kLeftoverMost_ns);
      const bool renewed = std::any_of(frames_.begin(), frames_.end(), [&](const FramePtr& frame) {
        return frame->camera == leftover.frame->camera;
      });
      if (!renewed && now_ns_ - leftover.frame->time_ns <= limit) kept.push_back(leftover);
    }
    for (std::size_t f = 0; f < frames_.size(); ++f) {
      const Match& m = matches_[f];
      for (std::size_t n = 0; n < m.track_of.size(); ++n) {
        if (m.track_of[n] < 0 && !m.explained[n]) kept.push_back({frames_[f], n});
      }
    }
    state_.leftovers = std::move(kept);
  }

  void bear() {
    const std::vector<Proposal> proposals = propose(state_.leftovers, rig_, options_);
    std::vector<char> used(state_.leftovers.size(), 0);
    for (const Proposal& proposal : proposals) {
      if (state_.tracks.size() >= static_cast<std::size_t>(kMaxTracks)) break;
      Track track = make_track(proposal, state_.leftovers, rig_, state_, options_, now_ns_);
      if (track.joints.empty()) continue;
      for (const std::size_t m : proposal.members) used[m] = 1;
      const auto views = static_cast<int>(proposal.members.size());
      track.key = state_.next_key++;
      track.existence = kHit * views;
      claim(track, proposal);
      learn_body(track, options_.skeleton, now_ns_, 0.0);
      state_.tracks.push_back(std::move(track));
      if (views >= options_.certain_views) confirm(state_.tracks.size() - 1);
    }
    std::size_t write = 0;
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) state_.leftovers[write++] = state_.leftovers[i];
    }
    state_.leftovers.resize(write);
  }

  // The detections of this step that a new track was made of are its own.
  void claim(const Track& track, const Proposal& proposal) {
    for (const std::size_t m : proposal.members) {
      const Leftover& leftover = state_.leftovers[m];
      for (Assigned& entry : *assigned_) {
        if (entry.frame != leftover.frame) continue;
        const int row = leftover.frame->detections[leftover.detection].source;
        entry.keys[static_cast<std::size_t>(row)] = track.key;
        ++state_.counters.assigned;
        --state_.counters.unassigned;
      }
    }
  }

  // Makes a track public: under the identity of the lost one that it is likely to be, or a new one.
  void confirm(std::size_t k) {
    Track& track = state_.tracks[k];
    const std::size_t lost = find_lost(track);
    if (lost == state_.tracks.size()) {
      track.id = state_.next_id++;
      ++state_.counters.births;
      return;
    }
    Track& old = state_.tracks[lost];
    track.id = old.id;
    track.evidence = old.evidence;
    track.limbs = old.limbs;
    old.id = -1;
    old.existence = kExistenceLow;
    old.seen_ns = kNever;
  }

  std::size_t find_lost(const Track& track) const {
    Vec3 centre;
    double variance = 0.0;
    std::size_t best = state_.tracks.size();
    double best_distance = kReuniteMost_m;
    if (!trunk_centre(track, options_.skeleton, centre, variance)) return best;
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const Track& old = state_.tracks[k];
      if (!old.confirmed() || now_ns_ - old.seen_ns <= options_.max_coast_ns) continue;
      Vec3 place;
      trunk_centre(old, options_.skeleton, place, variance);
      const double reach = kReunite_m + kReunite_mps * seconds(now_ns_ - old.seen_ns);
      const double distance = norm(place - centre);
      if (distance < std::min(reach, best_distance) && !contradicts(track, old)) {
        best = k;
        best_distance = distance;
      }
    }
    return best;
  }

  // Whether the roster's evidence clearly names two different people.
  static bool contradicts(const Track& a, const Track& b) {
    if (a.evidence.empty() || a.evidence.size() != b.evidence.size()) return false;
    constexpr double kClear = 3.0;
    double joint = -2.0 * kMaxEvidence;
    for (std::size_t r = 0; r < a.evidence.size(); ++r) {
      joint = std::max(joint, a.evidence[r] + b.evidence[r]);
    }
    return joint < -kClear;
  }

  static double mean_distance(const Track& a, const Track& b) {
    double sum = 0.0;
    for (std::size_t j = 0; j < a.joints.size(); ++j) {
      sum += norm(a.joints[j].filter.p - b.joints[j].filter.p);
    }
    return sum / static_cast<double>(a.joints.size());
  }

  void remove_duplicates() {
    for (std::size_t a = 0; a < state_.tracks.size(); ++a) {
      for (std::size_t b = a + 1; b < state_.tracks.size(); ++b) {
        Track& first = state_.tracks[a];
        Track& second = state_.tracks[b];
        if (first.seen_ns == kNever || second.seen_ns == kNever) continue;
        if (mean_distance(first, second) > kSameBody_m) continue;
        const bool keep_first = first.confirmed() != second.confirmed()
                                    ? first.confirmed()
                                    : first.existence >= second.existence;
        (keep_first ? second : first).seen_ns = kNever;
      }
    }
  }

  void bury() {
    const auto gone = [&](const Track& track) {
      if (track.seen_ns == kNever) return true;
      const std::int64_t unseen = now_ns_ - track.seen_ns;
      if (!track.confirmed()) return unseen > kTentative_ns || track.existence <= kDoubtful;
      return unseen > options_.max_lost_ns ||
             now_ns_ - track.paired_ns > kUnpaired * options_.max_lost_ns;
    };
    const auto kept = std::stable_partition(state_.tracks.begin(), state_.tracks.end(),
                                            [&](const Track& track) { return !gone(track); });
    for (auto it = kept; it != state_.tracks.end(); ++it) {
      if (it->confirmed()) ++state_.counters.deaths;
    }
    state_.tracks.erase(kept, state_.tracks.end());
  }

  State& state_;
  const Rig& rig_;
  const TrackerOptions& options_;
  const std::vector<FramePtr>& frames_;
  std::int64_t now_ns_;
  double dt_s_ = 0.0;
  std::vector<Match> matches_;
  std::vector<std::vector<TrackImage>> images_;  // by frame and track
  std::vector<int> held_;                        // by frame: the detection of the track at hand
  Sightings views_;
  std::array<double, 64> confidences_{};
  PointSolution solution_;
  std::vector<Residual> residuals_;
  std::vector<Assigned>* assigned_ = nullptr;
};

}  // namespace

void advance(State& state, const Rig& rig, const TrackerOptions& options,
             const std::vector<FramePtr>& frames, std::vector<Assigned>& assigned) {
  if (!frames.empty()) Step(state, rig, options, frames).run(assigned);
}

}  // namespace tipoff
