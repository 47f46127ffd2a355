#include "associate.hpp"

#include <algorithm>

#include "assignment.hpp"
#include "identity.hpp"
#include "limbs.hpp"

namespace tipoff {
namespace {

// Part of a person's size in pixels that no detector is better than.
constexpr double kModelError = 0.015;
// Part of a person's size from which an uncertain joint says little about who it is.
constexpr double kVague = 0.1;
// What a wholly vague match costs.
constexpr double kVaguePenalty = 0.25;
// Joints that track and detection must share: one in so many of the skeleton's, at most so many.
constexpr int kJointsPerCommon = 4;
constexpr int kMostCommon = 3;
// A swapped detection must fit this much better than it does as it is.
constexpr double kFlipMargin = 0.15;
// Whoever is mirrored stands where he is expected: the mean offset in sizes at most.
constexpr double kFlipOffset = 0.12;
// How far boxes may lie apart, in sizes and in standard deviations, before nobody looks closer.
constexpr double kReach = 0.15;
constexpr double kReachStds = 3.0;
constexpr double kReachLeast_px = 10.0;

class Matcher {
 public:
  Matcher(const State& state, const Setup& setup, FrameWork& work, MatchScratch& scratch)
      : state_(state),
        setup_(setup),
        work_(work),
        frame_(*work.frame),
        scratch_(scratch),
        coast_ns_(coast_ns(state, setup)) {}

  void run() {
    const std::size_t detections = frame_.detections.size();
    work_.track_of.assign(detections, -1);
    work_.flipped.assign(detections, 0);
    work_.explained.assign(detections, 0);
    work_.detection_of.assign(state_.tracks.size(), -1);
    scratch_.edges.clear();
    bool tentative = false;
    for (std::size_t k = 0; k < state_.tracks.size(); ++k) {
      const Track& track = state_.tracks[k];
      tentative = tentative || !track.certain();
      if (takes_part(track)) find_edges(k);
    }
    stage(true);
    if (tentative) stage(false);
    // After a wide step in a crowd nearly everybody is near some track: that explains nobody.
    if (work_.wide) return;
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      const auto n = static_cast<std::size_t>(edge.detection);
      if (work_.track_of[n] < 0) work_.explained[n] = 1;
    }
  }

 private:
  bool takes_part(const Track& track) const {
    return !track.confirmed() || frame_.time_ns - track.seen_ns <= coast_ns_;
  }

  void find_edges(std::size_t k) {
    const ImageBox& box = work_.boxes[k];
    if (box.valid == 0) return;
    const double size = box.size_px();
    const double own = kReachStds * std::sqrt(box.variance_px2) + kReachLeast_px;
    std::array<unsigned long long, kMaxDetections / 64> close{};
    ReachArgs args{};
    args.boxes = frame_.boxes.data();
    args.stride = static_cast<long>(frame_.boxes.stride());
    args.lanes = args.stride;
    args.x0 = box.x0;
    args.y0 = box.y0;
    args.x1 = box.x1;
    args.y1 = box.y1;
    args.size = size;
    args.reach = own;
    args.part = kReach;
    args.near = close.data();
    setup_.kernels->reach(args);
    for (std::size_t word = 0; word < close.size(); ++word) {
      for (unsigned long long bits = close[word]; bits != 0; bits &= bits - 1) {
        const std::size_t n = 64 * word + static_cast<std::size_t>(__builtin_ctzll(bits));
        if (n < frame_.detections.size()) consider(k, n, size);
      }
    }
  }

  // Whether one detection may be track k.
  void consider(std::size_t k, std::size_t n, double size) {
    const ImageBox& box = work_.boxes[k];
    const Detection& d = frame_.detections[n];
    // One point or two have no size.
    const double seen = d.present < kMostCommon ? size : d.size_px;
    const double least = std::max(std::min(size, seen), 1.0);
    const float* keypoints = frame_.keypoints.data() + frame_.lane(n);
    const auto stride = frame_.keypoints.stride();
    Misfit fit{};
    double cost = cost_of(k, keypoints, stride, work_.noise.row(0) + frame_.lane(n), least, fit);
    bool flipped = false;
    if (cost > kFlipMargin && cost < kForbidden && near(fit, least, box)) {
      const double swapped = mirrored_cost(k, n, least);
      if (swapped + kFlipMargin < cost) {
        cost = swapped + 0.5 * kFlipMargin;
        flipped = true;
      }
    }
    if (cost < kMisfitGate) {
      scratch_.edges.push_back({static_cast<int>(k), static_cast<int>(n), cost, flipped});
    }
  }

