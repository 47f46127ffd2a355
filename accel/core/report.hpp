// From tracks to what is told about them.
#pragma once

#include <cstdint>
#include <vector>

#include "setup.hpp"
#include "snapshot.hpp"
#include "state.hpp"

namespace tipoff {

// Tracks at one time, wherever they lie.
struct TracksAt {
  std::int64_t time_ns = kNever;
  const std::vector<Track>* tracks = nullptr;
  const Lanes* joints = nullptr;
  const std::vector<std::uint64_t>* supports = nullptr;
  const Lanes* limbs = nullptr;
  std::uint64_t live = 0;  // cameras that are not late
  bool smoothed = false;   // by what came after
};

// The tracks that are told at a time, in the order of their identities: confirmed and seen lately.
std::vector<std::size_t> told(const TracksAt& at, const Setup& setup);

// Everybody told, their limbs drawn to the learned lengths; a track without a known joint is left
// out.
void report_tracks(const TracksAt& at, const Setup& setup, Snapshot& out);

// What `camera` should see of those told.
Prediction predict_tracks(const TracksAt& at, const Setup& setup, int camera);

// Cameras whose newest frame is no older than usual for them.
std::uint64_t live_cameras(const State& state, std::size_t cameras);

}  // namespace tipoff
