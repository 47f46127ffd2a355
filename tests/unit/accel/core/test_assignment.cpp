#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "core/assignment.hpp"

using namespace tipoff;

namespace {

// The least sum by trying everything.
double best_sum(const std::vector<double>& cost, int rows, int columns, double free_cost, int row,
                unsigned used) {
  if (row == rows) return 0.0;
  double best = free_cost + best_sum(cost, rows, columns, free_cost, row + 1, used);
  for (int j = 0; j < columns; ++j) {
    const double c = cost[static_cast<std::size_t>(row * columns + j)];
    if (((used >> j) & 1U) != 0 || c >= kForbidden) continue;
    best = std::min(best, c + best_sum(cost, rows, columns, free_cost, row + 1, used | (1U << j)));
  }
  return best;
}

double sum_of(const std::vector<double>& cost, int columns, double free_cost,
              const std::vector<int>& column_of) {
  double sum = 0.0;
  for (std::size_t r = 0; r < column_of.size(); ++r) {
    sum +=
        column_of[r] < 0
            ? free_cost
            : cost[r * static_cast<std::size_t>(columns) + static_cast<std::size_t>(column_of[r])];
  }
  return sum;
}

}  // namespace

TEST_CASE("an assignment costs no more than any other") {
  std::mt19937 random(7);
  std::vector<int> column_of;
  for (int trial = 0; trial < 2000; ++trial) {
    const int rows = static_cast<int>(random() % 6);
    const int columns = static_cast<int>(random() % 6);
    std::vector<double> cost(static_cast<std::size_t>(rows * columns));
    for (double& c : cost) c = random() % 5 == 0 ? kForbidden : (random() % 100) / 100.0;
    assign(cost, rows, columns, 0.6, column_of);
    REQUIRE(column_of.size() == static_cast<std::size_t>(rows));
    CHECK(sum_of(cost, columns, 0.6, column_of) ==
          doctest::Approx(best_sum(cost, rows, columns, 0.6, 0, 0)).epsilon(1e-12));
  }
}

TEST_CASE("a forbidden pair is never assigned and a column serves one row") {
  std::vector<int> column_of;
  assign({kForbidden, 0.1, 0.2, kForbidden, 0.1, 0.2}, 2, 3, 0.5, column_of);
  CHECK(column_of == std::vector<int>{1, 2});
  assign({kForbidden, kForbidden}, 2, 1, 0.5, column_of);
  CHECK(column_of == std::vector<int>{-1, -1});
}
