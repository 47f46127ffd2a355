#include "ball_advance.hpp"

#include <algorithm>

#include "ball_arc.hpp"
#include "ball_match.hpp"
#include "ball_motion.hpp"

namespace tipoff::ball {
namespace {

// Evidence, in log odds: where a track is believed, where it is given up, and how much it may have.
constexpr double kBelieved = 12.0;
constexpr double kGivenUp = -6.0;
constexpr double kMostEvidence = 60.0;
// What a group without a sighting takes at most: a hidden ball is not a wrong one.
constexpr double kMostLoss = 2.0;
// A new track has to be better by this to become the ball while the old one is seen.
constexpr double kMargin = 15.0;
constexpr std::int64_t kUnseen_ns = 60'000'000;
// How long a track that nobody sees is kept.
constexpr std::int64_t kKept_ns = 1'500'000'000;
// Two tracks nearer than this in space are one ball.
constexpr double kSame_m = 0.12;
constexpr double kFarthest_m = 200.0;
constexpr double kBirthSpeed_mps = 6.0;
// Memories of what is learned, samples.
constexpr double kCameraMemory = 3000.0;
constexpr double kPooledMemory = 6000.0;
constexpr double kShareMemory = 3000.0;
// A camera's variance stays within these factors of the pooled one.
constexpr double kBest = 0.4;
constexpr double kWorst = 6.0;
// A flight this likely speaks of noise with fewer than three views, too.
constexpr double kSureFlight = 0.9;
// Flying as fast and as long as this, only a ball does.
constexpr double kFast_mps = 4.5;
constexpr double kProof_s = 0.25;
// Whatever was seen beside the ball for this long is something else, unless the ball stays away.
constexpr double kBeside_s = 0.25;
constexpr std::int64_t kAway_ns = 1'000'000'000;
// A ball that reappears has not come farther than this.
constexpr double kReach_m = 1.0;
constexpr double kReach_mps = 20.0;
// How much a proof and a mean confidence of 1 are worth when tracks compete.
constexpr double kProofWorth = 100.0;
constexpr double kConfidenceWorth = 40.0;
constexpr double kConfidenceMemory = 200.0;
constexpr double kBandMemory = 6000.0;
constexpr double kLeastBand = 0.25;
constexpr double kMostBand = 16.0;
// E[r^2 | r^2 <= 18] / 2 for two Gaussian degrees of freedom.
constexpr double kTruncated = 0.9989;

double variance_of(const Senses& senses, int camera) {
  const double pooled = std::clamp(senses.pooled_px2.value, 0.04, 1600.0);
  return std::clamp(senses.variance_px2[static_cast<std::size_t>(camera)].value, kBest * pooled,
                    kWorst * pooled);
}

std::vector<View> views_of(const State& state, const Rig& rig, std::span<const FramePtr> group,
                           std::int64_t time_ns) {
  std::vector<View> views;
  views.reserve(group.size());
  for (const FramePtr& frame : group) {
    View view;
    view.frame = frame.get();
    view.camera = &rig.cameras[static_cast<std::size_t>(frame->camera)];
    view.offset_s = 1e-9 * static_cast<double>(frame->time_ns - time_ns);
    view.variance_px2 = variance_of(state.senses, frame->camera);
    for (std::size_t b = 0; b < Senses::kBands; ++b) {
      view.bands[b] = std::clamp(state.senses.bands[b].value, kLeastBand, kMostBand);
    }
    views.push_back(view);
  }
  return views;
}

void take(std::vector<View>& views, const Choice& choice) {
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (choice[i] >= 0) views[i].taken[static_cast<std::size_t>(choice[i])] = true;
  }
}

// Learns noise and the share of views that see the ball from a sighting that is beyond doubt.
void learn(Senses& senses, const Sighting& s, const std::vector<View>& views) {
  const Moments now = moments(s.modes);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const View& view = views[i];
    const double delay = view.offset_s;
    Projection image;
    if (!project(*view.camera, now.p + delay * now.v, image)) continue;
    const bool inside = image.uv.x >= 0.0 && image.uv.y >= 0.0 && image.uv.x < view.camera->width &&
                        image.uv.y < view.camera->height;
    if (!inside) continue;
    senses.seen.learn(s.choice[i] >= 0 ? 1.0 : 0.0, kShareMemory);
    if (s.choice[i] < 0 || (s.views < 3 && s.modes[kFlight].weight < kSureFlight)) continue;
    const Candidate& seen = view.frame->candidates[static_cast<std::size_t>(s.choice[i])];
    if (!project(*view.camera, now.p + (delay + seen.delay_s) * now.v, image)) continue;
    const Vec2 e = seen.uv - image.uv;
    const double explained = form(image.du, now.pp, image.du) + form(image.dv, now.pp, image.dv);
    const double expected = view.variance_of(seen);
    const double share = 2.0 - explained / expected;
    if (!(share > 0.6)) continue;
    const double variance = dot(e, e) / (share * kTruncated);
    if (variance > 30.0 * expected) continue;
    const double band = expected / view.variance_px2;
    senses.variance_px2[static_cast<std::size_t>(view.frame->camera)].learn(variance / band,
                                                                            kCameraMemory);
    senses.pooled_px2.learn(variance / band, kPooledMemory);
    senses.bands[Senses::band_of(seen.confidence)].learn(variance / view.variance_px2, kBandMemory);
  }
  senses.seen.value = std::clamp(senses.seen.value, 0.2, 0.95);
}