  static bool near(const Misfit& fit, double size, const ImageBox& box) {
    const double u = fit.mean_u / fit.common;
    const double v = fit.mean_v / fit.common;
    const double limit = kFlipOffset * size + kReachStds * std::sqrt(box.variance_px2);
    return u * u + v * v < limit * limit;
  }

  // How badly a detection fits, 0 (perfect) to 1: a bounded cost a joint, so that a few wrong ones
  // cannot outvote the rest; joints of which the track itself is unsure count less.
  double cost_of(std::size_t k, const float* keypoints, std::size_t stride, const float* noise,
                 double size, Misfit& fit) const {
    MisfitArgs args{};
    const std::size_t lane = k * setup_.joints;
    args.u = work_.image.row(kU) + lane;
    args.v = work_.image.row(kVpx) + lane;
    args.depth = work_.image.row(kDepth) + lane;
    args.variance = work_.image.row(kImageVar) + lane;
    args.zu = keypoints;
    args.zv = keypoints + stride;
    args.noise = noise;
    args.joints = static_cast<long>(setup_.joints);
    args.floor = kModelError * kModelError * size * size;
    args.vague = kVague * kVague * size * size;
    setup_.kernels->misfit(args, fit);
    const double least =
        static_cast<double>(std::clamp(frame_.joints / kJointsPerCommon, 1, kMostCommon));
    if (fit.common < least || !(fit.total > 0.0)) return kForbidden;
    return fit.sum / fit.total + kVaguePenalty * (1.0 - fit.total / fit.common);
  }

  double mirrored_cost(std::size_t k, std::size_t n, double size) {
    const std::size_t lanes = frame_.lanes();
    scratch_.mirrored.clear(lanes);
    const std::size_t first = frame_.lane(n);
    for (std::size_t j = 0; j < setup_.joints; ++j) {
      const std::size_t from = first + static_cast<std::size_t>(setup_.options.skeleton.mirror[j]);
      scratch_.mirrored.at(0, j) = frame_.keypoints.at(0, from);
      scratch_.mirrored.at(1, j) = frame_.keypoints.at(1, from);
      scratch_.mirrored.at(2, j) = work_.noise.at(0, from);
    }
    Misfit fit{};
    return cost_of(k, scratch_.mirrored.data(), scratch_.mirrored.stride(),
                   scratch_.mirrored.row(2), size, fit);
  }

  bool open(const MatchScratch::Edge& edge, bool certain) const {
    return state_.tracks[static_cast<std::size_t>(edge.track)].certain() == certain &&
           work_.track_of[static_cast<std::size_t>(edge.detection)] < 0;
  }

  // One assignment over the tracks of one kind and the detections still free. Pairs that have no
  // rival are taken as they are; the rest is solved together.
  void stage(bool certain) {
    scratch_.by_track.assign(state_.tracks.size(), 0);
    scratch_.by_detection.assign(frame_.detections.size(), 0);
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      if (!open(edge, certain)) continue;
      ++scratch_.by_track[static_cast<std::size_t>(edge.track)];
      ++scratch_.by_detection[static_cast<std::size_t>(edge.detection)];
    }
    bool contested = false;
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      if (!open(edge, certain)) continue;
      if (scratch_.by_track[static_cast<std::size_t>(edge.track)] == 1 &&
          scratch_.by_detection[static_cast<std::size_t>(edge.detection)] == 1) {
        take(edge);
      } else {
        contested = true;
      }
    }
    if (contested) solve_contested(certain);
  }

  void take(const MatchScratch::Edge& edge) {
    const auto n = static_cast<std::size_t>(edge.detection);
    work_.track_of[n] = edge.track;
    work_.flipped[n] = edge.flipped;
    work_.detection_of[static_cast<std::size_t>(edge.track)] = edge.detection;
  }

  void solve_contested(bool certain) {
    std::vector<int>& rows = scratch_.rows;
    std::vector<int>& columns = scratch_.columns;
    rows.clear();
    columns.clear();
    // Places in the table, by track and detection.
    scratch_.by_track.assign(state_.tracks.size(), -1);
    scratch_.by_detection.assign(frame_.detections.size(), -1);
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      if (!open(edge, certain)) continue;
      int& row = scratch_.by_track[static_cast<std::size_t>(edge.track)];
      int& column = scratch_.by_detection[static_cast<std::size_t>(edge.detection)];
      if (row < 0) {
        row = static_cast<int>(rows.size());
        rows.push_back(edge.track);
      }
      if (column < 0) {
        column = static_cast<int>(columns.size());
        columns.push_back(edge.detection);
      }
    }
    scratch_.table.assign(rows.size() * columns.size(), kForbidden);
    const auto at = [&](const MatchScratch::Edge& edge) {
      return static_cast<std::size_t>(scratch_.by_track[static_cast<std::size_t>(edge.track)]) *
                 columns.size() +
             static_cast<std::size_t>(
                 scratch_.by_detection[static_cast<std::size_t>(edge.detection)]);
    };
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      if (open(edge, certain)) scratch_.table[at(edge)] = edge.cost;
    }
    assign(scratch_.table, static_cast<int>(rows.size()), static_cast<int>(columns.size()),
           kMisfitGate, scratch_.column_of);
    for (const MatchScratch::Edge& edge : scratch_.edges) {
      if (!open(edge, certain)) continue;
      const auto row =
          static_cast<std::size_t>(scratch_.by_track[static_cast<std::size_t>(edge.track)]);
      const int column = scratch_.by_detection[static_cast<std::size_t>(edge.detection)];
      if (scratch_.column_of[row] == column) take(edge);
    }
  }

  const State& state_;
  const Setup& setup_;
  FrameWork& work_;
  const Frame& frame_;
  MatchScratch& scratch_;
  std::int64_t coast_ns_;
};

}  // namespace

