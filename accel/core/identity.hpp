// Who becomes public, who is taken up again, and who goes.
#pragma once

#include "reunite.hpp"
#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// How long a track that nobody saw is still matched, and how long it is kept: as the options say,
// and at least some intervals of the slowest camera.
std::int64_t coast_ns(const State& state, const Setup& setup);
std::int64_t lost_ns(const State& state, const Setup& setup);

// Notices in `state`, which follows upon `before`, that nobody could be seen for so long in between
// that everybody is lost.
void notice_blackout(const State& before, State& state, const Setup& setup);

// Makes the tracks of `sure` public, each under the identity of the lost one that it is likely to
// be, or a new one. After a blackout they wait until they can be told apart by how they move and
// are built, though not for long; the youngest leave `sure`.
void confirm(State& state, std::vector<std::size_t>& sure, const Setup& setup,
             ReuniteScratch& scratch);

// Marks the weaker of two tracks that are one body as gone.
void remove_duplicates(State& state, const Setup& setup);

// Removes tracks that nobody has seen for too long, and those marked.
void bury(State& state, const Setup& setup);

// Adds a detection's log-likelihoods of the roster to a track's.
void add_evidence(Track& track, const Frame& frame, std::size_t detection);

}  // namespace tipoff
