#include "smooth.hpp"

#include <algorithm>

namespace tipoff {
namespace {

void take_tracks(const State& state, Moment& out) {
  out.tracks = state.tracks;
  out.supports = state.supports;
  out.limbs = state.limbs;
  out.joints = state.joints;
}

double seconds(std::int64_t ns) {
  return 1e-9 * static_cast<double>(ns);
}

// Brings the filters of `later` (with its tracks) into the order of `tracks`; lanes whose track is
// not there, or whose filter was started anew, are cut.
void align(const std::vector<Track>& tracks, const std::vector<Track>& later_tracks,
           const Lanes& later, const Lanes* fresh, std::size_t joints, Lanes& out, Lanes& cut) {
  const std::size_t lanes = tracks.size() * joints;
  out.clear(lanes);
  cut.clear(lanes);
  for (std::size_t i = 0; i < cut.stride(); ++i) cut.at(0, i) = 1.0;
  std::size_t next = 0;
  for (std::size_t k = 0; k < tracks.size(); ++k) {
    // Keys ascend in both lists, but for what was removed.
    while (next < later_tracks.size() && later_tracks[next].key < tracks[k].key) ++next;
    if (next == later_tracks.size()) break;
    if (later_tracks[next].key != tracks[k].key) continue;
    for (std::size_t r = 0; r < kFilterRows; ++r) {
      std::memcpy(out.row(r) + k * joints, later.row(r) + next * joints, joints * sizeof(double));
    }
    for (std::size_t j = 0; j < joints; ++j) {
      cut.at(0, k * joints + j) = fresh == nullptr ? 0.0 : fresh->at(kFresh, next * joints + j);
    }
  }
}

// One step back from `later`, aligned and cut, over the state or moment at hand; in place.
void step_back(const State& at, const Setup& setup, double dt_s, SmoothScratch& s) {
  const std::size_t lanes = at.joints.stride();
  s.predicted.reserve(lanes);
  move_joints(at, s.predicted, setup, dt_s, s.motion);
  s.result.reserve(lanes);
  SmoothArgs args{};
  args.filtered = at.joints.data();
  args.predicted = s.predicted.data();
  args.later = s.later.data();
  args.out = s.result.data();
  args.cut = s.cut.row(0);
  args.stride = static_cast<long>(lanes);
  args.lanes = static_cast<long>(padded(at.tracks.size() * setup.joints));
  args.dt_s = std::clamp(dt_s, 0.0, kLongestStep_s);
  args.keep = kept_velocity(dt_s);
  setup.kernels->smooth(args);
}

// Identities and limb lengths as they are known by the end.
void learn_from_end(const State& last, const Setup& setup, Moment& out) {
  for (std::size_t k = 0; k < out.tracks.size(); ++k) {
    for (std::size_t i = 0; i < last.tracks.size(); ++i) {
      if (last.tracks[i].key != out.tracks[k].key) continue;
      out.tracks[k].id = last.tracks[i].id;
      for (std::size_t l = 0; l < setup.limbs; ++l) {
        for (std::size_t r = 0; r < kLimbRows; ++r) {
          out.limbs.at(r, k * setup.limbs + l) = last.limbs.at(r, i * setup.limbs + l);
        }
      }
    }
  }
}

}  // namespace

void predict_moment(const State& state, const Setup& setup, std::int64_t time_ns,
                    SmoothScratch& scratch, Moment& out) {
  take_tracks(state, out);
  out.time_ns = time_ns;
  const double dt_s = seconds(time_ns - state.time_ns);
  if (state.tracks.empty() || dt_s <= 0.0) return;
  move_joints(state, out.joints, setup, dt_s, scratch.motion);
  double* unseen = out.joints.row(kUnseen);
  for (std::size_t i = 0; i < out.joints.stride(); ++i) unseen[i] += dt_s;
  apply_habits(out.tracks, out.joints, setup, dt_s, scratch.motion);
}

void smooth_moment(const std::vector<const State*>& states, const Setup& setup,
                   std::int64_t time_ns, SmoothScratch& s, Moment& out) {
  std::size_t first = 0;
  while (first + 1 < states.size() && states[first + 1]->time_ns <= time_ns) ++first;
  // What was known at the time asked, by prediction alone, as a state of its own.
  State here = *states[first];
  here.time_ns = time_ns;
  const double dt_s = seconds(time_ns - states[first]->time_ns);
  if (dt_s > 0.0 && !here.tracks.empty()) {
    move_joints(*states[first], here.joints, setup, dt_s, s.motion);
  }
  // Backwards from the last; `later` holds the smoothed filters of `owner`'s tracks.
  const State* owner = states.back();
  Lanes smoothed(kFilterRows);
  smoothed.reserve(owner->joints.stride());
  if (owner->joints.stride() > 0) {
    std::memcpy(smoothed.data(), owner->joints.data(),
                kFilterRows * owner->joints.stride() * sizeof(double));
  }
  for (std::size_t i = states.size() - 1; i > first; --i) {
    const State& at = i - 1 == first ? here : *states[i - 1];
    if (at.tracks.empty()) {
      owner = &at;
      continue;
    }
    align(at.tracks, owner->tracks, smoothed, &owner->joints, setup.joints, s.later, s.cut);
    step_back(at, setup, seconds(states[i]->time_ns - at.time_ns), s);
    smoothed = s.result;
    owner = &at;
  }
  take_tracks(here, out);
  out.time_ns = time_ns;
  if (states.size() - 1 > first && !here.tracks.empty()) {
    for (std::size_t r = 0; r < kFilterRows; ++r) {
      std::memcpy(out.joints.row(r), smoothed.row(r), out.joints.stride() * sizeof(double));
    }
  }
  learn_from_end(*states.back(), setup, out);
}

}  // namespace tipoff
