// From a track's state to what is told about it.
#pragma once

#include "state.hpp"
#include "tracker.hpp"

namespace tipoff {

// Appends a track to a snapshot, its limbs drawn to their learned lengths; a track without a known
// joint is left out.
void report_track(const Track& track, const State& state, const TrackerOptions& options,
                  std::size_t cameras, Snapshot& out);

// What `camera` should see of the tracks.
Prediction predict_tracks(const std::vector<Track>& tracks, const TrackerOptions& options,
                          const Camera& camera);

}  // namespace tipoff
