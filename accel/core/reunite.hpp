// Which of the lost tracks are the people who are found: all of them weighed at once.
#pragma once

#include <vector>

#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Rooms for `reunite`; what they hold between calls does not matter.
struct ReuniteScratch {
  std::vector<std::size_t> lost;
  std::vector<double> cost;  // found x lost
  std::vector<double> newcomer;
  std::vector<double> gain;  // found x lost, as the assignment takes it
  std::vector<int> lost_of;
  std::vector<std::ptrdiff_t> old;
};

// Remembers of track k when it was last known, where, and how it moved: as the state before says.
void remember_leaving(Track& track, const State& before, std::size_t k, const Setup& setup);

// For each of `found`, the lost track that it is likely to be, or -1: nobody lost, or nobody who
// is clearly likelier than another. Lost are the confirmed tracks that nobody saw for `unseen_ns`.
const std::vector<std::ptrdiff_t>& reunite(const State& state, const Setup& setup,
                                           const std::vector<std::size_t>& found,
                                           std::int64_t unseen_ns, ReuniteScratch& scratch);

}  // namespace tipoff
