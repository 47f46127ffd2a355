#include "health_judge.hpp"

#include <algorithm>

namespace tipoff {
namespace {

constexpr auto kWindow = static_cast<std::int64_t>(kHealthWindow);
// Blocks of play from which the baseline is learned before a camera is judged: 4 s.
constexpr double kLearned = 16.0;
// At the start the residuals are first centred at these blocks of play, each time by this part of
// what is left: all cameras move at once, so each is to move less than it would alone.
constexpr std::array<double, 2> kCentred{3.0, 8.0};
constexpr double kCentring = 0.5;
// A young baseline raises the thresholds by this over its blocks.
constexpr double kYoung = 4.0;
// Few people, among whom a gross error weighs much, raise them too: at one by nearly so much.
constexpr double kFew = 3.0;
// The doubt about the baseline of one camera stands for that about the others', who are fitted too.
constexpr double kOthersDoubt = 2.0;
// How long the baseline remembers, in blocks: 5 min.
constexpr double kBaselineMemory = 1200.0;
// A camera's clock is learned within this, s; more is a fault from the start.
constexpr double kLateLearned_s = 0.003;
// For how long people err alike is believed until so many windows have shown it: from one window to
// the next, twice as long, the variance grows as it did before and by a part more, within bounds.
// Each chart counts as a part of a window, and none for more than so many times what it should be.
constexpr double kAlikeWindows = 30.0;
constexpr double kAlikePart = 0.5;
constexpr double kLargestAlike = 4.0;
constexpr double kLeastGrowth = 1.2;
constexpr double kMoreGrowth = 1.3;
constexpr double kMostGrowth = 2.0;
// Past chart values are remembered over this many blocks, 10 min; the rig's count as so many
// windows of the camera's own, and all count from so many on.
constexpr double kPastMemory = 2400.0;
constexpr double kRigWindows = 8.0;
constexpr double kLeastWindows = 2.0;
constexpr double kLargestPast = 9.0;
// Thresholds of the charts by window: short ones rest on few people and blocks.
constexpr std::array<double, kScales> kAlarm{6.5, 6.0, 6.0, 6.0, 6.0};
// Deviations that are of no account: turns and tilts, px; roll and zoom, px at this part of the
// focal length; lateness, s.
constexpr double kFloor_px = 0.02;
constexpr double kFloorRadius = 0.2;
constexpr double kFloor_s = 0.0008;
// People in a window at the least, one a block.
constexpr double kLeastPeople = 4.0;
// The accused camera explains this many times as much as any other.
constexpr double kMargin = 1.1;
// And by so many squared deviations more.
constexpr double kLead = 8.0;
// A chart so far beyond its threshold is worth a word even if nobody can be accused.
constexpr double kPlain = 1.5;
// An accused change is estimated anew for so long, and a camera can be acquitted after so long.
constexpr std::int64_t kRefined = 40;
constexpr std::int64_t kHeld = 16;
// Evidence for an accusation over some blocks, in squared deviations, below which it is dropped: at
// once, and where it stands for kHeld blocks.
constexpr double kReturned = -30.0;
constexpr double kUnproven = 8.0;
// Trust in an accused camera.
constexpr double kLeastScale = 2.0;
constexpr double kMostScale = 8.0;
constexpr double kUselessScale = 10.0;
// Counts: windows in blocks, shares, detections.
constexpr std::int64_t kSwapBlocks = 2;
constexpr std::int64_t kStrayBlocks = 8;
constexpr std::int64_t kReturnBlocks = 4;
constexpr double kSwapShare = 0.5;
constexpr double kSwapMargin = 2.5;
constexpr double kSwapTried = 24.0;
constexpr double kStrayShare = 0.4;
constexpr double kStrayDetections = 40.0;
constexpr double kReturnShare = 0.6;
constexpr double kUsualMemory = 480.0;
constexpr double kUsualLeast = 0.3;
constexpr double kBlindShare = 0.1;
constexpr double kBlindExpected = 60.0;

// Where the far baseline of a court is, m from its centre, and how high people's middles are.
constexpr double kBaseline_m = 14.325;
constexpr double kMiddle_m = 1.0;

double floor_of(const Camera& camera, std::size_t chart) {
  switch (chart) {
    case 0:
    case 1:
      return kFloor_px / camera.k.fx;
    case 2:
      return kFloor_px / (kFloorRadius * camera.k.fx);
    case 3:
      return kFloor_px / (kFloorRadius * camera.k.fx);
    default:
      return kFloor_s;
  }
}

// The last `n` blocks of a camera up to block `index`, summed; the gradient is against `known`.
struct Window {
  Effects gradient{};
  EffectMatrix information;
  std::array<double, kCharts> variance{};
  double people = 0.0;
};

const HealthBlock& block_of(const CameraMemory& camera, std::int64_t index) {
  return camera.recent[static_cast<std::size_t>(index) % kHealthWindow];
}

Window window_of(const CameraMemory& camera, std::int64_t index, std::int64_t n,
                 const Effects& known) {
  Window out;
  for (std::int64_t b = index - n + 1; b <= index; ++b) {
    const HealthBlock& block = block_of(camera, b);
    for (std::size_t k = 0; k < kEffects; ++k) out.gradient[k] += block.gradient[k];
    for (std::size_t q = 0; q < kCharts; ++q) out.variance[q] += block.variance[q];
    out.information.add(block.information);
    out.people += block.people;
  }
  const Effects shift = out.information * known;
  for (std::size_t k = 0; k < kEffects; ++k) out.gradient[k] -= shift[k];
  return out;
}

// How many times as large the variance of each window is as if its blocks were independent. Until
// it is seen, it is believed to grow with the window as it did for the shorter ones and some more.
std::array<double, kScales> alike_of(const HealthMemory& memory) {
  std::array<double, kScales> out{};
  double shorter = 1.0;
  double growth = kMostGrowth;
  for (std::size_t s = 0; s < kScales; ++s) {
    const double believed = shorter * std::clamp(growth, kLeastGrowth, kMostGrowth);
    const Moving& seen = memory.alike[s];
    out[s] = std::max(
        (kAlikeWindows * believed + seen.weight * seen.value) / (kAlikeWindows + seen.weight), 1.0);
    growth = kMoreGrowth * out[s] / shorter;
    shorter = out[s];
  }
  return out;
}

// By how much larger the variance of a window's gradient is than its information says; keypoints
// err less than is assumed, people err alike.
double inflation_of(const HealthMemory& memory, const Window& window, std::int64_t n) {
  std::size_t scale = 0;
  while (scale + 1 < kScales && kScaleBlocks[scale] < n) ++scale;
  const double alike = alike_of(memory)[scale];
  double sum = 0.0;
  for (std::size_t q = 0; q < kCharts; ++q) {
    const double h = window.information(kChartEffect[q], kChartEffect[q]);
    if (h > 0.0) sum += alike * window.variance[q] / h;
  }
  return std::max(sum / static_cast<double>(kCharts), 1e-3);
}

struct Counts {
  double detections = 0.0;
  double explained = 0.0;
  double expected = 0.0;
  double held = 0.0;
};

Counts counts_of(const CameraMemory& camera, std::int64_t index, std::int64_t n) {
  Counts out;
  for (std::int64_t b = std::max<std::int64_t>(index - n + 1, 0); b <= index; ++b) {
    const HealthBlock& block = block_of(camera, b);
    out.detections += block.detections;
    out.explained += block.explained;
    out.expected += block.expected;
    out.held += block.held;
  }
  return out;
}

Effects sum(const Effects& a, const Effects& b) {
  Effects out{};
  for (std::size_t k = 0; k < kEffects; ++k) out[k] = a[k] + b[k];
  return out;
}

// One value of a chart with its standard deviation.
struct Reading {
  double value = 0.0;
  double deviation = 1.0;
  double own_part = 1.0;     // of the variance, the rest being the baseline's
  double independent = 0.0;  // variance of the window, were its blocks independent
  bool given = false;
};

class Judge {
 public:
  Judge(HealthMemory& memory, const Rig& rig, std::int64_t time_ns,
        const std::vector<OpenCounts>& counts)
      : memory_(memory), rig_(rig), time_ns_(time_ns), open_(counts), index_(memory.index) {}