bool sane(const Track& track) {
  for (const Mode& mode : track.modes) {
    for (const double value : mode.x) {
      if (!std::isfinite(value)) return false;
    }
    if (norm(part(mode.x, 0)) > kFarthest_m) return false;
    for (std::size_t i = 0; i < kDim; ++i) {
      if (!(mode.P[i * kDim + i] > 0.0) || !std::isfinite(mode.P[i * kDim + i])) return false;
    }
  }
  return true;
}

void remember(Track& track, Fix fix) {
  if (track.fixes.size() >= kMostFixes) track.fixes.erase(track.fixes.begin());
  track.fixes.push_back(fix);
}

// What the motion says of whether this is a ball, and of whether it is in a hand.
void judge_motion(Track& track, double seconds) {
  const bool flies = track.modes[kFlight].weight > kSureFlight;
  const bool fast = norm(part(track.modes[kFlight].x, 1)) > kFast_mps;
  track.free_s = flies && fast ? track.free_s + seconds : 0.0;
  track.in_hand_s = track.modes[kFlight].weight < 0.5 ? track.in_hand_s + seconds : 0.0;
  if (track.free_s > kProof_s && believed(track)) track.proven = true;
}

void work_in(Track& track, Sighting&& s, const std::vector<View>& views, std::int64_t time_ns) {
  track.modes = s.modes;
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (s.choice[i] < 0) continue;
    const Candidate& seen = views[i].frame->candidates[static_cast<std::size_t>(s.choice[i])];
    track.confidence.learn(seen.confidence, kConfidenceMemory);
  }
  const double loss = s.views > 0 ? -kMostEvidence : -kMostLoss;
  track.evidence = std::min(track.evidence + std::max(s.evidence, loss), kMostEvidence);
  track.views = s.views;
  if (s.views == 0) return;
  ++track.groups;
  track.seen_ns = time_ns;
  if (s.views >= 2) track.paired_ns = time_ns;
  const Moments now = moments(track.modes);
  Fix fix = fix_of(s.choice, views, now.p, now.v);
  fix.time_ns = time_ns;
  fix.flight = track.modes[kFlight].weight;
  remember(track, fix);
}

// Tracks that follow one ball become one, the older.
void merge(State& state) {
  for (std::size_t i = 0; i < state.tracks.size(); ++i) {
    for (std::size_t k = state.tracks.size(); k-- > i + 1;) {
      const Vec3 gap = moments(state.tracks[i].modes).p - moments(state.tracks[k].modes).p;
      if (dot(gap, gap) > kSame_m * kSame_m) continue;
      state.tracks.erase(state.tracks.begin() + static_cast<std::ptrdiff_t>(k));
      ++state.counters.deaths;
    }
  }
}

void bury(State& state) {
  for (std::size_t k = state.tracks.size(); k-- > 0;) {
    const Track& track = state.tracks[k];
    const bool alive = track.evidence > kGivenUp && state.time_ns - track.seen_ns < kKept_ns &&
                       (believed(track) || state.time_ns - track.seen_ns < kUnseen_ns * 2) &&
                       sane(track);
    if (alive) continue;
    state.tracks.erase(state.tracks.begin() + static_cast<std::ptrdiff_t>(k));
    ++state.counters.deaths;
  }
}

const Track* find(const State& state, std::int64_t key) {
  for (const Track& track : state.tracks) {
    if (track.key == key) return &track;
  }
  return nullptr;
}

double rank(const Track& track) {
  return track.evidence + (track.proven ? kProofWorth : 0.0) +
         kConfidenceWorth * track.confidence.value;
}

// Whether another track may be the ball that `now` was.
bool may_follow(const Track& other, const Track& now, std::int64_t time_ns) {
  if (time_ns - now.paired_ns > kAway_ns || other.proven) return true;
  if (other.beside_s > kBeside_s) return false;
  const double away_s = 1e-9 * static_cast<double>(time_ns - now.paired_ns);
  return norm(moments(other.modes).p - moments(now.modes).p) < kReach_m + kReach_mps * away_s;
}

// Which track is the ball: the one that was, unless it went unseen or another is much surer.
void choose(State& state) {
  const Track* now = find(state, state.chosen);
  const Track* best = nullptr;
  for (const Track& track : state.tracks) {
    if (!believed(track) || track.key == state.chosen) continue;
    if (now != nullptr && !may_follow(track, *now, state.time_ns)) continue;
    if (best == nullptr || rank(track) > rank(*best)) best = &track;
  }
  if (best == nullptr) return;
  if (now != nullptr) {
    const bool unseen = state.time_ns - now->paired_ns > kUnseen_ns;
    const bool fresh = state.time_ns - best->paired_ns <= kUnseen_ns;
    if (!fresh || !(rank(*best) > rank(*now) + kMargin || unseen)) return;
    ++state.counters.switched;
  }
  state.chosen = best->key;
}