void take_images(const Lanes& joints, std::size_t tracks, const Setup& setup, int camera,
                 double offset_s, FloatLanes& image, std::vector<ImageBox>& boxes) {
  const std::size_t lanes = tracks * setup.joints;
  image.reserve(lanes + kBlock * ((setup.joints + kBlock - 1) / kBlock));
  ProjectArgs args{};
  args.lens = &setup.lenses[static_cast<std::size_t>(camera)];
  args.state = joints.data();
  args.stride = static_cast<long>(joints.stride());
  args.lanes = static_cast<long>(padded(lanes));
  args.offset_s = offset_s;
  args.image = image.data();
  args.image_stride = static_cast<long>(image.stride());
  setup.kernels->project(args);
  const Camera& model = setup.rig.cameras[static_cast<std::size_t>(camera)];
  const float* u = image.row(kU);
  const float* v = image.row(kVpx);
  const float* depth = image.row(kDepth);
  const float* variance = image.row(kImageVar);
  boxes.resize(tracks);
  for (std::size_t k = 0; k < tracks; ++k) {
    const std::size_t lane = k * setup.joints;
    BoxArgs box_args{};
    box_args.u = u + lane;
    box_args.v = v + lane;
    box_args.depth = depth + lane;
    box_args.variance = variance + lane;
    box_args.joints = static_cast<long>(setup.joints);
    box_args.width = model.width;
    box_args.height = model.height;
    Boxed found{};
    setup.kernels->box(box_args, found);
    ImageBox& box = boxes[k];
    box.valid = static_cast<int>(found.valid);
    box.inside = static_cast<int>(found.inside);
    box.x0 = found.x0;
    box.y0 = found.y0;
    box.x1 = found.x1;
    box.y1 = found.y1;
    box.depth = found.valid > 0.0 ? found.depth / found.valid : 0.0;
    box.variance_px2 = found.valid > 0.0 ? found.variance / found.valid : 0.0;
  }
}

bool hidden(const FloatLanes& image, const std::vector<ImageBox>& boxes, const Setup& setup,
            int camera, std::size_t k, std::size_t j) {
  const std::size_t lane = k * setup.joints + j;
  const Vec2 at{image.at(kU, lane), image.at(kVpx, lane)};
  const double depth = image.at(kDepth, lane);
  const double fy = setup.lenses[static_cast<std::size_t>(camera)].fy;
  for (std::size_t other = 0; other < boxes.size(); ++other) {
    const ImageBox& front = boxes[other];
    if (other == k || front.valid == 0 || front.depth + kInFront_m > depth) continue;
    const double radius = kLimbRadius_m * fy / front.depth;
    if (at.x < front.x0 - radius || at.x > front.x1 + radius || at.y < front.y0 - radius ||
        at.y > front.y1 + radius) {
      continue;
    }
    for (const auto& [a, b] : setup.options.skeleton.limbs) {
      const std::size_t la = other * setup.joints + static_cast<std::size_t>(a);
      const std::size_t lb = other * setup.joints + static_cast<std::size_t>(b);
      if (!(image.at(kDepth, la) > 0.0) || !(image.at(kDepth, lb) > 0.0)) continue;
      const Vec2 pa{image.at(kU, la), image.at(kVpx, la)};
      const Vec2 pb{image.at(kU, lb), image.at(kVpx, lb)};
      if (segment_distance2(at, pa, pb) < radius * radius) return true;
    }
  }
  return false;
}

void match(const State& state, const Setup& setup, FrameWork& work, MatchScratch& scratch) {
  Matcher(state, setup, work, scratch).run();
}

}  // namespace tipoff
