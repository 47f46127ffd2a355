// Do a frame's detections look like another camera's view of the tracks?
#pragma once

#include <span>

#include "linalg.hpp"

namespace tipoff {

// A keypoint as detected or as expected; not `given` where it is missing or has no image.
struct ImagePoint {
  Vec2 uv;
  bool given = false;
};

// The share of detections that lie on some track's image: most common joints within a part of the
// person's size, on average. Work is bounded by both counts times the joints.
//
// `detections` holds N x joints points, `images` T x joints; NaN for N = 0.
double explained_as(std::span<const ImagePoint> detections, std::span<const ImagePoint> images,
                    std::size_t joints);

}  // namespace tipoff