// Tracks that are seen while the ball is seen, too, elsewhere.
void note_others(State& state, double seconds) {
  const Track* now = find(state, state.chosen);
  if (now == nullptr || !now->proven || now->paired_ns != state.time_ns) return;
  for (Track& track : state.tracks) {
    if (&track != now && track.paired_ns == state.time_ns) track.beside_s += seconds;
  }
}

void give_birth(State& state, std::vector<View>& views) {
  const Track* now = find(state, state.chosen);
  const bool well = now != nullptr && now->paired_ns == state.time_ns;
  // Beside a ball that is seen, only what many views see may be another.
  const std::size_t least = well ? 3 : 2;
  std::size_t free_views = 0;
  for (const View& view : views) {
    bool any = false;
    for (std::size_t c = 0; c < view.frame->candidates.size(); ++c) any = any || !view.taken[c];
    free_views += any ? 1 : 0;
  }
  if (free_views < least) return;
  for (Find& find : find_new(views, state.senses, least, well ? 1 : 2)) {
    if (find.evidence < 0.0 && find.views < 3) continue;
    Track track;
    track.key = state.next_key++;
    track.evidence = find.evidence;
    track.groups = 1;
    track.views = find.views;
    track.born_ns = track.seen_ns = track.paired_ns = state.time_ns;
    track.modes = new_modes(find.at, find.covariance_m2, kBirthSpeed_mps);
    Fix fix = fix_of(find.choice, views, find.at, {});
    fix.time_ns = state.time_ns;
    fix.flight = track.modes[kFlight].weight;
    remember(track, fix);
    take(views, find.choice);
    if (state.tracks.size() >= kMostTracks) {
      const auto least_sure =
          std::min_element(state.tracks.begin(), state.tracks.end(),
                           [](const Track& a, const Track& b) { return a.evidence < b.evidence; });
      if (least_sure->evidence >= track.evidence) continue;
      state.tracks.erase(least_sure);
      ++state.counters.deaths;
    }
    state.tracks.push_back(std::move(track));
    ++state.counters.births;
  }
}

}  // namespace

bool believed(const Track& track) {
  return track.evidence >= kBelieved;
}

State start(const Options& options) {
  State state;
  const double variance = options.sigma_px * options.sigma_px;
  for (Mean& camera : state.senses.variance_px2) camera = {variance, 40.0};
  state.senses.pooled_px2 = {variance, 40.0};
  return state;
}

void advance(State& state, const Rig& rig, const Options& options,
             std::span<const FramePtr> group) {
  const std::int64_t time_ns = group.back()->time_ns;
  const double seconds =
      state.time_ns == kLongAgo ? 0.0 : 1e-9 * static_cast<double>(time_ns - state.time_ns);
  state.time_ns = std::max(state.time_ns, time_ns);
  std::vector<View> views = views_of(state, rig, group, state.time_ns);
  // The surest track takes its candidates first.
  std::stable_sort(state.tracks.begin(), state.tracks.end(), [&](const Track& a, const Track& b) {
    const bool ca = a.key == state.chosen;
    const bool cb = b.key == state.chosen;
    return ca != cb ? ca : a.evidence > b.evidence;
  });
  const bool alone = state.tracks.size() == 1;
  Choice seen(views.size(), -1);
  for (Track& track : state.tracks) {
    move_modes(track.modes, seconds, options);
    bool voted = false;
    Sighting s = sight(track.modes, views, state.senses, voted);
    if (voted) ++state.counters.searched;
    take(views, s.choice);
    const bool sure = track.key == state.chosen && believed(track) && s.views >= 2;
    if (sure) {
      learn(state.senses, s, views);
      state.counters.used += s.views;
    }
    if (track.key == state.chosen) seen = s.choice;
    work_in(track, std::move(s), views, state.time_ns);
    judge_motion(track, seconds);
    if (!believed(track)) continue;
    const int bounces = note_bounces(track, options);
    state.counters.bounces += bounces;
    if (bounces > 0) track.proven = true;
  }
  for (std::size_t i = 0; i < views.size(); ++i) {
    const double others = views[i].frame->rows - (seen[i] >= 0 ? 1.0 : 0.0);
    state.senses.clutter.learn(others, kShareMemory);
  }
  if (!alone) merge(state);
  give_birth(state, views);
  bury(state);
  choose(state);
  note_others(state, seconds);
  for (const View& view : views) {
    for (std::size_t c = 0; c < view.frame->candidates.size(); ++c) {
      state.counters.unused += view.taken[c] ? 0 : 1;
    }
  }
}

}  // namespace tipoff::ball
