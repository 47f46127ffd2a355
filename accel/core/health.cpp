#include "health.hpp"

#include <algorithm>

#include "options.hpp"

namespace tipoff {
namespace {

// Residuals beyond this and beyond so many expected deviations are another person's joint.
constexpr double kAbsurd_px = 40.0;
constexpr double kAbsurdSigmas = 12.0;
// A person's keypoints in one camera and block count with at most this many others as one each.
constexpr double kAlike = 4.0;
// How much all keypoints of a person err together, px.
constexpr double kCommon_px = 1.0;
constexpr double kLeastKeypoints = 5.0;
constexpr std::size_t kMostPeople = 128;
// After a pause no more empty blocks than fill the window are closed.
constexpr std::int64_t kMostEmpty = static_cast<std::int64_t>(kHealthWindow) + 1;
// A block is doubtful below this share of explained detections, of at least so many.
constexpr double kDoubtfulShare = 0.5;
constexpr double kDoubtfulDetections = 6.0;
// What the variance of a person's mean residual is believed to be at the least, px^2, and by how
// much more where there is only one to judge by; between n people this goes down with their cube.
constexpr double kKnown_px2 = 0.02;
constexpr double kAlone_px2 = 8.0;
constexpr double kLeastFreedom = 0.3;
// Memory of means, in blocks.
constexpr double kSpreadMemory = 120.0;
constexpr double kFastMemory = 120.0;
constexpr double kSlowMemory = 960.0;
// What is left of older guesses at a block's end.
constexpr double kGuessMemory = 0.5;

bool dubious(double detections, double explained) {
  return detections >= kDoubtfulDetections && explained < kDoubtfulShare * detections;
}

}  // namespace

HealthMonitor::HealthMonitor(std::size_t cameras)
    : cameras_(cameras), open_(cameras), turn_(cameras, 0) {
  HealthMemory memory;
  memory.cameras.resize(cameras);
  for (CameraMemory& camera : memory.cameras) camera.recent.resize(kHealthWindow);
  memory_ = std::make_shared<const HealthMemory>(std::move(memory));
}

void HealthMonitor::begin(const Rig& rig, std::int64_t time_ns) {
  if (open_ns_ == INT64_MIN) open_ns_ = time_ns;
  std::int64_t due = (time_ns - open_ns_) / kHealthBlock_ns;
  if (due > kMostEmpty) {
    open_ns_ += (due - kMostEmpty) * kHealthBlock_ns;
    due = kMostEmpty;
  }
  for (; due > 0; --due) {
    close(rig);
    open_ns_ += kHealthBlock_ns;
  }
}

ResidualCell* HealthMonitor::cells_of(std::int64_t person, Vec3 point, Vec3 velocity,
                                      double weight) {
  auto slot = static_cast<std::size_t>(last_);
  if (slot >= people_.size() || people_[slot].key != person) {
    slot = 0;
    while (slot < people_.size() && people_[slot].key != person) ++slot;
    if (slot == people_.size()) {
      if (slot == kMostPeople) return nullptr;
      people_.push_back({person, 0.0, {}, {}});
      cells_.resize(cells_.size() + cameras_);
    }
    last_ = static_cast<std::int64_t>(slot);
  }
  Person& p = people_[slot];
  p.count += weight;
  p.point = p.point + weight * point;
  p.velocity = p.velocity + weight * velocity;
  return &cells_[slot * cameras_];
}

void HealthMonitor::observe(std::int64_t person, Vec3 point_m, Vec3 velocity_mps,
                            std::span<const Residual> residuals) {
  ResidualCell* cells = cells_of(person, point_m, velocity_mps, 1.0);
  if (cells == nullptr) return;
  for (const Residual& r : residuals) {
    const double squared = dot(r.residual_px, r.residual_px);
    const double variance = r.sd_px * r.sd_px;
    if (!(squared <= std::max(kAbsurd_px * kAbsurd_px, kAbsurdSigmas * kAbsurdSigmas * variance))) {
      continue;
    }
    ResidualCell& cell = cells[r.camera];
    cell.count += 1.0;
    cell.u += r.residual_px.x;
    cell.v += r.residual_px.y;
    cell.squares += squared;
    cell.variance += variance;
  }
}

void HealthMonitor::observe_sums(std::int64_t person, Vec3 point_m, Vec3 velocity_mps,
                                 std::span<const ResidualSum> sums) {
  ResidualCell* cells = cells_of(person, point_m, velocity_mps, 1.0);
  if (cells == nullptr) return;
  for (const ResidualSum& s : sums) {
    if (!(s.count > 0.0)) continue;
    ResidualCell& cell = cells[s.camera];
    const double scatter = s.scatter_px * s.scatter_px;
    cell.count += s.count;
    cell.u += s.count * s.mean_px.x;
    cell.v += s.count * s.mean_px.y;
    cell.squares += s.count * (dot(s.mean_px, s.mean_px) + 2.0 * scatter);
    cell.variance += s.count * scatter;
  }
}

void HealthMonitor::count(int camera, const FrameCounts& counts) {
  OpenCounts& open = open_[static_cast<std::size_t>(camera)];
  open.detections += counts.detections;
  open.explained += counts.explained;
  open.expected += counts.expected;
  open.held += counts.held;
}

bool HealthMonitor::doubtful(int camera) const {
  const auto c = static_cast<std::size_t>(camera);
  const std::int64_t last = memory_->index - 1;
  const HealthBlock& block =
      memory_->cameras[c]
          .recent[static_cast<std::size_t>(std::max<std::int64_t>(last, 0)) % kHealthWindow];
  return dubious(open_[c].detections, open_[c].explained) ||
         dubious(block.detections, block.explained);
}

int HealthMonitor::next_guess(int camera) {
  if (cameras_ < 2) return -1;
  std::int32_t& turn = turn_[static_cast<std::size_t>(camera)];
  turn = (turn + 1) % static_cast<std::int32_t>(cameras_);
  if (turn == camera) turn = (turn + 1) % static_cast<std::int32_t>(cameras_);
  return turn;
}

void HealthMonitor::guessed(int camera, int other, int detections, double share) {
  OpenCounts& open = open_[static_cast<std::size_t>(camera)];
  if (open.tried.empty()) {
    open.tried.assign(cameras_, 0.0);
    open.matched.assign(cameras_, 0.0);
  }
  open.tried[static_cast<std::size_t>(other)] += detections;
  open.matched[static_cast<std::size_t>(other)] += share * detections;
}

double HealthMonitor::sigma_scale(int camera) const {
  return sigma_scale_of(memory_->cameras[static_cast<std::size_t>(camera)]);
}

std::vector<CameraHealth> HealthMonitor::report(const Rig& rig) const {
  std::vector<CameraHealth> out;
  for (std::size_t c = 0; c < cameras_; ++c) out.push_back(health_of(*memory_, rig, c));
  return out;
}

bool HealthMonitor::sound() const {
  constexpr std::int64_t kMostBlocks = std::int64_t{1} << 40;
  const auto block = [](std::int64_t b) { return b >= -kMostBlocks && b <= kMostBlocks; };
  const auto time = [](std::int64_t t) {
    return t == INT64_MIN || (t >= -kLargestTime_ns && t <= kLargestTime_ns);
  };
  const auto camera = [&](std::int32_t c) {
    return c >= 0 && c < static_cast<std::int32_t>(cameras_);
  };
  const HealthMemory& memory = *memory_;
  bool ok = memory.cameras.size() == cameras_ && memory.index >= 0 && block(memory.index);
  for (const CameraMemory& m : memory.cameras) {
    ok = ok && m.recent.size() == kHealthWindow && time(m.accused_ns) && m.verdict >= 0 &&
         m.verdict <= static_cast<std::int32_t>(Verdict::kDisputed) &&
         (m.partner == -1 || camera(m.partner));
    for (const std::int64_t b :
         {m.valid_from, m.learn_from, m.onset, m.accused_at, m.estimated_at}) {
      ok = ok && block(b);
    }
  }
  ok = ok && time(open_ns_) && open_.size() == cameras_ && turn_.size() == cameras_ &&
       people_.size() <= kMostPeople && cells_.size() == people_.size() * cameras_ && last_ >= 0;
  for (const OpenCounts& open : open_) {
    ok = ok && (open.tried.empty() || open.tried.size() == cameras_) &&
         open.matched.size() == open.tried.size();
  }
  for (const std::int32_t turn : turn_) ok = ok && camera(turn);
  return ok;
}

void HealthMonitor::close(const Rig& rig) {
  HealthMemory next = *memory_;
  std::vector<CameraBelief> beliefs(cameras_);
  std::vector<char> left_out(cameras_, 0);
  for (std::size_t c = 0; c < cameras_; ++c) {
    beliefs[c] = belief_of(next.cameras[c]);
    left_out[c] =
        useless(next.cameras[c]) || dubious(open_[c].detections, open_[c].explained) ? 1 : 0;
  }
  std::vector<BlockScore> scores(cameras_);
  std::vector<PersonView> views;
  Vec3 place;
  for (std::size_t p = 0; p < people_.size(); ++p) {
    const double share = 1.0 / people_[p].count;
    views.clear();
    for (std::size_t c = 0; c < cameras_; ++c) {
      const ResidualCell& cell = cells_[p * cameras_ + c];
      if (left_out[c] != 0 || cell.count < kLeastKeypoints) continue;
      const Vec2 mean{cell.u / cell.count, cell.v / cell.count};
      const double scatter = std::max(0.5 * (cell.squares / cell.count - dot(mean, mean)),
                                      0.25 * cell.variance / cell.count);
      const double own = kAlike * scatter / cell.count;
      views.push_back({static_cast<int>(c), mean, 1.0 / (own + kCommon_px * kCommon_px)});
      CameraMemory& camera = next.cameras[c];
      camera.sd_px.learn(std::sqrt(cell.variance / cell.count), 1.0, 1000.0);
      for (std::size_t i = 0; i < 4; ++i) {
        camera.bias_px[i].learn(i % 2 == 0 ? mean.x : mean.y,
                                1.0 / static_cast<double>(people_.size()),
                                i < 2 ? kFastMemory : kSlowMemory);
      }
    }
    place = place + (share / static_cast<double>(people_.size())) * people_[p].point;
    score_person(rig, share * people_[p].point, share * people_[p].velocity, views, beliefs,
                 scores);
  }
  if (!people_.empty()) {
    next.place[0] = place.x;
    next.place[1] = place.y;
    next.place[2] = place.z;
  }
  for (std::size_t c = 0; c < cameras_; ++c) {
    CameraMemory& camera = next.cameras[c];
    const BlockScore& score = scores[c];
    HealthBlock block;
    const Effects shift = score.information * beliefs[c].known;  // back to what was measured
    for (std::size_t k = 0; k < kEffects; ++k) block.gradient[k] = score.gradient[k] + shift[k];
    block.information = score.information;
    block.people = score.people;
    double inflation = 0.0;
    for (std::size_t q = 0; q < kCharts && score.people > 0; ++q) {
      const std::size_t k = kChartEffect[q];
      const double h = std::max(score.information(k, k), 1e-12);
      const double x = score.gradient[k] / h;
      // As many people as would count alike: one who runs alone says all there is about lateness.
      const double n = h * h / std::max(score.hh[q], 1e-24);
      const double centred = score.gg[q] - 2.0 * x * score.gh[q] + x * x * score.hh[q];
      block.variance[q] = std::max(centred, 0.0) * n / std::max(n - 1.0, kLeastFreedom) +
                          h * (kKnown_px2 + kAlone_px2 / (n * n * n));
      inflation += block.variance[q] / (h * static_cast<double>(kCharts));
    }
    if (score.people > 0) {
      camera.spread_px.learn(score.misfit / score.people, 1.0, kSpreadMemory);
      camera.inflation.learn(inflation, 1.0, kSpreadMemory);
    }
    block.detections = open_[c].detections;
    block.explained = open_[c].explained;
    block.expected = open_[c].expected;
    block.held = open_[c].held;
    camera.recent[static_cast<std::size_t>(next.index) % kHealthWindow] = block;
  }
  judge(next, rig, open_ns_ + kHealthBlock_ns, open_);
  memory_ = std::make_shared<const HealthMemory>(std::move(next));
  people_.clear();
  cells_.clear();
  for (OpenCounts& open : open_) {
    OpenCounts fresh;
    // Guesses count for some blocks, as long as there is a reason to guess.
    if (!open.tried.empty() && dubious(open.detections, open.explained)) {
      fresh.tried = std::move(open.tried);
      fresh.matched = std::move(open.matched);
      for (double& value : fresh.tried) value *= kGuessMemory;
      for (double& value : fresh.matched) value *= kGuessMemory;
    }
    open = std::move(fresh);
  }
}

}  // namespace tipoff
