// What holds whatever was observed. A check that fails says what and aborts, for the fuzzer to see.
#pragma once

#include "core/tracker.hpp"

namespace tipoff::fuzz {

void require(bool holds, const char* what);

// Positive definite, and finite.
bool sound(const Sym3& covariance);

// `own`: the tracker's numbers are its own, not read from bytes that somebody edited.
void check(const Snapshot& snapshot, const Tracker& tracker, bool own = true);
void check(const Prediction& prediction);
void check(const Plan& plan, const PlanBudget& budget);
void check(const std::vector<CameraHealth>& health, const Tracker& tracker);
void check(const TrackerStats& stats);

}  // namespace tipoff::fuzz
