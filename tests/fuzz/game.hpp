// A game on a small court that an input plays: what the cameras bring, at which times, in which
// order, and what is asked in between.
#pragma once

#include <array>
#include <limits>
#include <vector>

#include "../unit/accel/core/scene.hpp"
#include "input.hpp"

namespace tipoff::fuzz {

inline constexpr int kJoints = 6;
// Enough for more rows than are looked at.
inline constexpr int kMostRows = kMaxDetections + 40;
inline constexpr int kMostRoster = 3;

// One call of `observe` with the memory that it points to.
struct Call {
  Observation observation;
  std::vector<float> keypoints;
  std::vector<float> evidence;

  const Observation& ready() {
    observation.keypoints = keypoints.data();
    observation.evidence = evidence.empty() ? nullptr : evidence.data();
    return observation;
  }
};

inline float odd_float(Input& in) {
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  constexpr std::array<float, 16> kValues{
      0.0F,   -0.0F,     0.5F,       1.0F,
      2.0F,   -1.0F,     1e-38F,     1e-45F,
      960.0F, 7000.0F,   -800.0F,    1e30F,
      -1e30F, kInfinite, -kInfinite, std::numeric_limits<float>::quiet_NaN()};
  return kValues[static_cast<std::size_t>(in.below(16))];
}

// Where time `time_ns` lies in the game, s; far times come round again.
inline double game_time_s(std::int64_t time_ns) {
  return 1e-9 * static_cast<double>(time_ns % 1'000'000'000'000);
}

inline void add_body(Call& call, const Rig& rig, int person, double sigma_px, Dice& dice) {
  const Camera& camera = rig.cameras[static_cast<std::size_t>(call.observation.camera)];
  for (const Vec3& joint : testing::body(person, game_time_s(call.observation.time_ns))) {
    Vec2 uv;
    const bool there = project(camera, joint, uv);
    call.keypoints.push_back(static_cast<float>(uv.x + sigma_px * dice.spread()));
    call.keypoints.push_back(static_cast<float>(uv.y + sigma_px * dice.spread()));
    call.keypoints.push_back(there ? 0.9F : 0.0F);
  }
  ++call.observation.rows;
}

// What one camera sees of some people.
inline Call see(const Rig& rig, int camera, std::int64_t time_ns, std::uint32_t people,
                double sigma_px, Dice& dice) {
  Call call;
  call.observation.camera = camera;
  call.observation.time_ns = time_ns;
  call.observation.joints = kJoints;
  for (int p = 0; p < 5; ++p) {
    if ((people >> p & 1) != 0) add_body(call, rig, p, sigma_px, dice);
  }
  return call;
}

// Some of a call's numbers, or many rows more, are made odd.
inline void spoil(Call& call, Input& in) {
  const int kind = in.below(4);
  if (kind == 3) {
    // Many rows from few bytes: the ones that are there and odd ones, by turns.
    Dice dice(in.byte());
    const float odd = odd_float(in);
    const int rows = kMostRows - in.below(kMostRows);
    call.keypoints.resize(static_cast<std::size_t>(rows * kJoints * 3));
    for (float& value : call.keypoints) {
      if (dice.next() % 4 == 0) value = odd;
      if (dice.next() % 4 == 0) value = static_cast<float>(960.0 + 900.0 * dice.spread());
      if (dice.next() % 8 == 0) value = 0.7F;
    }
    call.observation.rows = rows;
    return;
  }
  const int changes = 1 + in.below(8);
  for (int i = 0; i < changes && !call.keypoints.empty(); ++i) {
    const std::size_t at = in.number() % call.keypoints.size();
    if (kind == 0) call.keypoints[at] = odd_float(in);
    if (kind == 1) call.keypoints[at] += static_cast<float>(static_cast<std::int8_t>(in.byte()));
    if (kind == 2) call.keypoints[at - at % 3 + 2] = static_cast<float>(in.byte()) / 128.0F;
  }
}

inline void add_evidence(Call& call, Input& in) {
  call.observation.roster = 1 + in.below(kMostRoster);
  const int values = call.observation.rows * call.observation.roster;
  for (int i = 0; i < values; ++i) {
    const std::uint8_t v = in.byte();
    call.evidence.push_back(v >= 200 ? odd_float(in) : static_cast<float>(v) / 100.0F - 1.0F);
  }
}

inline TrackerOptions odd_options(Input& in) {
  constexpr std::int64_t kDelays_ns[] = {100'000'000, 0, 1, 30'000'000, 500'000'000};
  TrackerOptions options = testing::five_joints();
  const std::uint8_t choice = in.byte();
  options.max_delay_ns = kDelays_ns[choice % 5];
  options.lag_ns = kDelays_ns[choice / 5 % 5];
  options.max_coast_ns = choice % 2 == 0 ? 250'000'000 : 0;
  options.certain_views = choice / 25 % 5;
  return options;
}

}  // namespace tipoff::fuzz