  void run() {
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) judge_counts(c);
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) follow(c);
    chart();
    for (CameraMemory& camera : memory_.cameras) learn(camera);
    ++memory_.index;
  }

 private:
  static Verdict verdict_of(const CameraMemory& camera) {
    return static_cast<Verdict>(camera.verdict);
  }

  void set(CameraMemory& camera, Verdict verdict, int partner = -1) {
    camera.verdict = static_cast<std::int32_t>(verdict);
    camera.partner = partner;
    camera.accused_ns = time_ns_;
    camera.accused_at = index_;
  }

  void flush(CameraMemory& camera) {
    camera.valid_from = index_ + 1;
    camera.learn_from = std::max(camera.learn_from, index_ + 1);
  }

  void acquit(CameraMemory& camera) {
    camera.fault = {};
    camera.effect_px = 0.0;
    set(camera, camera.base_blocks >= kLearned ? Verdict::kGood : Verdict::kLearning);
    for (CameraMemory& each : memory_.cameras) flush(each);
  }

  // ---- what the counts say ----

  void judge_counts(std::size_t c) {
    CameraMemory& camera = memory_.cameras[c];
    if (useless(camera)) {
      if (returned(camera)) acquit(camera);
      return;
    }
    const Counts now = counts_of(camera, index_, kSwapBlocks);
    if (now.detections > 0.0 && !accused(camera) && camera.base_blocks > 0.0) {
      camera.usual_share.learn(now.explained / now.detections, 1.0, kUsualMemory);
    }
    const int other = guess(c, now);
    if (other >= 0) {
      withdraw(camera);
      set(camera, Verdict::kSwapped, other);
    } else if (strayed(camera)) {
      withdraw(camera);
      set(camera, Verdict::kAstray);
    } else if (blinded(camera)) {
      withdraw(camera);
      set(camera, Verdict::kBlind);
    }
  }

