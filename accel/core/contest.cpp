#include "contest.hpp"

#include <algorithm>
#include <array>

namespace tipoff {
namespace {

// Two whose middles are predicted farther apart than this are not confused, m.
constexpr double kNear_m = 1.5;
// Views in which exchanges are tried together; of more, those of the first cameras.
constexpr std::size_t kViews = 6;
// Views that are heard at all.
constexpr std::size_t kMost = 16;
// Reweighted steps, and what a view costs at most (squared deviations).
constexpr int kSteps = 3;
constexpr double kBound = 12.0;
// Rounds over all pairs, and pairs that are looked at in all.
constexpr int kRounds = 2;
constexpr std::size_t kMostPairs = 512;
// An exchange must fit better by so much (squared deviations).
constexpr double kMargin = 1.0;
// What is not known of a body beside its joints' covariances, m: a view that errs by the same shift
// from frame to frame makes them too sure.
constexpr double kFloor_m = 0.1;

// What a detection says of a body's shift d away from its prediction: c - 2 b^T d + d^T A d. The
// points of one detection err together, so that they count as one: a mean over joints.
struct Say {
  Sym3 a;
  Vec3 b;
  double c = 0.0;
};

class Contests {
 public:
  Contests(const State& state, const Setup& setup, std::vector<FrameWork>& work, std::size_t frames)
      : state_(state), setup_(setup), work_(work), frames_(frames) {}

  void run() {
    const std::size_t tracks = state_.tracks.size();
    middle_.resize(tracks);
    prior_.resize(tracks);
    for (std::size_t k = 0; k < tracks; ++k) prepare(k);
    bool changed = true;
    std::size_t tried = 0;
    for (int round = 0; changed && round < kRounds; ++round) {
      changed = false;
      for (std::size_t a = 0; a < tracks; ++a) {
        for (std::size_t b = a + 1; b < tracks; ++b) {
          const Vec3 apart = middle_[a] - middle_[b];
          if (!(dot(apart, apart) < kNear_m * kNear_m)) continue;
          if (++tried > kMostPairs) return;
          changed = settle(a, b) || changed;
        }
      }
    }
  }

 private:
  // A body's middle, and the information that its prediction has of a common shift.
  void prepare(std::size_t k) {
    Vec3 sum;
    Sym3 covariance;
    const double part = 1.0 / static_cast<double>(setup_.joints);
    for (std::size_t lane = k * setup_.joints; lane < (k + 1) * setup_.joints; ++lane) {
      sum = sum + vec3_at(state_.joints, kP, lane);
      covariance = covariance + part * sym3_at(state_.joints, kPP, lane);
    }
    middle_[k] = part * sum;
    prior_[k] = {};
    invert(covariance + Sym3::diagonal(kFloor_m * kFloor_m), prior_[k].a);
  }

  Say say(const FrameWork& w, std::size_t k, int detection) const {
    Say out;
    if (detection < 0) return out;
    const auto n = static_cast<std::size_t>(detection);
    double count = 0.0;
    for (std::size_t j = 0; j < setup_.joints; ++j) {
      const std::size_t lane = k * setup_.joints + j;
      const std::size_t from = w.frame->lane(n) + j;
      const double information = w.noise.at(1, from);
      if (!(information > 0.0) || !(w.image.at(kDepth, lane) > 0.0)) continue;
      const double eu = double{w.frame->keypoints.at(0, from)} - w.image.at(kU, lane);
      const double ev = double{w.frame->keypoints.at(1, from)} - w.image.at(kVpx, lane);
      const Vec3 du = vec3_at(w.image, kDu, lane);
      const Vec3 dv = vec3_at(w.image, kDv, lane);
      out.a.add_outer(du, information);
      out.a.add_outer(dv, information);
      out.b = out.b + (information * eu) * du + (information * ev) * dv;
      out.c += information * (eu * eu + ev * ev);
      count += 1.0;
    }
    if (count > 0.0) out = {(1.0 / count) * out.a, (1.0 / count) * out.b, out.c / count};
    return out;
  }

