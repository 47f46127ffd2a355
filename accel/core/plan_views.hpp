// What each camera would tell about each expected person: the ground that a plan is made on.
#pragma once

#include <vector>

#include "plan.hpp"

namespace tipoff {

// One person in one view.
struct PlanView {
  bool askable = false;  // enough of the body is in the frame
  double x0 = 0.0;
  double y0 = 0.0;
  double x1 = 0.0;
  double y1 = 0.0;
  double depth = 0.0;     // of the body's middle, m
  double px_per_m = 0.0;  // at that depth
  double chance = 0.0;    // that a pose there shows this person and not a neighbour
  double open = 0.0;      // mean weight of the joints, 1: all of them in the frame and free
  double height_px() const { return y1 - y0; }
};

// All people in all views. `information` of a joint is what one pose adds to the inverse of its
// covariance where it shows the person: J^T J / sigma^2, weighted by how likely the joint is seen
// and not taken for another's.
class PlanViews {
 public:
  PlanViews(const PlanScene& scene, const Rig& rig, const std::vector<char>& available);

  const PlanView& view(std::size_t camera, std::size_t track) const {
    return views_[camera * tracks_ + track];
  }
  const Sym3* information(std::size_t camera, std::size_t track) const {
    return &information_[(camera * tracks_ + track) * joints_];
  }

 private:
  struct Image {
    Vec2 uv;
    double depth = 0.0;
    bool inside = false;
  };

  void look(const PlanScene& scene, const Camera& camera, std::size_t c);
  void crowd(const PlanScene& scene, const Camera& camera, std::size_t c);
  void shade(const PlanScene& scene, const Camera& camera, std::size_t c, std::size_t back,
             std::size_t front);
  double covered(const PlanScene& scene, std::size_t front, Vec2 uv, double radius_px) const;

  std::size_t tracks_ = 0;
  std::size_t joints_ = 0;
  std::vector<PlanView> views_;    // cameras x tracks
  std::vector<Sym3> information_;  // cameras x tracks x joints
  std::vector<Image> images_;      // of the camera at hand, tracks x joints
  std::vector<double> weights_;    // the same
};

}  // namespace tipoff