  void withdraw(CameraMemory& camera) {
    camera.fault = {};
    camera.effect_px = 0.0;
    for (CameraMemory& each : memory_.cameras) flush(each);
  }

  bool returned(const CameraMemory& camera) const {
    if (index_ - camera.accused_at < kReturnBlocks) return false;
    const Counts now = counts_of(camera, index_, kReturnBlocks);
    const double usual = camera.usual_share.weight > kLearned ? camera.usual_share.value : 1.0;
    if (verdict_of(camera) == Verdict::kBlind) {
      return now.expected > 0.0 && now.held > kReturnShare * now.expected;
    }
    return now.detections > 0.0 && now.explained > kReturnShare * usual * now.detections;
  }

  // The camera whose pictures these are; -1 where they are its own.
  int guess(std::size_t c, const Counts& now) const {
    const OpenCounts& open = open_[c];
    if (open.tried.empty() || !(now.detections > 0.0)) return -1;
    const double own = now.explained / now.detections;
    int best = -1;
    double best_share = std::max(kSwapShare, kSwapMargin * own);
    for (std::size_t o = 0; o < open.tried.size(); ++o) {
      if (open.tried[o] < kSwapTried) continue;
      const double share = open.matched[o] / open.tried[o];
      if (share >= best_share) {
        best = static_cast<int>(o);
        best_share = share;
      }
    }
    return best;
  }

  bool strayed(const CameraMemory& camera) const {
    if (camera.usual_share.weight < kLearned || camera.usual_share.value < kUsualLeast) {
      return false;
    }
    const Counts now = counts_of(camera, index_, kStrayBlocks);
    return now.detections >= kStrayDetections &&
           now.explained < kStrayShare * camera.usual_share.value * now.detections;
  }

  bool blinded(const CameraMemory& camera) const {
    if (camera.usual_share.weight < kLearned) return false;
    const Counts now = counts_of(camera, index_, kStrayBlocks);
    return now.expected >= kBlindExpected && now.held < kBlindShare * now.expected &&
           now.detections < kBlindShare * now.expected;
  }

  // ---- what the residuals say ----

