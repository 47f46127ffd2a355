#include "plan.hpp"

#include <algorithm>
#include <cmath>

#include "plan_search.hpp"
#include "plan_views.hpp"

namespace tipoff {
namespace {

// What no view improves on, m: a joint's error is never thought smaller than about this.
constexpr double kFloor_m = 0.01;
// Margin around the joints as a part of the body's size in the image, and in standard deviations.
constexpr double kBoxMargin = 0.12;
constexpr double kBoxStds = 1.5;
// Somebody is new for this long, and unseen after that long, ns.
constexpr std::int64_t kFresh_ns = 500'000'000;
constexpr std::int64_t kUnseen_ns = 100'000'000;
// A view in which less of a body is open than this is a crowded one.
constexpr double kCrowded = 0.65;
// One axis' part of an error, 1 / sqrt(3).
constexpr double kPerAxis = 0.577;
// Error of a joint whose covariance says nothing, m.
constexpr double kAnywhere_m = 1.0;

// Expected error of a joint with this inverse covariance, m: the root of the covariance's trace.
double error_m(const Sym3& a) {
  const double cxx = a.yy * a.zz - a.yz * a.yz;
  const double cxy = a.xz * a.yz - a.xy * a.zz;
  const double cxz = a.xy * a.yz - a.xz * a.yy;
  const double det = a.xx * cxx + a.xy * cxy + a.xz * cxz;
  const double minors = cxx + (a.xx * a.zz - a.xz * a.xz) + (a.xx * a.yy - a.xy * a.xy);
  if (!(det > 0.0) || !(minors > 0.0)) return kAnywhere_m;
  return std::min(std::sqrt(minors / det + kFloor_m * kFloor_m), kAnywhere_m);
}

// One way to spend the budget: searches first, then poses, the best for their cost first.
class Draft {
 public:
  Draft(const PlanScene& scene, const PlanViews& views, const PlanBudget& budget)
      : scene_(scene), views_(views), budget_(budget) {
    cameras_ = budget.available.size();
    tracks_ = scene.tracks.size();
    for (const PlanTrack& track : scene.tracks) joints_ = std::max(joints_, track.joints.size());
    known_.resize(tracks_ * joints_);
    errors_.resize(tracks_ * joints_);
    wanted_.resize(tracks_);
    searched_.assign(cameras_, 0);
    asked_.assign(cameras_, 0);
    for (std::size_t k = 0; k < tracks_; ++k) start(k);
    plan_.error_before_m = mean_error();
  }

  // Searches these cameras. What it is worth to find new people comes on top of what the known
  // ones gain.
  void search(const std::vector<std::size_t>& cameras, double gain_m, PlanReason reason) {
    for (const std::size_t c : cameras) {
      searched_[c] = 1;
      double gain = gain_m / static_cast<double>(cameras.size());
      for (std::size_t k = 0; k < tracks_; ++k) gain += detect(c, k);
      plan_.detects.push_back({static_cast<int>(c), gain, reason});
      plan_.gain_m += gain;
      plan_.cost_ms += budget_.detect_ms[c];
    }
  }

  // Poses people while the budget lasts.
  void pose() {
    gains_.assign(cameras_ * tracks_, 0.0);
    for (std::size_t c = 0; c < cameras_; ++c) {
      for (std::size_t k = 0; k < tracks_; ++k) weigh(c, k);
    }
    for (std::size_t n = 0; n < gains_.size(); ++n) {
      const std::size_t best = best_pose();
      if (best == gains_.size() || !affords(cost_of(best / tracks_))) break;
      choose(best / tracks_, best % tracks_);
    }
    plan_.error_after_m = mean_error();
  }

  // What a millisecond more would bring, m.
  double price() const { return price_; }
  const Plan& plan() const { return plan_; }

 private:
  void start(std::size_t k) {
    const PlanTrack& track = scene_.tracks[k];
    wanted_[k] = track.views_wanted;
    for (std::size_t j = 0; j < track.joints.size(); ++j) {
      Sym3 information;
      if (!invert(track.joints[j].covariance, information)) {
        information = Sym3::diagonal(3.0 / (kAnywhere_m * kAnywhere_m));
      }
      known_[k * joints_ + j] = information;
      errors_[k * joints_ + j] = error_m(information);
    }
  }

