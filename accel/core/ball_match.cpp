#include "ball_match.hpp"

#include <algorithm>

#include "ball_motion.hpp"

namespace tipoff::ball {
namespace {

// Candidates of a view that take part in a vote, and pairs that propose a point.
constexpr std::size_t kMostVoters = 6;
constexpr std::size_t kMostPairs = 96;
// Candidates of a view that take part in finding a new ball: so many that their pairs stay below
// `kMostFinderPairs`, fewer beside a ball that is seen; and points looked at.
constexpr std::size_t kLeastFinders = 6;
constexpr std::size_t kMostFinders = 32;
constexpr std::size_t kMostFinderPairs = 20'000;
constexpr std::size_t kMostPoints = 128;
constexpr int kSolveSteps = 3;
// Standard deviation of a velocity that nobody knows yet.
constexpr double kUnknownSpeed_mps = 5.0;
// A ball may be anywhere in this volume before it is found.
constexpr double kVolume_m3 = 3000.0;
constexpr double kMostDistance_m = 150.0;

double delay_of(const View& view, const Candidate& candidate) {
  return view.offset_s + candidate.delay_s;
}

// Log of how much likelier one pixel is under a detection than under clutter, without the density
// of its residual.
double gain(const View& view, const Senses& senses) {
  const double area = std::max(view.camera->width * view.camera->height, 1e4);
  const double density = std::max(senses.clutter.value, 0.02) / area;
  return log_of(senses.seen.value / density) - kLogTwoPi;
}

double loss(const Senses& senses) {
  return log_of(1.0 - senses.seen.value);
}

bool in_picture(const Camera& camera, Vec2 uv) {
  return uv.x >= 0.0 && uv.y >= 0.0 && uv.x < camera.width && uv.y < camera.height;
}

struct Linear {
  Projection image;
  bool valid = false;
};

// A candidate near one mode's expectation by the measure of its whole uncertainty.
int nearest(const View& view, const Mode& mode, Vec3 acceleration, double delay_s) {
  const Vec3 p =
      part(mode.x, 0) + delay_s * part(mode.x, 1) + (0.5 * delay_s * delay_s) * acceleration;
  Projection image;
  if (!project(*view.camera, p, image)) return -1;
  const Sym3 pp = block_of(mode.P, 0);
  const double late = delay_s * delay_s;
  const Sym3 vv = late * block_of(mode.P, 1);
  const Sym3 spread = pp + vv;
  const double xx = form(image.du, spread, image.du) + view.variance_px2;
  const double xy = form(image.du, spread, image.dv);
  const double yy = form(image.dv, spread, image.dv) + view.variance_px2;
  const double det = xx * yy - xy * xy;
  if (!(det > 0.0)) return -1;
  int best = -1;
  double least = kGate * det;
  const std::vector<Candidate>& candidates = view.frame->candidates;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (view.taken[i]) continue;
    const Vec2 e = candidates[i].uv - image.uv;
    const double r2 = yy * e.x * e.x - 2.0 * xy * e.x * e.y + xx * e.y * e.y;
    if (r2 < least) {
      least = r2;
      best = static_cast<int>(i);
    }
  }
  return best;
}

// The point that fits a choice best, with the prior's help; the information of both.
struct Solution {
  Vec3 at;
  Sym3 information;
};

Solution solve(const Choice& choice, const std::vector<View>& views, Vec3 start, Vec3 velocity,
               const Sym3* prior) {
  Solution out{start, {}};
  for (int step = 0; step < kSolveSteps; ++step) {
    Sym3 h;
    Vec3 g;
    if (prior != nullptr) {
      h = *prior;
      g = (*prior) * (start - out.at);
    }
    for (std::size_t i = 0; i < views.size(); ++i) {
      if (choice[i] < 0) continue;
      const Candidate& seen = views[i].frame->candidates[static_cast<std::size_t>(choice[i])];
      Projection image;
      if (!project(*views[i].camera, out.at + delay_of(views[i], seen) * velocity, image)) continue;
      const double w = 1.0 / views[i].variance_of(seen);
      const Vec2 e = seen.uv - image.uv;
      h.add_outer(image.du, w);
      h.add_outer(image.dv, w);
      g = g + (w * e.x) * image.du + (w * e.y) * image.dv;
    }
    Sym3 inverse;
    out.information = h;
    if (!invert(h, inverse)) break;
    const Vec3 move = inverse * g;
    if (!finite(move)) break;
    out.at = out.at + move;
    if (dot(move, move) < 1e-8) break;
  }
  return out;
}

double residual2(const View& view, const Candidate& seen, Vec3 at, Vec3 velocity) {
  Vec2 uv;
  if (!project(*view.camera, at + delay_of(view, seen) * velocity, uv)) return 1e12;
  const Vec2 e = seen.uv - uv;
  return dot(e, e);
}

// Whether every view of a choice lies near one point.
bool agree(const Choice& choice, const std::vector<View>& views, Vec3 at, Vec3 velocity) {
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (choice[i] < 0) continue;
    const Candidate& seen = views[i].frame->candidates[static_cast<std::size_t>(choice[i])];
    if (residual2(views[i], seen, at, velocity) > kAgree * views[i].variance_of(seen)) return false;
  }
  return true;
}