  // Refines the estimate of an accused change, or acquits.
  void follow(std::size_t c) {
    CameraMemory& camera = memory_.cameras[c];
    if (verdict_of(camera) == Verdict::kDisputed && index_ - camera.accused_at >= kHeld) {
      set(camera, Verdict::kGood);
    }
    if (!accused(camera) || useless(camera)) return;
    const std::int64_t since = index_ - camera.accused_at;
    for (const int n : kScaleBlocks) {
      if (index_ - n + 1 < camera.onset || n > kHeld) break;
      const double evidence = evidence_for(camera, n);
      if (evidence < kReturned || (n == kHeld && since >= n && evidence < kUnproven)) {
        acquit(camera);
        return;
      }
    }
    if (index_ - camera.estimated_at <= kRefined) estimate(camera);
  }

  // By how much the last `n` blocks of an accused camera fit the accusation better than the
  // baseline: squared residuals in units of their variance, people erring alike for a while.
  double evidence_for(const CameraMemory& camera, std::int64_t n) const {
    const Window raw = window_of(camera, index_, n, camera.baseline);
    if (raw.people < kLeastPeople) return kUnproven;
    const Effects shift = raw.information * camera.fault;
    Effects left = raw.gradient;
    for (std::size_t k = 0; k < kEffects; ++k) left[k] -= shift[k];
    const double as_before = fit_effects(raw.information, raw.gradient, kAllMask).gain;
    const double as_accused = fit_effects(raw.information, left, kAllMask).gain;
    return (as_before - as_accused) / inflation_of(memory_, raw, n);
  }

  // The accused change from all blocks since its onset, and its kind.
  void estimate(CameraMemory& camera) {
    const std::int64_t n = std::clamp<std::int64_t>(index_ - camera.onset + 1, 1, kWindow);
    const Window window = window_of(camera, index_, n, camera.baseline);
    if (window.people < kLeastPeople) return;
    camera.fault = fit_effects(window.information, window.gradient, kAllMask).value;
    const double squares = dot(camera.fault, window.information * camera.fault);
    // The information of one person is about 1 / px^2 for each of two coordinates.
    camera.effect_px = std::sqrt(std::max(squares, 0.0) / std::max(window.people, 1.0));
    camera.verdict = static_cast<std::int32_t>(kind_of(window));
  }

  static Verdict kind_of(const Window& w) {
    const double turned = fit_effects(w.information, w.gradient, kTurnMask).gain;
    const double zoomed = fit_effects(w.information, w.gradient, kZoomMask).gain;
    const double shifted = fit_effects(w.information, w.gradient, kShiftMask).gain;
    const double late = fit_effects(w.information, w.gradient, kLateMask).gain;
    const double most = std::max({turned, zoomed, shifted, late});
    // One number explains as much as three only where it is the cause.
    constexpr double kOneForThree = 0.95;
    if (late >= kOneForThree * most) return Verdict::kLate;
    if (zoomed >= kOneForThree * most) return Verdict::kZoomed;
    return turned >= shifted ? Verdict::kTurned : Verdict::kShifted;
  }

  bool judged(const CameraMemory& camera) const {
    return camera.base_blocks >= kLearned && !useless(camera);
  }

  Reading read(std::size_t c, std::size_t chart, std::size_t scale, const Window& w,
               const EffectMatrix& doubt) const {
    const CameraMemory& camera = memory_.cameras[c];
    const std::size_t k = kChartEffect[chart];
    const double h = w.information(k, k);
    Reading out;
    if (!(h > 1e-9) || w.people < kLeastPeople) return out;
    out.given = true;
    out.value = w.gradient[k] / h;
    out.independent = w.variance[chart] / (h * h);
    const double between = alike_[scale] * out.independent;
    const double floor = floor_of(rig_.cameras[c], chart);
    const double own = std::max(between, past(camera, chart, scale)) + floor * floor;
    Effects row{};
    for (std::size_t i = 0; i < kEffects; ++i) row[i] = w.information(k, i) / h;
    const double variance = own + kOthersDoubt * dot(row, doubt * row);
    out.deviation = std::sqrt(variance);
    out.own_part = own / variance;
    return out;
  }

  double past(const CameraMemory& camera, std::size_t chart, std::size_t scale) const {
    const Moving& own = camera.past[chart][scale];
    const double weight = own.weight + kRigWindows * rig_past_[chart][scale].weight;
    if (!(weight >= kLeastWindows)) return 0.0;
    return (own.weight * own.value +
            kRigWindows * rig_past_[chart][scale].weight * rig_past_[chart][scale].value) /
           weight;
  }

