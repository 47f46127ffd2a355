// Who is who of two people close to each other, asked of all views at once.
#pragma once

#include <vector>

#include "associate.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Lets every two tracks near each other exchange their detections in any of the views, where all of
// it together fits better. `work` has the images of the predicted tracks and what was matched; one
// view after another cannot find an exchange in two views that each alone would make things worse.
void settle_contests(const State& state, const Setup& setup, std::vector<FrameWork>& work,
                     std::size_t frames);

}  // namespace tipoff
