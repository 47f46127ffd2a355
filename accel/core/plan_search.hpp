// What searching cameras as a whole is worth: the people whom nobody knows yet.
#pragma once

#include <cstddef>
#include <vector>

#include "plan.hpp"
#include "plan_views.hpp"

namespace tipoff {

// The value of searching the first m cameras of an order, for every m.
struct SearchValue {
  std::vector<std::size_t> order;  // cameras, the best for their cost first
  std::vector<double> gain_m;      // of the first m + 1 of them together
  double unknown = 0.0;            // people expected to be there whom nobody knows
  PlanReason reason = PlanReason::due;
};

// Share of the people of this height in a frame that the detector finds.
double recall_of(const PlanBudget& budget, double height_px);

SearchValue value_search(const PlanScene& scene, const PlanViews& views, const PlanBudget& budget);

}  // namespace tipoff
