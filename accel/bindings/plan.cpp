#include "core/plan.hpp"

#include <pybind11/stl.h>

#include "bindings.hpp"
#include "core/tracker.hpp"

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

PlanBudget budget_of(const py::dict& d) {
  PlanBudget budget;
  budget.inference_ms = d["inference_ms"].cast<double>();
  budget.overdraft_ms = d["overdraft_ms"].cast<double>();
  budget.pose_ms = d["pose_ms"].cast<double>();
  budget.request_ms = d["request_ms"].cast<double>();
  budget.detect_ms = d["detect_ms"].cast<std::vector<double>>();
  for (const bool there : d["available"].cast<std::vector<bool>>()) {
    budget.available.push_back(there ? 1 : 0);
  }
  budget.detect_scale = d["detect_scale"].cast<double>();
  budget.recall = d["recall"].cast<RecallCurve>();
  budget.entries_per_s = d["entries_per_s"].cast<double>();
  budget.missing_m = d["missing_m"].cast<double>();
  budget.least_gain_m_per_ms = d["least_gain_m_per_ms"].cast<double>();
  return budget;
}

Plan planned(Tracker& tracker, std::int64_t time_ns, const PlanBudget& budget) {
  const py::gil_scoped_release release;
  return tracker.plan(time_ns, budget);
}

}  // namespace

// Poses as (N, 3) camera, identity, reason and (N, 5) box, gain; detects as (M, 2) camera, reason
// and (M,) gain; then the sums.
py::tuple plan(Tracker& tracker, std::int64_t time_ns, const py::dict& budget) {
  const Plan p = planned(tracker, time_ns, budget_of(budget));
  const auto poses = static_cast<py::ssize_t>(p.poses.size());
  const auto detects = static_cast<py::ssize_t>(p.detects.size());
  Array<std::int64_t> who({poses, py::ssize_t{3}});
  Array<double> where({poses, py::ssize_t{5}});
  Array<std::int64_t> searched({detects, py::ssize_t{2}});
  Array<double> worth(std::vector<py::ssize_t>{detects});
  Array<double> sums(std::vector<py::ssize_t>{5});
  std::int64_t* w = who.mutable_data();
  double* x = where.mutable_data();
  for (const PlannedPose& pose : p.poses) {
    for (const std::int64_t v : {static_cast<std::int64_t>(pose.camera), pose.id,
                                 static_cast<std::int64_t>(pose.reason)}) {
      *w++ = v;
    }
    for (const double v : {pose.x0, pose.y0, pose.x1, pose.y1, pose.gain_m}) *x++ = v;
  }
  std::int64_t* s = searched.mutable_data();
  double* g = worth.mutable_data();
  for (const PlannedDetect& detect : p.detects) {
    *s++ = detect.camera;
    *s++ = static_cast<std::int64_t>(detect.reason);
    *g++ = detect.gain_m;
  }
  double* sum = sums.mutable_data();
  for (const double v :
       {p.cost_ms, p.gain_m, p.error_before_m, p.error_after_m, p.expected_unknown}) {
    *sum++ = v;
  }
  return py::make_tuple(who, where, searched, worth, sums);
}

}  // namespace tipoff::bindings