  // How much less the mean error of a track's joints would be.
  double covariance_gain(std::size_t c, std::size_t k, double share) const {
    const std::size_t joints = scene_.tracks[k].joints.size();
    const Sym3* information = views_.information(c, k);
    double sum = 0.0;
    for (std::size_t j = 0; j < joints; ++j) {
      if (information[j].xx + information[j].yy + information[j].zz <= 0.0) continue;
      const Sym3 after = known_[k * joints_ + j] + share * information[j];
      sum += errors_[k * joints_ + j] - error_m(after);
    }
    return sum / static_cast<double>(joints);
  }

  // Towards being certain of somebody who is not: an equal part for each view still wanted.
  double making_gain(std::size_t k) const {
    const PlanTrack& track = scene_.tracks[k];
    return wanted_[k] > 0 ? budget_.missing_m / track.views_wanted : 0.0;
  }

  void weigh(std::size_t c, std::size_t k) {
    const PlanView& view = views_.view(c, k);
    if (!view.askable || searched_[c]) return;
    const double chance = view.chance * scene_.tracks[k].chance;
    gains_[c * tracks_ + k] = chance * (covariance_gain(c, k, 1.0) + making_gain(k) * view.open);
  }

  double cost_of(std::size_t c) const {
    return budget_.pose_ms + (asked_[c] ? 0.0 : budget_.request_ms);
  }

  bool affords(double cost) const {
    const double after = plan_.cost_ms + cost;
    return after <= budget_.inference_ms || (plan_.cost_ms < budget_.inference_ms &&
                                             after <= budget_.inference_ms + budget_.overdraft_ms);
  }

  // The candidate with the most gain for its cost; the number of candidates where none is worth it.
  std::size_t best_pose() {
    std::size_t best = gains_.size();
    double best_gain = 0.0;
    double best_cost = 1.0;
    for (std::size_t c = 0; c < cameras_; ++c) {
      const double cost = cost_of(c);
      for (std::size_t k = 0; k < tracks_; ++k) {
        const double gain = gains_[c * tracks_ + k];
        if (!(gain > 0.0) || gain < budget_.least_gain_m_per_ms * cost) continue;
        if (!(gain * best_cost > best_gain * cost)) continue;
        best = c * tracks_ + k;
        best_gain = gain;
        best_cost = cost;
      }
    }
    price_ = best < gains_.size() ? best_gain / std::max(best_cost, 1e-9) : 0.0;
    return best;
  }

  void choose(std::size_t c, std::size_t k) {
    const double gain = gains_[c * tracks_ + k];
    plan_.poses.push_back(pose_of(c, k, gain));
    plan_.gain_m += gain;
    plan_.cost_ms += cost_of(c);
    asked_[c] = 1;
    gains_[c * tracks_ + k] = 0.0;
    if (wanted_[k] > 0) --wanted_[k];
    add(c, k, views_.view(c, k).chance);
    for (std::size_t other = 0; other < cameras_; ++other) {
      if (gains_[other * tracks_ + k] > 0.0) weigh(other, k);
    }
  }

  void add(std::size_t c, std::size_t k, double share) {
    const Sym3* information = views_.information(c, k);
    for (std::size_t j = 0; j < scene_.tracks[k].joints.size(); ++j) {
      Sym3& known = known_[k * joints_ + j];
      known = known + share * information[j];
      errors_[k * joints_ + j] = error_m(known);
    }
  }

  // What a search gives of somebody who is known, as a detector's keypoints; it is taken in.
  double detect(std::size_t c, std::size_t k) {
    const PlanView& view = views_.view(c, k);
    if (!view.askable) return 0.0;
    const double found = recall_of(budget_, view.height_px());
    const double sigma = scene_.sigma_px[c];
    const double coarse = 1.0 / std::max(budget_.detect_scale, 1e-3);
    const double share = sigma * sigma / (sigma * sigma + coarse * coarse);
    const double gain = found * scene_.tracks[k].chance *
                        (covariance_gain(c, k, share) + making_gain(k) * view.open);
    if (wanted_[k] > 0) --wanted_[k];
    add(c, k, found * share);
    return gain;
  }

