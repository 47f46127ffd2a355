// A ball tracker told and asked anything, in any order, beside one that is told the same and asked
// nothing until the end.
#include <cmath>
#include <stdexcept>

#include "checks.hpp"
#include "core/ball.hpp"
#include "game.hpp"

namespace tipoff::fuzz {
namespace {

constexpr int kMostSteps = 64;

// A ball that is thrown from hand to hand, up to a height of 4 m.
Vec3 thrown(std::int64_t time_ns) {
  const double t = std::fmod(std::fabs(game_time_s(time_ns)), 1.2);
  return {-2.0 + 4.0 * t, 0.5 - t, 1.5 + 5.9 * t - 4.9 * t * t};
}

class BallGame {
 public:
  explicit BallGame(Input in)
      : in_(in), rig_(testing::ring(1 + in_.below(4))), asked_(rig_, {}), silent_(rig_, {}) {}

  void play() {
    for (int i = 0; i < kMostSteps && !in_.done(); ++i) step();
    if (begun_) compare();
  }

 private:
  void step() {
    const int kind = in_.below(8);
    if (kind < 3) return frame_sets(1 + 2 * kind);
    if (kind < 6) return odd_frame(kind);
    if (kind == 6) return ask();
    if (begun_) compare();
  }

  void tell(int camera, std::int64_t time_ns, const std::vector<float>& candidates) {
    const ball::Observation seen{camera, time_ns, static_cast<std::int64_t>(candidates.size() / 3),
                                 candidates.data()};
    try {
      const bool taken = asked_.observe(seen);
      require(taken == silent_.observe(seen), "asking does not change what is accepted");
      if (taken && (!begun_ || time_ns > newest_)) newest_ = time_ns;
      begun_ = begun_ || taken;
    } catch (const std::invalid_argument&) {
    }
  }

  std::vector<float> sight(int camera, std::int64_t time_ns, Dice& dice) {
    Vec2 uv;
    if (!project(rig_.cameras[static_cast<std::size_t>(camera)], thrown(time_ns), uv)) return {};
    return {static_cast<float>(uv.x + dice.spread()), static_cast<float>(uv.y + dice.spread()),
            0.8F};
  }

  void frame_sets(int count) {
    Dice dice(in_.byte());
    for (int i = 0; i < count; ++i) {
      now_ = std::min(now_ + testing::kFrame_ns, kExtremes_ns[6]);
      for (std::size_t c = 0; c < rig_.cameras.size(); ++c) {
        tell(static_cast<int>(c), now_, sight(static_cast<int>(c), now_, dice));
      }
    }
  }

  void odd_frame(int kind) {
    const int cameras = static_cast<int>(rig_.cameras.size());
    const int camera = in_.below(kind == 5 ? cameras + 1 : cameras);
    const std::int64_t time_ns = odd_time(in_, now_);
    Dice dice(in_.byte());
    std::vector<float> candidates;
    if (camera < cameras) candidates = sight(camera, time_ns, dice);
    const int more = in_.below(8) == 7 ? 80 : in_.below(4);
    const float odd = odd_float(in_);
    for (int i = 0; i < more; ++i) {
      candidates.push_back(
          dice.next() % 4 == 0 ? odd : static_cast<float>(960.0 + 990.0 * dice.spread()));
      candidates.push_back(
          dice.next() % 4 == 0 ? odd : static_cast<float>(540.0 + 560.0 * dice.spread()));
      candidates.push_back(kind == 4 ? odd : static_cast<float>(dice.next() % 100) / 90.0F);
    }
    tell(camera, time_ns, candidates);
    if (time_ns > now_ && time_ns < now_ + 5'000'000'000) now_ = time_ns;
  }

  void look(const ball::Report& r) {
    if (!r.known) return;
    require(std::isfinite(norm(r.position)) && std::isfinite(norm(r.velocity)),
            "a known ball is somewhere");
    require(sound(r.covariance_m2), "a known ball's covariance is positive definite");
    require(r.flight >= 0.0 && r.flight <= 1.0, "a probability");
    require(r.views >= 0 && r.views <= static_cast<int>(rig_.cameras.size()),
            "no more views than cameras");
  }

  void ask() {
    const std::int64_t time_ns = odd_time(in_, now_);
    const ball::Wrist wrist{1, thrown(time_ns), Sym3::diagonal(1e-3)};
    try {
      look(asked_.snapshot(time_ns, std::span(&wrist, static_cast<std::size_t>(in_.below(2)))));
    } catch (const std::out_of_range&) {
    }
    (void)asked_.stats();
  }

  void compare() {
    const ball::Report a = asked_.snapshot(newest_, {});
    const ball::Report b = silent_.snapshot(newest_, {});
    look(a);
    require(a.known == b.known && a.seen_ns == b.seen_ns && a.views == b.views,
            "both tell the same");
    if (!a.known) return;
    require(norm(a.position - b.position) == 0.0 && norm(a.velocity - b.velocity) == 0.0,
            "both know the same to the bit");
  }

  Input in_;
  Rig rig_;
  ball::BallTracker asked_;
  ball::BallTracker silent_;
  std::int64_t now_ = 0;
  std::int64_t newest_ = 0;
  bool begun_ = false;
};

}  // namespace
}  // namespace tipoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tipoff::fuzz::BallGame(tipoff::fuzz::Input(data, size)).play();
  return 0;
}
