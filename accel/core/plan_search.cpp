#include "plan_search.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Somebody who came longer ago than this, ns, and was not found counts no more.
constexpr std::int64_t kMemory_ns = 5'000'000'000;
// How many people are expected before anybody looked.
constexpr double kCrowdAtStart = 10.0;
// A camera that looked this long ago would miss half of whom it missed, ns.
constexpr double kSameAgain_ns = 0.3e9;
// Somebody seen by one camera waits this long for a second one, ns.
constexpr std::int64_t kPartner_ns = 40'000'000;
// What a first view alone is worth beside the pair that makes a person: poses where the floor says
// that somebody stands mostly find the second one.
constexpr double kAlone = 0.85;
// Recall and share of the people in view where nobody is there to tell.
constexpr double kUsualRecall = 0.6;
// Somebody whose chance to be where they are expected is at least this is not lost; who is not
// there is elsewhere in view, and not gone, this often.
constexpr double kHeld = 0.8;
constexpr double kElsewhere = 0.4;
// How many people the usual figures count as, when those who are there tell.
constexpr double kUsualWeight = 2.0;
// Whom a search finds would otherwise be missing for about half the time since the last one; what a
// pose tells lasts too, for about so many frame-sets. A search is worth their ratio, at most.
constexpr double kPoseLasts = 10.0;
constexpr double kLongestWait = 6.0;

double since(const PlanScene& scene, std::size_t camera) {
  const std::int64_t last = scene.last_search_ns[camera];
  if (last == kNeverSearched || scene.time_ns - last > kMemory_ns) {
    return static_cast<double>(kMemory_ns);
  }
  return static_cast<double>(std::max<std::int64_t>(scene.time_ns - last, 0));
}

// Chances that none, and that exactly one of several independent looks finds somebody.
struct Looks {
  double none = 1.0;
  double one = 0.0;
  void add(double chance) {
    one = one * (1.0 - chance) + none * chance;
    none *= 1.0 - chance;
  }
  // Of a person made by these looks: two views make one, a single one may.
  double found() const { return 1.0 - none - one + kAlone * one; }
};

// Chance that a search of a camera finds one of the people there are, by those who are known.
std::vector<double> recalls(const PlanScene& scene, const PlanViews& views,
                            const PlanBudget& budget) {
  std::vector<double> out(budget.available.size(), 0.0);
  for (std::size_t c = 0; c < out.size(); ++c) {
    double sum = kUsualWeight * kUsualRecall;
    double count = kUsualWeight;
    for (std::size_t k = 0; k < scene.tracks.size(); ++k) {
      if (!scene.tracks[k].reported || scene.tracks[k].suspected) continue;
      const PlanView& view = views.view(c, k);
      if (view.askable) sum += view.open * recall_of(budget, view.height_px());
      count += 1.0;
    }
    out[c] = std::min(sum / count, 0.99);
  }
  return out;
}

// Mean over the ages at which somebody may have come of the chance that no search found them
// since, times how long that is: seconds.
double unseen_s(const PlanScene& scene, const std::vector<double>& recall) {
  std::vector<std::size_t> order(recall.size());
  for (std::size_t c = 0; c < order.size(); ++c) order[c] = c;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return since(scene, a) < since(scene, b); });
  Looks looks;
  double total = 0.0;
  double age = 0.0;
  for (const std::size_t c : order) {
    const double next = since(scene, c);
    total += (next - age) * (1.0 - looks.found());
    looks.add(recall[c]);
    age = next;
  }
  return 1e-9 * (total + (static_cast<double>(kMemory_ns) - age) * (1.0 - looks.found()));
}

}  // namespace

double recall_of(const PlanBudget& budget, double height_px) {
  const double height = height_px * budget.detect_scale;
  std::pair<double, double> from{0.0, 0.0};
  for (const auto& to : budget.recall) {
    if (height < to.first) {
      const double share = (height - from.first) / std::max(to.first - from.first, 1e-9);
      return from.second + share * (to.second - from.second);
    }
    from = to;
  }
  return from.second;
}

SearchValue value_search(const PlanScene& scene, const PlanViews& views, const PlanBudget& budget) {
  SearchValue out;
  const std::vector<double> recall = recalls(scene, views, budget);
  const std::size_t cameras = recall.size();
  std::vector<double> fresh(cameras, 0.0);
  Looks before;
  double wait = 0.0;
  int able = 0;
  for (std::size_t c = 0; c < cameras; ++c) {
    const double age = since(scene, c);
    if (age <= static_cast<double>(kPartner_ns)) before.add(recall[c]);
    if (!budget.available[c]) continue;
    fresh[c] = recall[c] * age / (age + kSameAgain_ns);
    wait += age;
    ++able;
    if (budget.detect_ms[c] >= 0.0) out.order.push_back(c);
  }
  std::stable_sort(out.order.begin(), out.order.end(), [&](std::size_t a, std::size_t b) {
    return fresh[a] * budget.detect_ms[b] > fresh[b] * budget.detect_ms[a];
  });
  const bool looked = std::any_of(scene.last_search_ns.begin(), scene.last_search_ns.end(),
                                  [](std::int64_t last) { return last != kNeverSearched; });
  const double entered =
      budget.entries_per_s * unseen_s(scene, recall) + (looked ? 0.0 : kCrowdAtStart);
  double lost = 0.0;
  for (const PlanTrack& track : scene.tracks) {
    if (track.id < 0) continue;
    lost += track.reported ? kElsewhere * std::max(kHeld - track.chance, 0.0) : track.chance;
  }
  double suspected = 0.0;
  for (const PlanSuspect& suspect : scene.suspects) suspected += suspect.chance;
  out.unknown = entered + lost + suspected;
  out.reason = entered >= lost && entered >= suspected ? PlanReason::due
               : lost >= suspected                     ? PlanReason::lost
                                                       : PlanReason::unmatched;
  const double frames = scene.interval_ns > 0 && able > 0
                            ? wait / able / static_cast<double>(scene.interval_ns)
                            : 1.0;
  const double lasts = std::clamp(0.5 * frames, kPoseLasts, kLongestWait * kPoseLasts) / kPoseLasts;
  Looks looks = before;
  std::vector<double> alone(scene.suspects.size(), 1.0);
  for (const std::size_t c : out.order) {
    looks.add(fresh[c]);
    double partners = 0.0;
    for (std::size_t s = 0; s < scene.suspects.size(); ++s) {
      const PlanSuspect& suspect = scene.suspects[s];
      const bool searched = scene.last_search_ns[c] >= suspect.time_ns;
      if (suspect.camera != static_cast<int>(c) && !searched) alone[s] *= 1.0 - recall[c];
      partners += suspect.chance * (1.0 - alone[s]);
    }
    const double people = (entered + lost) * (looks.found() - before.found()) + partners;
    out.gain_m.push_back(budget.missing_m * lasts * people);
  }
  return out;
}

}  // namespace tipoff