int count(const Choice& choice) {
  int views = 0;
  for (const int c : choice) views += c >= 0 ? 1 : 0;
  return views;
}

// The midpoint of two rays' closest approach, in front of both; false where there is none.
bool meet(Vec3 ca, Vec3 da, Vec3 cb, Vec3 db, Vec3& out, double& gap, double& far) {
  const Vec3 between = cb - ca;
  const double k = dot(da, db);
  const double det = 1.0 - k * k;
  if (!(det > 1e-4)) return false;
  const double a = dot(between, da);
  const double b = dot(between, db);
  const double s = (a - k * b) / det;
  const double t = (k * a - b) / det;
  if (!(s > 0.1) || !(t > 0.1) || s > kMostDistance_m || t > kMostDistance_m) return false;
  const Vec3 pa = ca + s * da;
  const Vec3 pb = cb + t * db;
  out = 0.5 * (pa + pb);
  gap = norm(pb - pa);
  far = std::max(s, t);
  return true;
}

// The candidate of each view nearest to a point, within `gate` variances; `slack` is the standard
// deviation of an unknown velocity.
Choice gather(const std::vector<View>& views, Vec3 at, Vec3 velocity, double slack_mps,
              double& score, const Senses& senses) {
  Choice choice(views.size(), -1);
  score = 0.0;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const View& view = views[i];
    Projection image;
    const double middle = view.offset_s;
    if (!project(*view.camera, at + middle * velocity, image)) continue;
    const double reach = 0.5 * (dot(image.du, image.du) + dot(image.dv, image.dv));
    double least = kAgree;
    const std::vector<Candidate>& candidates = view.frame->candidates;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (view.taken[c]) continue;
      const double delay = delay_of(view, candidates[c]);
      const double shift = candidates[c].delay_s;
      const Vec2 e = candidates[c].uv - image.uv -
                     Vec2{shift * dot(image.du, velocity), shift * dot(image.dv, velocity)};
      const double variance =
          view.variance_of(candidates[c]) + slack_mps * slack_mps * delay * delay * reach;
      const double r2 = dot(e, e) / variance;
      if (r2 < least) {
        least = r2;
        choice[i] = static_cast<int>(c);
      }
    }
    if (choice[i] >= 0) {
      score += gain(view, senses) - log_of(view.variance_px2) - 0.5 * least;
    } else if (in_picture(*view.camera, image.uv)) {
      score += loss(senses);
    }
  }
  return choice;
}

struct Voter {
  std::size_t view;
  std::size_t candidate;
};

// The sets that the best-scored meeting points of pairs of candidates gather.
void vote(const std::vector<View>& views, const std::vector<Voter>& voters, const Moments& expected,
          const Senses& senses, std::vector<Choice>& sets) {
  struct Proposal {
    double score;
    Choice choice;
  };
  std::vector<Proposal> proposals;
  std::size_t pairs = 0;
  for (std::size_t a = 0; a < voters.size(); ++a) {
    for (std::size_t b = a + 1; b < voters.size() && pairs < kMostPairs; ++b) {
      if (voters[a].view == voters[b].view) continue;
      ++pairs;
      const View& va = views[voters[a].view];
      const View& vb = views[voters[b].view];
      const Candidate& one = va.frame->candidates[voters[a].candidate];
      const Candidate& two = vb.frame->candidates[voters[b].candidate];
      Vec3 at;
      double gap = 0.0;
      double far = 0.0;
      if (!meet(va.camera->center - delay_of(va, one) * expected.v, one.ray,
                vb.camera->center - delay_of(vb, two) * expected.v, two.ray, at, gap, far)) {
        continue;
      }
      const double px = gap * va.camera->k.fx / far;
      if (px * px > 4.0 * kAgree * std::max(va.variance_px2, vb.variance_px2)) continue;
      double score = 0.0;
      Choice choice = gather(views, at, expected.v, 0.0, score, senses);
      if (count(choice) >= 2) proposals.push_back({score, std::move(choice)});
    }
  }
  std::stable_sort(proposals.begin(), proposals.end(),
                   [](const Proposal& x, const Proposal& y) { return x.score > y.score; });
  for (Proposal& p : proposals) {
    if (sets.size() >= kModes + 3) break;
    if (std::find(sets.begin(), sets.end(), p.choice) == sets.end()) {
      sets.push_back(std::move(p.choice));
    }
  }
}

