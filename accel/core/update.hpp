// The measurement update of all tracks at once: every joint over all views of a group.
#pragma once

#include <array>
#include <vector>

#include "associate.hpp"
#include "free_solve.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Rooms for `update_joints`; what they hold between calls does not matter.
struct UpdateScratch {
  Lanes solution{kSolutionRows};
  Lanes rows{5};  // whether to apply, what was gained
  std::vector<std::size_t> doubtful;
  std::vector<unsigned char> in_doubt;
  std::vector<std::size_t> restarted;
  FreeProblem problem;
};

// Solves and conditions every joint that a view holds, restarts those whose prediction must have
// been wrong, and learns noise and liveliness. Reads who holds what from `work`.
void update_joints(State& state, const Setup& setup, std::vector<FrameWork>& work,
                   std::size_t frames, double dt_s, UpdateScratch& scratch);

}  // namespace tipoff
