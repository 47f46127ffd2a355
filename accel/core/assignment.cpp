#include "assignment.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace tipoff {
namespace {

// The square problem that the rows and columns make with one private "free" column for every row.
class Problem {
 public:
  Problem(const std::vector<double>& cost, int rows, int columns, double free_cost)
      : cost_(cost), columns_(columns), free_cost_(free_cost), total_(columns + rows) {}

  int columns() const { return total_; }

  double operator()(int row, int column) const {
    if (column >= columns_) return column - columns_ == row ? free_cost_ : kForbidden;
    return std::min(cost_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                          static_cast<std::size_t>(column)],
                    kForbidden);
  }

 private:
  const std::vector<double>& cost_;
  int columns_;
  double free_cost_;
  int total_;
};

}  // namespace

void assign(const std::vector<double>& cost, int rows, int columns, double free_cost,
            std::vector<int>& column_of) {
  column_of.assign(static_cast<std::size_t>(rows), -1);
  if (rows == 0 || columns == 0) return;
  const Problem problem(cost, rows, columns, free_cost);
  const auto n = static_cast<std::size_t>(problem.columns());
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<double> row_price(static_cast<std::size_t>(rows), 0.0);
  std::vector<double> column_price(n, 0.0);
  std::vector<int> row_of(n, -1);
  std::vector<double> distance(n);
  std::vector<int> previous(n);
  std::vector<char> done(n);
  for (int start = 0; start < rows; ++start) {
    std::fill(distance.begin(), distance.end(), kInfinity);
    std::fill(previous.begin(), previous.end(), -1);
    std::fill(done.begin(), done.end(), 0);
    int row = start;
    int column = -1;
    double reached = 0.0;
    for (;;) {
      std::size_t best = n;
      for (std::size_t j = 0; j < n; ++j) {
        if (done[j]) continue;
        const double d = reached + problem(row, static_cast<int>(j)) -
                         row_price[static_cast<std::size_t>(row)] - column_price[j];
        if (d < distance[j]) {
          distance[j] = d;
          previous[j] = column;
        }
        if (best == n || distance[j] < distance[best]) best = j;
      }
      reached = distance[best];
      done[best] = 1;
      column = static_cast<int>(best);
      if (row_of[best] < 0) break;
      row = row_of[best];
    }
    for (std::size_t j = 0; j < n; ++j) {
      if (!done[j]) continue;
      const int owner = row_of[j];
      if (owner >= 0) row_price[static_cast<std::size_t>(owner)] += reached - distance[j];
      column_price[j] -= reached - distance[j];
    }
    row_price[static_cast<std::size_t>(start)] += reached;
    while (column >= 0) {
      const int before = previous[static_cast<std::size_t>(column)];
      row_of[static_cast<std::size_t>(column)] =
          before < 0 ? start : row_of[static_cast<std::size_t>(before)];
      column = before;
    }
  }
  for (int j = 0; j < columns; ++j) {
    const int row = row_of[static_cast<std::size_t>(j)];
    if (row >= 0 && problem(row, j) < kForbidden) column_of[static_cast<std::size_t>(row)] = j;
  }
}

}  // namespace tipoff
