// Minimum-cost assignment of rows to columns with forbidden pairs.
#pragma once

#include <vector>

namespace tipoff {

// A pair of this cost or more is never assigned.
inline constexpr double kForbidden = 1e6;

// Assigns rows to columns at the least sum of costs, where leaving a row free costs `free_cost`
// (shortest augmenting paths after Jonker and Volgenant, 1987). `cost` is rows x columns by rows.
// `column_of` receives one column a row, -1 where it is free; ties go to the lowest index.
void assign(const std::vector<double>& cost, int rows, int columns, double free_cost,
            std::vector<int>& column_of);

}  // namespace tipoff
