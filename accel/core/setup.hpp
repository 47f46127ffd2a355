// What stays the same for a tracker's life: the rig, the options, and what follows from them.
#pragma once

#include <vector>

#include "camera.hpp"
#include "dispatch.hpp"
#include "options.hpp"

namespace tipoff {

struct Setup {
  // Throws std::invalid_argument where rig or options cannot be.
  Setup(Rig rig, TrackerOptions options);

  Rig rig;
  TrackerOptions options;
  const Kernels* kernels = nullptr;
  std::vector<Lens> lenses;  // one a camera
  std::vector<int> kinds;    // of each joint: steps from the trunk along the limbs, at most 3
  std::size_t joints = 0;
  std::size_t limbs = 0;
};

}  // namespace tipoff
