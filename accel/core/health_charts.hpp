// The charts: how far the mean effects over some windows lie from a camera's baseline, in standard
// deviations.
#pragma once

#include <span>

#include "health_memory.hpp"

namespace tipoff {

// A window with fewer people, one a block, is not read.
inline constexpr double kLeastPeople = 4.0;

// How many times as large the variance of each window is as if its blocks were independent. Until
// it is seen, it is believed to grow with the window as it did for the shorter ones and some more;
// by chart and window.
using Alike = std::array<std::array<double, kScales>, kCharts>;
Alike alike_of(const HealthMemory& memory);

// By how much larger the variance of a span's gradient is than its information says: keypoints err
// less than is assumed, people err alike.
double inflation_of(const HealthMemory& memory, const HealthSpan& span, std::int64_t n);

// What the charts of one block found.
struct ChartOutcome {
  std::vector<double> highest;  // by camera, in thresholds
  std::int64_t blocks = 0;      // the window of the highest of all where it is beyond 1, else 0
};

class Charts {
 public:
  // As of the block that is just closed.
  Charts(HealthMemory& memory, const Rig& rig);

  // Reads all charts of the cameras that are `judged`, and remembers what they say.
  ChartOutcome read(std::span<const char> judged);

  // What is known of a camera's baseline: its sums in units of their variance.
  EffectMatrix base_information(const CameraMemory& camera) const;
  double base_inflation(const CameraMemory& camera) const;

 private:
  struct Reading {
    double value = 0.0;
    double deviation = 1.0;
    double own_part = 1.0;     // of the variance, the rest being the baseline's
    double independent = 0.0;  // variance of the window, were its blocks independent
    bool given = false;
  };

  void read_camera(std::size_t c, ChartOutcome& out);
  Reading value_of(std::size_t c, std::size_t chart, std::size_t scale, const HealthSpan& w,
                   const EffectMatrix& doubt) const;
  double past(const CameraMemory& camera, std::size_t chart, std::size_t scale) const;
  void pool();
  void remember(CameraMemory& camera, std::size_t chart, std::size_t scale, const Reading& reading);

  HealthMemory& memory_;
  const Rig& rig_;
  std::array<std::array<Moving, kScales>, kCharts> rig_past_{};
  Alike alike_{};
  double worst_ = 1.0;  // highest chart, in thresholds, where beyond 1
};

// Takes what the charts said at block `index` into the camera's past.
void take_past(CameraMemory& camera, std::int64_t index);

}  // namespace tipoff
