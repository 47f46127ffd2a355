#include "health_swap.hpp"

#include <algorithm>

namespace tipoff {
namespace {

// Mean distance of the joints, in parts of the person's size, up to which it is one person.
constexpr double kNear = 0.12;
constexpr int kLeastCommon = 3;

struct Box {
  double x0 = 1e30;
  double y0 = 1e30;
  double x1 = -1e30;
  double y1 = -1e30;
  double size() const { return x1 > x0 ? std::max(x1 - x0, y1 - y0) : 0.0; }
};

Box box_of(std::span<const ImagePoint> points) {
  Box box;
  for (const ImagePoint& p : points) {
    if (!p.given) continue;
    box.x0 = std::min(box.x0, p.uv.x);
    box.y0 = std::min(box.y0, p.uv.y);
    box.x1 = std::max(box.x1, p.uv.x);
    box.y1 = std::max(box.y1, p.uv.y);
  }
  return box;
}

bool apart(const Box& a, const Box& b) {
  return a.x0 > b.x1 || b.x0 > a.x1 || a.y0 > b.y1 || b.y0 > a.y1;
}

bool same(std::span<const ImagePoint> a, std::span<const ImagePoint> b, double limit) {
  double sum = 0.0;
  int common = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    if (!a[j].given || !b[j].given) continue;
    sum += std::min(norm(a[j].uv - b[j].uv), 2.0 * limit);
    ++common;
  }
  return common >= kLeastCommon && sum <= limit * common;
}

}  // namespace

double explained_as(std::span<const ImagePoint> detections, std::span<const ImagePoint> images,
                    std::size_t joints) {
  const std::size_t rows = joints > 0 ? detections.size() / joints : 0;
  const std::size_t tracks = joints > 0 ? images.size() / joints : 0;
  std::size_t found = 0;
  for (std::size_t n = 0; n < rows; ++n) {
    const auto detection = detections.subspan(n * joints, joints);
    const Box box = box_of(detection);
    for (std::size_t k = 0; k < tracks; ++k) {
      const auto image = images.subspan(k * joints, joints);
      const Box expected = box_of(image);
      if (apart(box, expected)) continue;
      if (same(detection, image, kNear * std::max(box.size(), expected.size()))) {
        ++found;
        break;
      }
    }
  }
  return rows > 0 ? static_cast<double>(found) / static_cast<double>(rows) : NAN;
}

}  // namespace tipoff