// The log likelihood of one pixel under a mode, and the mode after it.
double update(Mode& mode, std::size_t kind, const Linear& linear, Vec3 x0, Vec2 uv, double delay,
              double variance) {
  const Vec3 du = linear.image.du;
  const Vec3 dv = linear.image.dv;
  const double half = 0.5 * delay * delay;
  Vec3 p = part(mode.x, 0) + delay * part(mode.x, 1) + half * part(mode.x, 2);
  if (kind == kFlight) p.z -= half * kGravity_mps2;
  const Vec3 off = p - x0;
  const double ex = uv.x - linear.image.uv.x - dot(du, off);
  const double ey = uv.y - linear.image.uv.y - dot(dv, off);
  std::array<double, kDim> gx;
  std::array<double, kDim> gy;
  for (std::size_t r = 0; r < kDim; ++r) {
    const double* row = &mode.P[r * kDim];
    const Vec3 y{row[0] + delay * row[3] + half * row[6], row[1] + delay * row[4] + half * row[7],
                 row[2] + delay * row[5] + half * row[8]};
    gx[r] = dot(y, du);
    gy[r] = dot(y, dv);
  }
  const auto along = [&](const std::array<double, kDim>& g) {
    return Vec3{g[0] + delay * g[3] + half * g[6], g[1] + delay * g[4] + half * g[7],
                g[2] + delay * g[5] + half * g[8]};
  };
  const double sxx = dot(along(gx), du) + variance;
  const double sxy = dot(along(gx), dv);
  const double syy = dot(along(gy), dv) + variance;
  const double det = sxx * syy - sxy * sxy;
  if (!(det > 0.0) || !std::isfinite(det)) return -1e6;
  const double wx = (syy * ex - sxy * ey) / det;
  const double wy = (sxx * ey - sxy * ex) / det;
  const double ixx = syy / det;
  const double ixy = -sxy / det;
  const double iyy = sxx / det;
  for (std::size_t r = 0; r < kDim; ++r) {
    mode.x[r] += gx[r] * wx + gy[r] * wy;
    const double kx = gx[r] * ixx + gy[r] * ixy;
    const double ky = gx[r] * ixy + gy[r] * iyy;
    for (std::size_t c = 0; c < kDim; ++c) mode.P[r * kDim + c] -= kx * gx[c] + ky * gy[c];
  }
  return -0.5 * (ex * wx + ey * wy) - 0.5 * log_of(det);
}

void symmetrise(Mat9& P) {
  for (std::size_t r = 0; r < kDim; ++r) {
    for (std::size_t c = r + 1; c < kDim; ++c) {
      const double mean = 0.5 * (P[r * kDim + c] + P[c * kDim + r]);
      P[r * kDim + c] = P[c * kDim + r] = mean;
    }
    P[r * kDim + r] = std::max(P[r * kDim + r], 1e-10);
  }
}

Sighting evaluate(const Choice& choice, const Modes& modes, const Moments& expected,
                  const std::vector<View>& views, const Senses& senses) {
  Sighting out;
  out.choice = choice;
  out.modes = modes;
  Sym3 prior;
  const bool known = invert(expected.pp, prior);
  const Vec3 x0 = solve(choice, views, expected.p, expected.v, known ? &prior : nullptr).at;
  std::array<double, kModes> log_l{};
  double common = 0.0;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const View& view = views[i];
    Linear linear;
    if (choice[i] < 0) {
      Vec2 uv;
      if (project(*view.camera, x0 + view.offset_s * expected.v, uv) &&
          in_picture(*view.camera, uv)) {
        common += loss(senses);
        ++out.expected;
      }
      continue;
    }
    const Candidate& seen = view.frame->candidates[static_cast<std::size_t>(choice[i])];
    const double delay = delay_of(view, seen);
    const Vec3 at = x0 + delay * expected.v;
    if (!project(*view.camera, at, linear.image)) continue;
    ++out.expected;
    ++out.views;
    common += gain(view, senses);
    for (std::size_t kind = 0; kind < kModes; ++kind) {
      log_l[kind] +=
          update(out.modes[kind], kind, linear, at, seen.uv, delay, view.variance_of(seen));
    }
  }
  double most = -1e300;
  for (std::size_t kind = 0; kind < kModes; ++kind) most = std::max(most, log_l[kind]);
  double total = 0.0;
  for (std::size_t kind = 0; kind < kModes; ++kind) {
    Mode& mode = out.modes[kind];
    mode.weight *= exp_of(log_l[kind] - most);
    total += mode.weight;
    symmetrise(mode.P);
  }
  // No mode may die out: it could not come back within a few frames.
  constexpr double kLeastWeight = 1e-4;
  double sum = 0.0;
  for (Mode& mode : out.modes) sum += mode.weight = std::max(mode.weight / total, kLeastWeight);
  for (Mode& mode : out.modes) mode.weight /= sum;
  out.evidence = common + most + log_of(total);
  return out;
}

