#include "free_solve.hpp"

#include <algorithm>
#include <array>

namespace tipoff {
namespace {

constexpr int kSteps = 4;

struct Tables {
  std::array<const Lens*, kMaxCameras> lenses{};
  std::array<const double*, kMaxCameras> views{};
  std::array<const double*, kMaxCameras> times{};
  std::array<double*, kMaxCameras> r2{};
};

Tables tables_of(FreeProblem& p, const Setup& setup) {
  Tables t;
  for (std::size_t f = 0; f < p.cameras.size(); ++f) {
    t.lenses[f] = &setup.lenses[static_cast<std::size_t>(p.cameras[f])];
    t.views[f] = p.views[f].data();
    t.times[f] = p.views[f].row(FreeProblem::kTime);
    t.r2[f] = p.views[f].row(FreeProblem::kResidual);
  }
  return t;
}

void run(FreeProblem& p, const Setup& setup, bool with_prior) {
  const Tables t = tables_of(p, setup);
  FullArgs args{};
  args.frames = static_cast<int>(p.cameras.size());
  args.lenses = t.lenses.data();
  args.views = t.views.data();
  args.times = t.times.data();
  args.r2 = t.r2.data();
  args.stride = static_cast<long>(p.views[0].stride());
  args.lanes = static_cast<long>(p.lanes);
  for (std::size_t i = 0; i < 3; ++i) {
    args.start[i] = p.start.row(i);
    args.velocity[i] = p.velocity.row(i);
    args.prior[i] = with_prior ? p.prior.row(i) : nullptr;
  }
  for (std::size_t i = 0; i < 6; ++i) args.information[i] = p.prior.row(3 + i);
  args.solution = p.solution.data();
  args.solution_stride = static_cast<long>(p.solution.stride());
  args.steps = kSteps;
  setup.kernels->full(args);
}

void find_rays(FreeProblem& p, const Setup& setup) {
  p.rays.resize(std::max(p.rays.size(), p.cameras.size()), Lanes(4));
  for (std::size_t f = 0; f < p.cameras.size(); ++f) {
    p.rays[f].reserve(p.lanes);
    RayArgs args{};
    args.lens = &setup.lenses[static_cast<std::size_t>(p.cameras[f])];
    args.u = p.views[f].row(kZu);
    args.v = p.views[f].row(kZv);
    args.given = p.views[f].row(kInv);
    for (std::size_t i = 0; i < 3; ++i) args.ray[i] = p.rays[f].row(i);
    args.valid = p.rays[f].row(3);
    args.lanes = static_cast<long>(p.lanes);
    setup.kernels->rays(args);
  }
}

// One hypothesis for every lane: where the rays of views a and b meet; kept where it costs less.
void try_pair(FreeProblem& p, const Setup& setup, const Tables& t, std::size_t a, std::size_t b) {
  PairArgs pair{};
  pair.a = t.lenses[a];
  pair.b = t.lenses[b];
  for (std::size_t i = 0; i < 3; ++i) {
    pair.ray_a[i] = p.rays[a].row(i);
    pair.ray_b[i] = p.rays[b].row(i);
    pair.point[i] = p.trial.row(i);
  }
  pair.inv_a = p.rays[a].row(3);
  pair.inv_b = p.rays[b].row(3);
  pair.met = p.trial.row(3);
  pair.lanes = static_cast<long>(p.lanes);
  setup.kernels->pair(pair);
  CostArgs cost{};
  cost.frames = static_cast<int>(p.cameras.size());
  cost.lenses = t.lenses.data();
  cost.views = t.views.data();
  cost.times = t.times.data();
  cost.stride = static_cast<long>(p.views[0].stride());
  cost.lanes = pair.lanes;
  for (std::size_t i = 0; i < 3; ++i) {
    cost.velocity[i] = p.velocity.row(i);
    cost.point[i] = p.trial.row(i);
  }
  cost.cost = p.trial.row(4);
  setup.kernels->cost(cost);
  for (std::size_t lane = 0; lane < p.lanes; ++lane) {
    if (!(p.trial.at(3, lane) > 0.0) || !(p.trial.at(4, lane) < p.best.at(0, lane))) continue;
    p.best.at(0, lane) = p.trial.at(4, lane);
    for (std::size_t i = 0; i < 3; ++i) p.start.at(i, lane) = p.trial.at(i, lane);
  }
}

}  // namespace

void FreeProblem::reset(std::size_t frames, std::size_t wanted) {
  lanes = wanted;
  cameras.assign(frames, 0);
  views.resize(std::max(views.size(), frames), Lanes(kRows));
  for (std::size_t f = 0; f < frames; ++f) views[f].clear(wanted);
  start.clear(wanted);
  velocity.clear(wanted);
  prior.clear(wanted);
  solution.clear(wanted);
  trial.clear(wanted);
  best.clear(wanted);
}

void solve_with_prior(FreeProblem& problem, const Setup& setup) {
  run(problem, setup, true);
}

void solve_without_prior(FreeProblem& p, const Setup& setup) {
  const std::size_t frames = p.cameras.size();
  for (std::size_t lane = 0; lane < p.lanes; ++lane) p.best.at(0, lane) = 1e30;
  if (frames >= 2) {
    find_rays(p, setup);
    const Tables t = tables_of(p, setup);
    int pairs = 0;
    // Far partners first: neighbours in the list are often neighbours on the ring, with thin
    // triangles.
    for (std::size_t gap = std::max<std::size_t>(1, frames / 2); gap >= 1 && pairs < kMaxPairs;
         --gap) {
      for (std::size_t a = 0; a + gap < frames && pairs < kMaxPairs; ++a, ++pairs) {
        try_pair(p, setup, t, a, a + gap);
      }
    }
  }
  run(p, setup, false);
  for (std::size_t lane = 0; lane < p.lanes; ++lane) {
    if (!(p.best.at(0, lane) < 1e30)) p.solution.at(kInliers, lane) = -1.0;
  }
}

}  // namespace tipoff