  // The least over all shifts of what is said together; what contradicts the rest costs no more
  // than kBound, so that a detection of nobody decides nothing.
  double least(const Say& prior, const std::array<const Say*, kMost>& says,
               std::size_t count) const {
    Vec3 shift;
    double cost = 0.0;
    for (int i = 0; i <= kSteps; ++i) {
      Say total = prior;
      cost = dot(shift, prior.a * shift);
      for (std::size_t f = 0; f < count; ++f) {
        const Say& one = *says[f];
        const double r2 =
            std::max(0.0, one.c - 2.0 * dot(one.b, shift) + dot(shift, one.a * shift));
        const double part = kBound / (kBound + r2);
        cost += part * r2;
        total.a = total.a + (part * part) * one.a;
        total.b = total.b + (part * part) * one.b;
      }
      Sym3 covariance;
      if (i < kSteps && invert(total.a, covariance)) shift = covariance * total.b;
    }
    return cost;
  }

  bool settle(std::size_t a, std::size_t b) {
    std::array<std::size_t, kViews> views{};
    // Of each view: what a and b hear as it is, and exchanged.
    std::array<std::array<Say, 4>, kMost> says{};
    std::size_t count = 0;
    std::size_t all = 0;
    for (int free = 1; free >= 0; --free) {  // those that may be exchanged come first
      for (std::size_t f = 0; f < frames_ && all < kMost; ++f) {
        const FrameWork& w = work_[f];
        const int na = w.detection_of[a];
        const int nb = w.detection_of[b];
        if (na < 0 && nb < 0) continue;
        if (can_see(w, a) && can_see(w, b) ? free == 0 : free == 1) continue;
        says[all] = {say(w, a, na), say(w, b, nb), say(w, a, nb), say(w, b, na)};
        if (free == 1 && count < kViews) views[count++] = f;
        ++all;
      }
    }
    if (count == 0) return false;
    const auto cost = [&](std::size_t exchanged) {
      std::array<const Say*, kMost> of_a{};
      std::array<const Say*, kMost> of_b{};
      for (std::size_t i = 0; i < all; ++i) {
        const std::size_t first = i < count && ((exchanged >> i) & 1) != 0 ? 2 : 0;
        of_a[i] = &says[i][first];
        of_b[i] = &says[i][first + 1];
      }
      return least(prior_[a], of_a, all) + least(prior_[b], of_b, all);
    };
    std::size_t best = 0;
    double best_cost = cost(0) - kMargin;
    for (std::size_t exchanged = 1; exchanged < (std::size_t{1} << count); ++exchanged) {
      const double c = cost(exchanged);
      if (!(c < best_cost)) continue;
      best = exchanged;
      best_cost = c;
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (((best >> i) & 1) != 0) exchange(work_[views[i]], a, b);
    }
    return best != 0;
  }

  static bool can_see(const FrameWork& w, std::size_t k) { return w.boxes[k].inside > 0; }

  static void exchange(FrameWork& w, std::size_t a, std::size_t b) {
    std::swap(w.detection_of[a], w.detection_of[b]);
    for (const std::size_t k : {a, b}) {
      const int n = w.detection_of[k];
      if (n >= 0) w.track_of[static_cast<std::size_t>(n)] = static_cast<int>(k);
    }
  }

  const State& state_;
  const Setup& setup_;
  std::vector<FrameWork>& work_;
  std::size_t frames_;
  std::vector<Vec3> middle_;
  std::vector<Say> prior_;
};

}  // namespace

void settle_contests(const State& state, const Setup& setup, std::vector<FrameWork>& work,
                     std::size_t frames) {
  if (frames < 2 || state.tracks.size() < 2) return;
  Contests(state, setup, work, frames).run();
}

}  // namespace tipoff