  // What the cameras' past is together; its weight is 1 once enough is known.
  void pool() {
    for (std::size_t q = 0; q < kCharts; ++q) {
      for (std::size_t s = 0; s < kScales; ++s) {
        double sum = 0.0;
        double weight = 0.0;
        for (const CameraMemory& camera : memory_.cameras) {
          sum += camera.past[q][s].weight * camera.past[q][s].value;
          weight += camera.past[q][s].weight;
        }
        const bool enough = weight >= kLeastWindows;
        rig_past_[q][s] = {enough ? sum / weight : 0.0, enough ? 1.0 : 0.0};
      }
    }
  }

  void chart() {
    pool();
    alike_ = alike_of(memory_);
    double worst = 1.0;
    std::int64_t worst_n = 0;
    std::vector<double> highest(memory_.cameras.size(), 0.0);
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) {
      CameraMemory& camera = memory_.cameras[c];
      if (!judged(camera)) continue;
      if (verdict_of(camera) == Verdict::kLearning) set(camera, Verdict::kGood);
      const Effects known = sum(camera.baseline, camera.fault);
      const EffectMatrix doubt = covariance_of(base_information(camera));
      for (std::size_t s = 0; s < kScales; ++s) {
        const std::int64_t n = kScaleBlocks[s];
        if (index_ - n + 1 < camera.valid_from) break;
        const Window window = window_of(camera, index_, n, known);
        for (std::size_t q = 0; q < kCharts; ++q) {
          const Reading reading = read(c, q, s, window, doubt);
          if (!reading.given) continue;
          const double people = window.people / static_cast<double>(n);
          const double alarm =
              kAlarm[s] * (1.0 + kYoung / camera.base_blocks + kFew / (people * people + kFew));
          const double ratio = std::fabs(reading.value) / (alarm * reading.deviation);
          if (ratio > highest[c]) highest[c] = ratio;
          if (ratio > worst) {
            worst = ratio;
            worst_n = n;
          }
          if (!accused(camera)) remember(camera, q, s, reading);
        }
      }
    }
    if (worst_n > 0) ask_who(worst_n, highest);
  }

  // The camera's own past is taken in with the baseline, later, lest a change hides itself.
  void remember(CameraMemory& camera, std::size_t chart, std::size_t scale,
                const Reading& reading) {
    const double n = kScaleBlocks[scale];
    const double most = kLargestPast * reading.deviation * reading.deviation;
    const double squared = reading.own_part * std::min(reading.value * reading.value, most);
    camera.recent[static_cast<std::size_t>(index_) % kHealthWindow].squared[chart][scale] = squared;
    const double times = squared / std::max(reading.independent, 1e-30);
    memory_.alike[scale].learn(std::min(times, kLargestAlike * alike_[scale]), kAlikePart / n,
                               kPastMemory / n);
  }

  // Something changed in the last `n` blocks: accuses the camera whose change explains most.
  void ask_who(std::int64_t n, const std::vector<double>& highest) {
    std::size_t first = memory_.cameras.size();
    std::size_t second = first;
    double inflation = 0.0;
    std::vector<double> gain(memory_.cameras.size(), 0.0);
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) {
      const CameraMemory& camera = memory_.cameras[c];
      if (!judged(camera) || index_ - n + 1 < camera.valid_from) continue;
      const Window window = window_of(camera, index_, n, sum(camera.baseline, camera.fault));
      gain[c] = fit_effects(window.information, window.gradient, kAllMask).gain;
      inflation = std::max(inflation, inflation_of(memory_, window, n));
      if (first == memory_.cameras.size() || gain[c] > gain[first]) {
        second = first;
        first = c;
      } else if (second == memory_.cameras.size() || gain[c] > gain[second]) {
        second = c;
      }
    }
    if (first == memory_.cameras.size() || highest[first] < 1.0) return;
    CameraMemory& camera = memory_.cameras[first];
    if (second != memory_.cameras.size()) {
      const double lead = (gain[first] - gain[second]) / inflation;
      if (gain[first] < kMargin * gain[second]) {
        if (highest[first] > kPlain) dispute(first, second);
        return;
      }
      if (lead < kLead) return;
    }
    if (!accused(camera)) set(camera, Verdict::kTurned);
    camera.estimated_at = index_;
    camera.onset = index_ - n + 1;
    camera.valid_from = camera.onset;
    estimate(camera);
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) {
      if (c != first) flush(memory_.cameras[c]);
      if (verdict_of(memory_.cameras[c]) == Verdict::kDisputed) {
        set(memory_.cameras[c], Verdict::kGood);
      }
    }
  }

  void dispute(std::size_t a, std::size_t b) {
    if (accused(memory_.cameras[a]) || accused(memory_.cameras[b])) return;
    set(memory_.cameras[a], Verdict::kDisputed, static_cast<int>(b));
    set(memory_.cameras[b], Verdict::kDisputed, static_cast<int>(a));
  }

  // ---- the baseline ----

  void learn(CameraMemory& camera) {
    if (accused(camera) || useless(camera)) return;
    if (camera.base_blocks < kLearned) {
      if (!take(camera, index_)) return;
      camera.learn_from = index_ + 1;
      camera.valid_from = index_ + 1;
      if (camera.centred < kCentred.size() && camera.base_blocks >= kCentred[camera.centred]) {
        centre(camera);
      }
      return;
    }
    const std::int64_t old = index_ - kWindow + 1;
    if (old >= camera.learn_from && take(camera, old)) take_past(camera, old);
    for (std::size_t k = 0; k < kEffects; ++k) {
      camera.centre[k] += (camera.baseline[k] - camera.centre[k]) / kBaselineMemory;
    }
  }

  // Moves what residuals are measured from towards the baseline, which is then learned afresh.
  static void centre(CameraMemory& camera) {
    ++camera.centred;
    for (std::size_t k = 0; k < kEffects; ++k) {
      camera.centre[k] += kCentring * (camera.baseline[k] - camera.centre[k]);
    }
    camera.base_blocks = 0.0;
    camera.base_information = {};
    camera.base_gradient = {};
  }

  // By how much more the baseline's sums vary than their information says.
  double base_inflation(const CameraMemory& camera) const {
    return std::max(camera.inflation.value * alike_[kScales - 1], 1e-3);
  }
  EffectMatrix base_information(const CameraMemory& camera) const {
    EffectMatrix out = camera.base_information;
    out.scale(1.0 / base_inflation(camera));
    return out;
  }

  static void take_past(CameraMemory& camera, std::int64_t index) {
    const HealthBlock& block = block_of(camera, index);
    for (std::size_t q = 0; q < kCharts; ++q) {
      for (std::size_t s = 0; s < kScales; ++s) {
        const double n = kScaleBlocks[s];
        const double squared = block.squared[q][s];
        if (squared > 0.0) camera.past[q][s].learn(squared, 1.0 / n, kPastMemory / n);
      }
    }
  }

  bool take(CameraMemory& camera, std::int64_t index) const {
    const HealthBlock& block = block_of(camera, index);
    if (!(block.people > 0.0)) return false;
    constexpr double kKept = 1.0 - 1.0 / kBaselineMemory;
    camera.base_blocks = kKept * camera.base_blocks + 1.0;
    camera.base_information.scale(kKept);
    camera.base_information.add(block.information);
    for (std::size_t k = 0; k < kEffects; ++k) {
      camera.base_gradient[k] = kKept * camera.base_gradient[k] + block.gradient[k];
    }
    Effects gradient = camera.base_gradient;
    for (double& g : gradient) g /= base_inflation(camera);
    camera.baseline = fit_effects(base_information(camera), gradient, kAllMask).value;
    camera.baseline[kLate] = std::clamp(camera.baseline[kLate], -kLateLearned_s, kLateLearned_s);
    return true;
  }

  HealthMemory& memory_;
  const Rig& rig_;
  std::int64_t time_ns_;
  const std::vector<OpenCounts>& open_;
  std::int64_t index_;
  std::array<std::array<Moving, kScales>, kCharts> rig_past_{};
  std::array<double, kScales> alike_{};
};

