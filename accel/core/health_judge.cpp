#include "health_judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "health_charts.hpp"
#include "health_counts.hpp"

namespace tipoff {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr auto kWindow = static_cast<std::int64_t>(kHealthWindow);
// Blocks of play from which the baseline is learned before a camera is judged: 4 s.
constexpr double kLearned = 16.0;
// At the start the residuals are first centred at these blocks of play, each time by this part of
// what is left: all cameras move at once, so each is to move less than it would alone.
constexpr std::array<double, 2> kCentred{3.0, 8.0};
constexpr double kCentring = 0.5;
// How long the baseline remembers, in blocks: 5 min.
constexpr double kBaselineMemory = 1200.0;
// A camera's clock is learned within this, s; more is a fault from the start.
constexpr double kLateLearned_s = 0.003;
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

class Judge {
 public:
  Judge(HealthMemory& memory, const Rig& rig, std::int64_t time_ns,
        const std::vector<OpenCounts>& counts)
      : memory_(memory),
        time_ns_(time_ns),
        open_(counts),
        index_(memory.index),
        charts_(memory, rig) {}

  void run() {
    find_strays();
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

  // The cameras that see people where nobody is, while the others find them where they are thought
  // to be. Where those do not, as after a blackout of all cameras, it is the tracks that are
  // astray.
  void find_strays() {
    std::vector<double> shares;
    for (const CameraMemory& camera : memory_.cameras) {
      shares.push_back(useless(camera) ? kNaN : share_of_usual(camera, index_));
    }
    for (std::size_t c = 0; c < shares.size(); ++c) {
      strays_.push_back(strayed(shares[c], median_of_others(shares, c)) ? 1 : 0);
    }
  }

  // The lower median of the known shares but one; NaN where there are none.
  static double median_of_others(std::vector<double> shares, std::size_t c) {
    shares.erase(shares.begin() + static_cast<std::ptrdiff_t>(c));
    const auto known = std::remove_if(shares.begin(), shares.end(),
                                      [](double share) { return std::isnan(share); });
    if (known == shares.begin()) return kNaN;
    const auto middle = shares.begin() + (known - shares.begin() - 1) / 2;
    std::nth_element(shares.begin(), middle, known);
    return *middle;
  }

  void judge_counts(std::size_t c) {
    CameraMemory& camera = memory_.cameras[c];
    if (useless(camera)) {
      if (returned(camera, index_)) acquit(camera);
      return;
    }
    learn_usual(camera, index_);
    const int other = whose_pictures(camera, index_, open_[c]);
    if (other >= 0) {
      withdraw(camera);
      set(camera, Verdict::kSwapped, other);
    } else if (strays_[c] != 0) {
      withdraw(camera);
      set(camera, Verdict::kAstray);
    } else if (blinded(camera, index_)) {
      withdraw(camera);
      set(camera, Verdict::kBlind);
    }
  }

  void withdraw(CameraMemory& camera) {
    camera.fault = {};
    camera.effect_px = 0.0;
    for (CameraMemory& each : memory_.cameras) flush(each);
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
    const HealthSpan raw = span_of(camera, index_, n, camera.baseline);
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
    const HealthSpan window = span_of(camera, index_, n, camera.baseline);
    if (window.people < kLeastPeople) return;
    camera.fault = fit_effects(window.information, window.gradient, kAllMask).value;
    const double squares = dot(camera.fault, window.information * camera.fault);
    // The information of one person is about 1 / px^2 for each of two coordinates.
    camera.effect_px = std::sqrt(std::max(squares, 0.0) / std::max(window.people, 1.0));
    camera.verdict = static_cast<std::int32_t>(kind_of(window));
  }

  static Verdict kind_of(const HealthSpan& w) {
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

  bool is_judged(const CameraMemory& camera) const {
    return camera.base_blocks >= kLearned && !useless(camera);
  }

  void chart() {
    std::vector<char> judged;
    for (CameraMemory& camera : memory_.cameras) {
      judged.push_back(is_judged(camera) ? 1 : 0);
      if (judged.back() != 0 && verdict_of(camera) == Verdict::kLearning) {
        set(camera, Verdict::kGood);
      }
    }
    const ChartOutcome outcome = charts_.read(judged);
    if (outcome.blocks > 0) ask_who(outcome.blocks, outcome.highest);
  }

  // Something changed in the last `n` blocks: accuses the camera whose change explains most.
  void ask_who(std::int64_t n, const std::vector<double>& highest) {
    std::size_t first = memory_.cameras.size();
    std::size_t second = first;
    double inflation = 0.0;
    std::vector<double> gain(memory_.cameras.size(), 0.0);
    for (std::size_t c = 0; c < memory_.cameras.size(); ++c) {
      const CameraMemory& camera = memory_.cameras[c];
      if (!is_judged(camera) || index_ - n + 1 < camera.valid_from) continue;
      const HealthSpan window = span_of(camera, index_, n, sum(camera.baseline, camera.fault));
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
    const bool again = accused(camera);
    if (!again) set(camera, Verdict::kTurned);
    camera.estimated_at = index_;
    camera.onset = index_ - n + 1;
    camera.valid_from = camera.onset;
    estimate(camera);
    if (again && evidence_for(camera, n) < kUnproven) {
      acquit(camera);
      return;
    }
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
    for (double& g : gradient) g /= charts_.base_inflation(camera);
    camera.baseline = fit_effects(charts_.base_information(camera), gradient, kAllMask).value;
    camera.baseline[kLate] = std::clamp(camera.baseline[kLate], -kLateLearned_s, kLateLearned_s);
    return true;
  }

  HealthMemory& memory_;
  std::int64_t time_ns_;
  const std::vector<OpenCounts>& open_;
  std::int64_t index_;
  Charts charts_;
  std::vector<char> strays_;
};

}  // namespace

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

}  // namespace tipoff