  PlannedPose pose_of(std::size_t c, std::size_t k, double gain) const {
    const PlanView& view = views_.view(c, k);
    double std_m = 0.0;
    for (std::size_t j = 0; j < scene_.tracks[k].joints.size(); ++j) {
      std_m += kPerAxis * errors_[k * joints_ + j];
    }
    std_m /= static_cast<double>(scene_.tracks[k].joints.size());
    const double w = view.x1 - view.x0;
    const double h = view.y1 - view.y0;
    const double margin = kBoxMargin * std::sqrt(w * w + h * h) + kBoxStds * std_m * view.px_per_m;
    return {static_cast<int>(c), k,
            scene_.tracks[k].id, view.x0 - margin,
            view.y0 - margin,    view.x1 + margin,
            view.y1 + margin,    gain,
            reason_of(c, k)};
  }

  PlanReason reason_of(std::size_t c, std::size_t k) const {
    const PlanTrack& track = scene_.tracks[k];
    if (track.suspected) return PlanReason::unmatched;
    if (track.id < 0 || track.age_ns < kFresh_ns) return PlanReason::fresh;
    if (track.unseen_ns > std::max(kUnseen_ns, 3 * scene_.interval_ns)) return PlanReason::unseen;
    int others = 0;
    int crowded = 0;
    for (std::size_t other = 0; other < cameras_; ++other) {
      const PlanView& view = views_.view(other, k);
      if (other == c || !view.askable) continue;
      ++others;
      if (view.open * view.chance < kCrowded) ++crowded;
    }
    return others > 0 && 2 * crowded >= others ? PlanReason::crowded : PlanReason::uncertain;
  }

  double mean_error() const {
    double sum = 0.0;
    double people = 0.0;
    for (std::size_t k = 0; k < tracks_; ++k) {
      const PlanTrack& track = scene_.tracks[k];
      if (!track.reported || track.id < 0) continue;
      double of_track = 0.0;
      for (std::size_t j = 0; j < track.joints.size(); ++j) of_track += errors_[k * joints_ + j];
      sum += of_track / static_cast<double>(track.joints.size());
      people += 1.0;
    }
    return people > 0.0 ? sum / people : 0.0;
  }

  const PlanScene& scene_;
  const PlanViews& views_;
  const PlanBudget& budget_;
  std::size_t cameras_ = 0;
  std::size_t tracks_ = 0;
  std::size_t joints_ = 0;
  std::vector<Sym3> known_;     // inverse covariances, tracks x joints
  std::vector<double> errors_;  // expected errors, the same
  std::vector<int> wanted_;     // views still wanted, by track
  std::vector<char> searched_;  // by camera
  std::vector<char> asked_;     // by camera: has a pose
  std::vector<double> gains_;   // cameras x tracks, 0 where there is nothing to choose
  double price_ = 0.0;
  Plan plan_;
};

// How many of the cameras in the search's order are worth searching at this price of a millisecond.
std::size_t worth_searching(const SearchValue& value, const PlanBudget& budget, double spent_ms,
                            double price) {
  const double slack = std::max(budget.inference_ms - spent_ms, 0.0);
  std::size_t best = 0;
  double best_net = 0.0;
  double cost = 0.0;
  for (std::size_t m = 0; m < value.order.size(); ++m) {
    cost += budget.detect_ms[value.order[m]];
    if (cost > budget.inference_ms + budget.overdraft_ms) break;
    const double net =
        value.gain_m[m] - price * std::max(cost - slack, 0.0) - budget.least_gain_m_per_ms * cost;
    if (net > best_net) {
      best = m + 1;
      best_net = net;
    }
  }
  return best;
}

}  // namespace

Plan make_plan(const PlanScene& scene, const Rig& rig, const PlanBudget& budget) {
  const PlanViews views(scene, rig, budget.available);
  const SearchValue value = value_search(scene, views, budget);
  Draft poses(scene, views, budget);
  poses.pose();
  Plan best = poses.plan();
  const double price = std::max(poses.price(), budget.least_gain_m_per_ms);
  const std::size_t count = worth_searching(value, budget, best.cost_ms, price);
  if (count > 0) {
    Draft searching(scene, views, budget);
    const auto end = value.order.begin() + static_cast<std::ptrdiff_t>(count);
    searching.search({value.order.begin(), end}, value.gain_m[count - 1], value.reason);
    searching.pose();
    const Plan& other = searching.plan();
    const double over = std::max(other.cost_ms - budget.inference_ms, 0.0);
    if (other.gain_m - price * over > best.gain_m) best = other;
  }
  best.expected_unknown = value.unknown;
  return best;
}

}  // namespace tipoff
