// What the tracker answers with.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "linalg.hpp"

namespace tipoff {

struct Snapshot {
  std::int64_t time_ns = 0;
  int joints = 0;
  std::vector<std::int64_t> ids;
  std::vector<Vec3> points;        // tracks x joints, NaN unknown
  std::vector<Sym3> covariances;   // the same, NaN unknown
  std::vector<float> confidences;  // 0 where no view supports the joint
  std::vector<std::int32_t> views;
};

struct Prediction {
  int joints = 0;
  std::vector<std::int64_t> ids;
  std::vector<std::array<double, 4>> boxes;  // NaN where the track is not in view
  std::vector<float> keypoints;              // tracks x joints x 3: u, v, expected confidence
  std::vector<char> visible;                 // tracks x joints
};

}  // namespace tipoff
