// Where inference pays: which people to pose in which views of the next frame-set, and which
// cameras to search as a whole.
//
// Everything is weighed in one currency, the expected mean joint error of a person, m. A pose takes
// off what its information would take off the joints' covariances; a search takes off what it costs
// to go on not knowing somebody. `make_plan` is a pure function: no state, no clock, no randomness.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "camera.hpp"

namespace tipoff {

// A camera that was never searched has this for the time of its last search.
inline constexpr std::int64_t kNeverSearched = INT64_MIN;

// Why something was chosen: the largest part of its gain.
enum class PlanReason : std::int32_t {
  uncertain,  // its joints are less sure than others'
  fresh,      // new, not certain yet or known for a short time only
  unseen,     // no view held it for a while
  crowded,    // in most other views it is hidden or stands among others
  due,        // somebody new may have come since the last search
  unmatched,  // another camera saw somebody whom no track explains
  lost,       // a track is about to be lost, or was
};

struct PlanJoint {
  Vec3 p;
  Sym3 covariance;
};

// A person as expected at the time that is planned for.
struct PlanTrack {
  std::int64_t id = -1;    // -1 while it is not certain
  bool suspected = false;  // placed by one view alone
  double chance = 1.0;     // that it is where it is expected
  int views_wanted = 0;    // views that would still have to hold it to make it certain
  bool reported = true;    // false: lost, no more told, not posed; somebody to be found again
  std::int64_t age_ns = 0;
  std::int64_t unseen_ns = 0;
  std::vector<PlanJoint> joints;
};

// A detection that no track explains.
struct PlanSuspect {
  int camera = 0;
  std::int64_t time_ns = 0;
  double chance = 0.0;  // that it is somebody; not for those who are among the tracks
};

struct PlanScene {
  std::int64_t time_ns = 0;
  std::int64_t interval_ns = 0;  // between frame-sets
  std::vector<std::pair<int, int>> limbs;
  std::vector<PlanTrack> tracks;
  std::vector<PlanSuspect> suspects;
  // By camera.
  std::vector<double> sigma_px;              // keypoint noise
  std::vector<std::int64_t> last_search_ns;  // kNeverSearched: never
};

// Part of the people that a detector finds by their height in its input, px: linear between points,
// through (0, 0), flat beyond the last.
using RecallCurve = std::vector<std::pair<double, double>>;

struct PlanBudget {
  double inference_ms = 0.0;      // what may be spent
  double overdraft_ms = 0.0;      // how far the last choice may go beyond
  double pose_ms = 0.0;           // posing one person in one view
  double request_ms = 0.0;        // asking for poses in a view at all, once a view
  std::vector<double> detect_ms;  // searching a camera, by camera
  std::vector<char> available;    // by camera: has a frame
  double detect_scale = 1.0;      // detector's input over the frame, pixels
  RecallCurve recall;
  double entries_per_s = 0.0;        // how often somebody comes whom nobody knows
  double missing_m = 0.5;            // what not knowing a person counts as, mean joint error
  double least_gain_m_per_ms = 0.0;  // a choice that brings less is left
};

struct PlannedPose {
  int camera = 0;
  std::size_t track = 0;  // into the scene's
  std::int64_t id = -1;
  double x0 = 0.0, y0 = 0.0, x1 = 0.0, y1 = 0.0;  // around the body, margin included
  double gain_m = 0.0;                            // at the moment of its choice
  PlanReason reason = PlanReason::uncertain;
};

struct PlannedDetect {
  int camera = 0;
  double gain_m = 0.0;
  PlanReason reason = PlanReason::due;
};

struct Plan {
  std::vector<PlannedPose> poses;      // in the order of their choice: best for its cost first
  std::vector<PlannedDetect> detects;  // the same
  double cost_ms = 0.0;
  double gain_m = 0.0;            // of everything, in persons x m
  double error_before_m = 0.0;    // expected mean joint error of the people told, nothing asked
  double error_after_m = 0.0;     // after what is planned
  double expected_unknown = 0.0;  // people expected to be there whom nobody knows
};

Plan make_plan(const PlanScene& scene, const Rig& rig, const PlanBudget& budget);

}  // namespace tipoff