unsigned mask_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kTurned:
      return kTurnMask;
    case Verdict::kZoomed:
      return kZoomMask;
    case Verdict::kShifted:
      return kShiftMask;
    case Verdict::kLate:
      return kLateMask;
    default:
      return kAllMask;
  }
}

}  // namespace

void Moving::learn(double sample, double share, double memory) {
  weight = std::min(weight + share, memory);
  value += (sample - value) * std::min(share / weight, 1.0);
}

bool accused(const CameraMemory& camera) {
  const auto verdict = static_cast<Verdict>(camera.verdict);
  return verdict == Verdict::kTurned || verdict == Verdict::kZoomed ||
         verdict == Verdict::kShifted || verdict == Verdict::kLate || useless(camera);
}

bool useless(const CameraMemory& camera) {
  const auto verdict = static_cast<Verdict>(camera.verdict);
  return verdict == Verdict::kSwapped || verdict == Verdict::kAstray || verdict == Verdict::kBlind;
}

double sigma_scale_of(const CameraMemory& camera) {
  if (useless(camera)) return kUselessScale;
  if (!accused(camera)) return 1.0;
  const double sd = camera.sd_px.value > 0.0 ? camera.sd_px.value : 1.0;
  const double part = 2.0 * camera.effect_px / sd;
  return std::clamp(std::sqrt(1.0 + part * part), kLeastScale, kMostScale);
}