void add_unique(std::vector<Choice>& sets, Choice choice) {
  if (std::find(sets.begin(), sets.end(), choice) == sets.end()) sets.push_back(std::move(choice));
}

// Everything near what the least certain modes expect.
std::vector<Voter> voters_near(const std::vector<View>& views, const Moments& expected,
                               const Sym3& spread) {
  std::vector<Voter> out;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const View& view = views[i];
    Projection image;
    if (!project(*view.camera, expected.p + view.offset_s * expected.v, image)) continue;
    const double xx = form(image.du, spread, image.du) + 4.0 * view.variance_px2;
    const double xy = form(image.du, spread, image.dv);
    const double yy = form(image.dv, spread, image.dv) + 4.0 * view.variance_px2;
    const double det = xx * yy - xy * xy;
    std::vector<std::pair<double, std::size_t>> near;
    for (std::size_t c = 0; c < view.frame->candidates.size(); ++c) {
      if (view.taken[c]) continue;
      const Vec2 e = view.frame->candidates[c].uv - image.uv;
      const double r2 = (yy * e.x * e.x - 2.0 * xy * e.x * e.y + xx * e.y * e.y) / det;
      if (r2 < kGate) near.emplace_back(r2, c);
    }
    std::sort(near.begin(), near.end());
    if (near.size() > kMostVoters) near.resize(kMostVoters);
    for (const auto& [r2, c] : near) out.push_back({i, c});
  }
  return out;
}

std::size_t finders_of(std::size_t views) {
  std::size_t finders = kLeastFinders;
  const std::size_t pairs = views * (views - 1) / 2;
  while (finders < kMostFinders && pairs * (finders + 1) * (finders + 1) <= kMostFinderPairs) {
    ++finders;
  }
  return finders;
}

}  // namespace

Sighting sight(const Modes& modes, const std::vector<View>& views, const Senses& senses,
               bool& voted) {
  const Moments expected = moments(modes);
  std::vector<Choice> sets;
  for (std::size_t kind = 0; kind < kModes; ++kind) {
    const Vec3 fall = kind == kFlight ? Vec3{0.0, 0.0, -kGravity_mps2} : part(modes[kind].x, 2);
    Choice choice(views.size(), -1);
    for (std::size_t i = 0; i < views.size(); ++i) {
      Vec2 uv;
      double delay = views[i].offset_s;
      if (views[i].camera->readout_ns != 0 && project(*views[i].camera, expected.p, uv)) {
        delay += 1e-9 * static_cast<double>(row_delay_ns(*views[i].camera, uv.y));
      }
      choice[i] = nearest(views[i], modes[kind], fall, delay);
    }
    add_unique(sets, std::move(choice));
  }
  Sym3 prior;
  const bool known = invert(expected.pp, prior);
  const Solution first = solve(sets[0], views, expected.p, expected.v, known ? &prior : nullptr);
  voted = sets.size() > 1 || !agree(sets[0], views, first.at, expected.v);
  if (voted) {
    Sym3 spread = expected.pp;
    for (const Mode& mode : modes) {
      const Sym3 pp = block_of(mode.P, 0);
      if (pp.trace() > spread.trace()) spread = pp;
    }
    vote(views, voters_near(views, expected, spread), expected, senses, sets);
  }
  add_unique(sets, Choice(views.size(), -1));
  Sighting best;
  bool any = false;
  for (const Choice& choice : sets) {
    if (!voted && count(choice) == 0 && any && best.views >= 2) continue;
    Sighting s = evaluate(choice, modes, expected, views, senses);
    if (!any || s.evidence > best.evidence) best = std::move(s);
    any = true;
  }
  return best;
}

