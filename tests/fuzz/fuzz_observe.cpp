// A tracker told and asked anything, in any order. Beside it goes one on plain kernels that is told
// the same and asked nothing: in the end both say the same to the bit. Now and then the first is
// replaced by what its checkpoint restores.
#include <memory>
#include <optional>
#include <stdexcept>

#include "checks.hpp"
#include "game.hpp"

namespace tipoff::fuzz {
namespace {

constexpr int kMostCalls = 160;
constexpr int kMostSteps = 48;

class Game {
 public:
  explicit Game(Input in) : in_(in), rig_(testing::ring(1 + in_.below(5))) {
    TrackerOptions options = odd_options(in_);
    asked_ = std::make_unique<Tracker>(rig_, options);
    options.isa = "baseline";
    silent_ = std::make_unique<Tracker>(rig_, options);
    if (in_.below(4) == 3) now_ = kExtremes_ns[static_cast<std::size_t>(in_.below(12))] / 2;
  }

  void play() {
    for (int i = 0; i < kMostSteps && !in_.done(); ++i) step();
    compare();
  }

 private:
  int cameras() const { return static_cast<int>(rig_.cameras.size()); }
  // Cameras beyond the rig, too.
  int any_camera() { return in_.below(cameras() + 2) - (in_.left() % 16 == 0 ? 1 : 0); }

  void step() {
    const int kind = in_.below(16);
    if (kind < 4) return frame_sets(1 + kind);
    if (kind < 9) return odd_frame(kind);
    if (kind == 9) return refused();
    if (kind == 10) return compare();
    if (kind == 11) return restore();
    if (kind == 12) return ask_plan();
    if (kind == 13) return ask_snapshot(true);
    if (kind == 14) return ask_snapshot(false);
    ask_rest();
  }

  void tell(Call& call) {
    if (++calls_ > kMostCalls) return;
    std::optional<bool> first;
    std::optional<bool> second;
    try {
      first = asked_->observe(call.ready());
    } catch (const std::invalid_argument&) {
    }
    try {
      second = silent_->observe(call.ready());
    } catch (const std::invalid_argument&) {
    }
    require(first == second, "asking does not change what is accepted");
  }

  // What a good day brings: everybody's frames, a few times.
  void frame_sets(int count) {
    const std::uint32_t people = in_.byte();
    Dice dice(in_.byte());
    for (int i = 0; i < count; ++i) {
      now_ = std::clamp(now_ + testing::kFrame_ns, kExtremes_ns[7], kExtremes_ns[6]);
      for (int c = 0; c < cameras(); ++c) {
        Call call = see(rig_, c, now_, people, 1.0 + 0.1 * (people >> 5), dice);
        tell(call);
      }
    }
  }

  void odd_frame(int kind) {
    const int camera = in_.below(cameras());
    const std::int64_t time_ns = odd_time(in_, now_);
    Dice dice(in_.byte());
    Call call = see(rig_, camera, std::clamp(time_ns, kExtremes_ns[7], kExtremes_ns[6]), in_.byte(),
                    1.0 + in_.below(30), dice);
    if (kind >= 6) spoil(call, in_);
    if (kind == 7) add_evidence(call, in_);
    if (kind == 8) {
      call.observation.searched = false;
      const int asked = in_.below(4);
      for (int i = 0; i < asked; ++i) call.observation.asked.push_back(in_.below(8) - 1);
    }
    tell(call);
    if (time_ns > now_ && time_ns < now_ + 5'000'000'000) now_ = time_ns;
  }

  // What cannot be is refused by an exception, by both.
  void refused() {
    Call call;
    call.observation.camera = any_camera();
    call.observation.time_ns = odd_time(in_, now_);
    call.observation.joints = kJoints - in_.below(2);
    call.keypoints.resize(1);
    tell(call);
  }

  template <class Ask>
  void ask(Ask&& question) {
    try {
      question();
    } catch (const std::out_of_range&) {
    } catch (const std::invalid_argument&) {
    }
  }

  void ask_snapshot(bool smoothed) {
    const std::int64_t time_ns = odd_time(in_, now_);
    ask([&] { check(smoothed ? asked_->smoothed(time_ns) : asked_->snapshot(time_ns), *asked_); });
  }

  void ask_plan() {
    PlanBudget budget;
    budget.inference_ms = in_.below(40);
    budget.overdraft_ms = in_.below(4);
    budget.pose_ms = 0.5 * in_.below(4);
    budget.request_ms = 0.5 * in_.below(4);
    budget.entries_per_s = 0.1 * in_.below(4);
    budget.recall = {{10.0, 0.5}, {100.0, 0.9}};
    const std::uint8_t available = in_.byte();
    for (int c = 0; c < cameras(); ++c) {
      budget.detect_ms.push_back(1.0 + c);
      budget.available.push_back(static_cast<char>(available >> c & 1));
    }
    if (available == 255) budget.available.push_back(1);
    const std::int64_t time_ns = odd_time(in_, now_);
    ask([&] { check(asked_->plan(time_ns, budget), budget); });
  }

  void ask_rest() {
    const int camera = any_camera();
    const std::int64_t time_ns = odd_time(in_, now_);
    ask([&] { check(asked_->predict(camera, time_ns)); });
    ask([&] { (void)asked_->assigned(camera, in_.below(2) == 0 ? now_ : time_ns); });
    check(asked_->health(), *asked_);
    check(asked_->stats());
  }

  void restore() {
    const std::vector<std::uint8_t> bytes = asked_->checkpoint();
    auto restored = Tracker::restore(rig_, bytes.data(), bytes.size());
    require(restored->checkpoint() == bytes, "a checkpoint restored is the same checkpoint");
    asked_ = std::move(restored);
  }

  void compare() {
    const std::int64_t newest = asked_->newest_ns();
    require(newest == silent_->newest_ns(), "both are at the same time");
    if (newest == kNever) return;
    const Snapshot last = asked_->snapshot(newest);
    check(last, *asked_);
    require(testing::same(last, silent_->snapshot(newest)), "both know the same to the bit");
    const std::int64_t past = newest - asked_->options().lag_ns;
    const Snapshot before = asked_->smoothed(past);
    check(before, *asked_);
    require(testing::same(before, silent_->smoothed(past)), "both look back to the same bit");
  }

  Input in_;
  Rig rig_;
  std::unique_ptr<Tracker> asked_;
  std::unique_ptr<Tracker> silent_;
  std::int64_t now_ = 0;
  int calls_ = 0;
};

}  // namespace
}  // namespace tipoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tipoff::fuzz::Game(tipoff::fuzz::Input(data, size)).play();
  return 0;
}
