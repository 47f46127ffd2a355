// What is remembered of every camera of a rig, block by block and for good.
#pragma once

#include <cstdint>
#include <vector>

#include "health_fit.hpp"

namespace tipoff {

inline constexpr std::int64_t kHealthBlock_ns = 250'000'000;
// Blocks that are remembered one by one: 8 s.
inline constexpr std::size_t kHealthWindow = 32;
// Windows of the charts, in blocks.
inline constexpr std::size_t kScales = 5;
inline constexpr std::array<int, kScales> kScaleBlocks{2, 4, 8, 16, 32};

enum class Verdict : std::int32_t {
  kLearning,  // too little was seen to judge by
  kGood,
  kTurned,
  kZoomed,
  kShifted,
  kLate,
  kSwapped,   // shows the pictures of `partner`
  kAstray,    // sees people, none where they are
  kBlind,     // sees nobody where people are
  kDisputed,  // it or `partner` has changed; the views cannot tell which
};

struct FrameCounts {
  int detections = 0;
  int explained = 0;  // by a confirmed track
  int expected = 0;   // confirmed tracks that it should see
  int held = 0;       // of these, seen
};

// Sums of counts with the results of guesses whose pictures these might be.
struct OpenCounts {
  double detections = 0.0;
  double explained = 0.0;
  double expected = 0.0;
  double held = 0.0;
  std::vector<double> tried;    // by camera: detections taken as that camera's; empty: none
  std::vector<double> matched;  // of these, explained
  template <class Archive>
  void archive(Archive& a) {
    a(detections, explained, expected, held, tried, matched);
  }
};

// A closed block of one camera. The gradient is that of the residuals as the tracker gave them.
struct HealthBlock {
  Effects gradient{};
  EffectMatrix information;
  std::array<double, kCharts> variance{};  // of the gradient, people being independent
  double people = 0.0;
  double detections = 0.0;
  double explained = 0.0;
  double expected = 0.0;
  double held = 0.0;
  // Squared values of the charts whose windows end here, 0 where there was none.
  std::array<std::array<double, kScales>, kCharts> squared{};
  template <class Archive>
  void archive(Archive& a) {
    a(gradient, information, variance, people, detections, explained, expected, held, squared);
  }
};

// A mean that forgets.
struct Moving {
  double value = 0.0;
  double weight = 0.0;
  void learn(double sample, double share, double memory);
  template <class Archive>
  void archive(Archive& a) {
    a(value, weight);
  }
};

struct CameraMemory {
  std::vector<HealthBlock> recent;  // kHealthWindow of them, by block number modulo that
  Effects centre{};                 // what its residuals are corrected by before people are scored
  Effects baseline{};               // what it usually is off by, given the others' centres
  Effects fault{};                  // change since, while accused
  Effects base_gradient{};
  EffectMatrix base_information;
  double base_blocks = 0.0;
  std::array<std::array<Moving, kScales>, kCharts> past;  // squared chart values
  std::uint64_t centred = 0;                              // how often at the start
  std::int64_t valid_from = 0;                            // first block that the charts may use
  std::int64_t learn_from = 0;  // first block that the baseline has not taken
  std::int64_t onset = 0;       // first block of the accused change
  std::int64_t accused_at = 0;
  std::int64_t estimated_at = 0;  // last block at which its estimate was begun anew
  std::int64_t accused_ns = 0;
  std::int32_t verdict = 0;
  std::int32_t partner = -1;
  double effect_px = 0.0;         // root mean square of the accused change on people's images
  Moving spread_px;               // mean misfit of people
  Moving inflation;               // of a block's variance over what its information says
  Moving sd_px;                   // expected deviation of a keypoint
  Moving usual_share;             // of detections explained
  std::array<Moving, 4> bias_px;  // u, v over half a minute; u, v over four minutes
  template <class Archive>
  void archive(Archive& a) {
    a(recent, centre, baseline, fault, base_gradient, base_information, base_blocks, past, centred,
      valid_from, learn_from, onset, accused_at, estimated_at, accused_ns, verdict, partner,
      effect_px, spread_px, inflation, sd_px, usual_share, bias_px);
  }
};

struct HealthMemory {
  std::int64_t index = 0;             // blocks closed
  double place[3] = {0.0, 0.0, 0.0};  // where people were in the last block
  // How much longer than a block people err alike: by window, the squares of the charts' values
  // over what they would be if blocks were independent.
  std::array<std::array<Moving, kScales>, kCharts> alike;
  std::vector<CameraMemory> cameras;
  template <class Archive>
  void archive(Archive& a) {
    a(index, place[0], place[1], place[2], alike, cameras);
  }
};

// Whether something is held against a camera.
bool accused(const CameraMemory& camera);
// Whether its pictures have nothing to do with where people are.
bool useless(const CameraMemory& camera);

// The block numbered `index`, one of the last kHealthWindow.
inline const HealthBlock& block_of(const CameraMemory& camera, std::int64_t index) {
  return camera.recent[static_cast<std::size_t>(index) % kHealthWindow];
}

Effects sum(const Effects& a, const Effects& b);

// Counts of the last `n` blocks up to block `index`.
struct BlockCounts {
  double detections = 0.0;
  double explained = 0.0;
  double expected = 0.0;
  double held = 0.0;
};
BlockCounts counts_of(const CameraMemory& camera, std::int64_t index, std::int64_t n);

// The last `n` blocks up to block `index`, summed; the gradient is against `known`.
struct HealthSpan {
  Effects gradient{};
  EffectMatrix information;
  std::array<double, kCharts> variance{};
  double people = 0.0;
};
HealthSpan span_of(const CameraMemory& camera, std::int64_t index, std::int64_t n,
                   const Effects& known);

}  // namespace tipoff