std::vector<Find> find_new(const std::vector<View>& views, const Senses& senses,
                           std::size_t least_views, std::size_t most) {
  const std::size_t finders = most > 1 ? finders_of(views.size()) : kLeastFinders;
  std::vector<Voter> voters;
  for (std::size_t i = 0; i < views.size(); ++i) {
    std::size_t used = 0;
    // Candidates lie in order of confidence.
    for (std::size_t c = 0; c < views[i].frame->candidates.size() && used < finders; ++c) {
      if (views[i].taken[c]) continue;
      voters.push_back({i, c});
      ++used;
    }
  }
  struct Point {
    double gap_px;
    Vec3 at;
  };
  std::vector<Point> points;
  for (std::size_t a = 0; a < voters.size(); ++a) {
    for (std::size_t b = a + 1; b < voters.size(); ++b) {
      if (voters[a].view == voters[b].view) continue;
      const View& va = views[voters[a].view];
      const View& vb = views[voters[b].view];
      const Candidate& one = va.frame->candidates[voters[a].candidate];
      const Candidate& two = vb.frame->candidates[voters[b].candidate];
      Vec3 at;
      double gap = 0.0;
      double far = 0.0;
      if (!meet(va.camera->center, one.ray, vb.camera->center, two.ray, at, gap, far)) continue;
      const double apart_s = delay_of(va, one) - delay_of(vb, two);
      const double moved = kUnknownSpeed_mps * std::fabs(apart_s);
      const double scale = va.camera->k.fx / far;
      const double px = gap * scale;
      const double std2 = va.variance_px2 + vb.variance_px2 + moved * moved * scale * scale;
      if (px * px <= kAgree * std2) points.push_back({px, at});
    }
  }
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& x, const Point& y) { return x.gap_px < y.gap_px; });
  if (points.size() > kMostPoints) points.resize(kMostPoints);
  std::vector<Find> finds;
  for (const Point& point : points) {
    Find find;
    double score = 0.0;
    find.choice = gather(views, point.at, {}, kUnknownSpeed_mps, score, senses);
    find.views = count(find.choice);
    if (find.views < static_cast<int>(least_views)) continue;
    bool known = false;
    for (const Find& other : finds) known = known || other.choice == find.choice;
    if (known) continue;
    std::vector<View> slack = views;
    for (std::size_t i = 0; i < views.size(); ++i) {
      const double moved = kUnknownSpeed_mps * views[i].offset_s;
      const double scale =
          views[i].camera->k.fx / std::max(norm(point.at - views[i].camera->center), 1.0);
      slack[i].variance_px2 += moved * moved * scale * scale;
    }
    const Solution solution = solve(find.choice, slack, point.at, {}, nullptr);
    if (!invert(solution.information, find.covariance_m2)) continue;
    find.at = solution.at;
    if (!finite(find.at) || find.covariance_m2.trace() > 1.0) continue;
    // How much of the volume the solution takes in.
    const double taken = 15.75 * std::sqrt(std::max(find.covariance_m2.determinant(), 0.0));
    find.evidence = score + log_of(taken / kVolume_m3);
    finds.push_back(std::move(find));
  }
  std::stable_sort(finds.begin(), finds.end(),
                   [](const Find& x, const Find& y) { return x.evidence > y.evidence; });
  // One candidate makes one ball.
  std::vector<Find> out;
  for (Find& find : finds) {
    bool apart = true;
    for (const Find& other : out) {
      for (std::size_t i = 0; i < views.size(); ++i) {
        if (find.choice[i] >= 0 && find.choice[i] == other.choice[i]) apart = false;
      }
    }
    if (apart) out.push_back(std::move(find));
    if (out.size() >= most) break;
  }
  return out;
}

Fix fix_of(const Choice& choice, const std::vector<View>& views, Vec3 at, Vec3 velocity) {
  Fix fix;
  fix.at = at;
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (choice[i] < 0) continue;
    const Candidate& seen = views[i].frame->candidates[static_cast<std::size_t>(choice[i])];
    Projection image;
    if (!project(*views[i].camera, at + delay_of(views[i], seen) * velocity, image)) continue;
    const double w = 1.0 / views[i].variance_of(seen);
    const Vec2 e = seen.uv - image.uv;
    fix.information.add_outer(image.du, w);
    fix.information.add_outer(image.dv, w);
    fix.pull = fix.pull + (w * e.x) * image.du + (w * e.y) * image.dv;
    ++fix.views;
  }
  return fix;
}

}  // namespace tipoff::ball
