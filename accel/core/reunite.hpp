// Which of the lost tracks are the people who are found: all of them weighed at once.
#pragma once

#include <vector>

#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// Somebody found.
struct Candidate {
  std::size_t track = 0;
  double clear = 0.0;  // how much likelier (-ln) its pairing must be than any other that it is in
};

// Rooms for `reunite`; what they hold between calls does not matter.
struct ReuniteScratch {
  std::vector<Candidate> found;
  std::vector<std::size_t> lost;
  std::vector<double> cost;  // found x lost
  std::vector<double> newcomer;
  std::vector<double> gain;  // found x lost, as the assignment takes it
  std::vector<int> lost_of;
  std::vector<double> change;  // (found + 1) x (found + 1)
  std::vector<double> margin;
  std::vector<std::ptrdiff_t> old;
};

// Remembers where track k is in a state, and how it moves.
void remember(Track& track, const State& state, std::size_t k, const Setup& setup);

// Whether most limbs of track k were seen often enough to be compared.
bool built(const State& state, std::size_t k, const Setup& setup);

// For each of `found`, the lost track that it is likely to be, or -1: nobody lost, or nobody who
// is clearly likelier than another. Lost are the confirmed tracks that nobody saw for `unseen_ns`.
const std::vector<std::ptrdiff_t>& reunite(const State& state, const Setup& setup,
                                           const std::vector<Candidate>& found,
                                           std::int64_t unseen_ns, ReuniteScratch& scratch);

}  // namespace tipoff