CameraBelief belief_of(const CameraMemory& camera) {
  constexpr double kClip = 3.0;
  constexpr double kLeastClip_px = 1.0;
  constexpr double kMostClip_px = 40.0;
  CameraBelief out;
  out.known = sum(camera.centre, camera.fault);
  out.clip_px = std::clamp(kClip * camera.spread_px.value, kLeastClip_px, kMostClip_px);
  return out;
}

void judge(HealthMemory& memory, const Rig& rig, std::int64_t time_ns,
           const std::vector<OpenCounts>& counts) {
  Judge(memory, rig, time_ns, counts).run();
}

CameraHealth health_of(const HealthMemory& memory, const Rig& rig, std::size_t c) {
  const CameraMemory& camera = memory.cameras[c];
  CameraHealth out;
  out.verdict = static_cast<Verdict>(camera.verdict);
  out.partner = camera.partner;
  out.sigma_scale = sigma_scale_of(camera);
  out.since_ns = camera.accused_ns;
  out.bias_px = {camera.bias_px[0].value, camera.bias_px[1].value};
  // Two means that forget at different rates lag a steady drift by their memories.
  constexpr double kLag_min = (240.0 - 30.0) / 60.0;
  if (camera.bias_px[2].weight > 120.0) {
    out.drift_px_per_min = {(camera.bias_px[0].value - camera.bias_px[2].value) / kLag_min,
                            (camera.bias_px[1].value - camera.bias_px[3].value) / kLag_min};
  }
  const std::int64_t last = memory.index - 1;
  const Counts counts = counts_of(camera, last, kReturnBlocks);
  out.explained = counts.detections > 0.0 ? counts.explained / counts.detections : NAN;
  if (last < 0) return out;
  std::int64_t n = std::min<std::int64_t>(kWindow, memory.index);
  if (accused(camera)) n = std::clamp<std::int64_t>(last - camera.onset + 1, 1, n);
  const Window window = window_of(camera, last, n, camera.baseline);
  const EffectFit fit = fit_effects(window.information, window.gradient, mask_of(out.verdict));
  out.effect = fit.value;
  const double inflation = inflation_of(memory, window, n);
  for (std::size_t k = 0; k < kEffects; ++k) {
    out.error[k] = std::sqrt(inflation * fit.variance[k]);
  }
  const Vec3 centre = rig.cameras[c].center;
  const double side = centre.x > 0.0 ? -1.0 : 1.0;
  out.displacement_m = displacement_m(rig, c, out.effect, {side * kBaseline_m, 0.0, kMiddle_m});
  out.at_far_baseline = out.displacement_m >= 0.0;
  if (!out.at_far_baseline) {
    out.displacement_m =
        displacement_m(rig, c, out.effect, {memory.place[0], memory.place[1], memory.place[2]});
  }
  return out;
}

}  // namespace tipoff
