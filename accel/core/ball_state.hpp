// What the ball tracker knows at one time: a value that can be copied, kept and gone back to.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "ball_math.hpp"
#include "camera.hpp"

namespace tipoff::ball {

inline constexpr std::int64_t kLongAgo = INT64_MIN;
inline constexpr int kMostCameras = 64;
// Candidates of one camera frame that are looked at; the least confident beyond it are left out.
inline constexpr std::size_t kMostCandidates = 64;
// Things that may be the ball, followed at one time.
inline constexpr std::size_t kMostTracks = 10;
// Groups of frames that a track remembers for its arc and its bounces.
inline constexpr std::size_t kMostFixes = 128;
inline constexpr std::size_t kMostBounces = 8;

struct Options {
  // How late an observation may come, and how far back a snapshot may be asked.
  std::int64_t max_delay_ns = 100'000'000;
  // How long the ball is reported without an observation.
  std::int64_t max_coast_ns = 500'000'000;
  // The ball is known when its largest standard deviation is at most this.
  double max_std_m = 0.5;
  // Pixel noise before any of it is learned.
  double sigma_px = 2.0;
  double radius_m = 0.12;
  // Height of the floor.
  double floor_m = 0.0;
  // Quadratic drag, 1/m: half the air's density times drag coefficient times area over mass.
  double drag_per_m = 0.022;
  double restitution = 0.78;
  // Which joints of whoever may hold the ball are wrists: the caller's, kept for it.
  std::vector<int> wrists;

  template <class Archive>
  void archive(Archive& a) {
    a(max_delay_ns, max_coast_ns, max_std_m, sigma_px, radius_m, floor_m, drag_per_m, restitution,
      wrists);
  }
};

// One place where a camera saw something like a ball.
struct Candidate {
  Vec2 uv;
  double confidence = 0.0;
  Vec3 ray;              // unit, world
  double delay_s = 0.0;  // its row after the first

  template <class Archive>
  void archive(Archive& a) {
    a(uv.x, uv.y, confidence, ray.x, ray.y, ray.z, delay_s);
  }
};

// One camera frame as it was accepted; never changed after.
struct Frame {
  int camera = 0;
  std::int64_t time_ns = 0;
  int rows = 0;
  std::vector<Candidate> candidates;

  template <class Archive>
  void archive(Archive& a) {
    a(camera, time_ns, rows, candidates);
  }
};

using FramePtr = std::shared_ptr<const Frame>;

// How the ball may be moving. The third block of a flight's state is what its acceleration has
// beyond gravity and drag; that of the others is the whole acceleration.
enum ModeKind : std::size_t { kFlight, kHeld, kBrisk, kStill, kStruck, kModes };

struct Mode {
  Vec9 x{};
  Mat9 P{};
  double weight = 0.0;

  template <class Archive>
  void archive(Archive& a) {
    a(x, P, weight);
  }
};

using Modes = std::array<Mode, kModes>;

// What one group of frames says of the position at its time: information about x - at, linear.
struct Fix {
  std::int64_t time_ns = 0;
  Vec3 at;
  Sym3 information;  // 1/m^2
  Vec3 pull;         // information times (estimate - at)
  int views = 0;
  double flight = 0.0;  // weight of flight after it

  template <class Archive>
  void archive(Archive& a) {
    a(time_ns, at.x, at.y, at.z, information.xx, information.xy, information.xz, information.yy,
      information.yz, information.zz, pull.x, pull.y, pull.z, views, flight);
  }
};

struct Bounce {
  std::int64_t time_ns = 0;
  double std_s = 0.0;
  Vec3 at;
  double down_mps = 0.0;  // vertical speed before
  double up_mps = 0.0;    // and after
  int after = 0;          // fixes since

  template <class Archive>
  void archive(Archive& a) {
    a(time_ns, std_s, at.x, at.y, at.z, down_mps, up_mps, after);
  }
};

// A running mean that trusts its start like `count` samples and forgets beyond `memory`.
struct Mean {
  double value = 0.0;
  double count = 1.0;

  void learn(double sample, double memory) {
    count = std::min(count + 1.0, memory);
    value += (sample - value) / count;
  }

  template <class Archive>
  void archive(Archive& a) {
    a(value, count);
  }
};

struct Track {
  std::int64_t key = 0;
  double evidence = 0.0;  // log odds that this is the ball
  int groups = 0;         // groups that saw it
  int views = 0;          // views in the newest group
  std::int64_t born_ns = 0;
  std::int64_t seen_ns = kLongAgo;    // newest time at which any view held it
  std::int64_t paired_ns = kLongAgo;  // newest time at which two views held it
  bool proven = false;                // it flew or bounced as only a ball does
  double free_s = 0.0;                // how long it has been flying fast
  double beside_s = 0.0;              // how long it was seen beside the ball
  double in_hand_s = 0.0;             // how long it has not been flying
  Mean confidence{0.5, 5.0};
  Modes modes;
  std::vector<Fix> fixes;       // oldest first
  std::vector<Bounce> bounces;  // oldest first

  template <class Archive>
  void archive(Archive& a) {
    a(key, evidence, groups, views, born_ns, seen_ns, paired_ns, proven, free_s, beside_s,
      in_hand_s, confidence, modes, fixes, bounces);
  }
};

// How the cameras see balls, learned while tracking.
struct Senses {
  // Candidates of low, middling and high confidence may differ in noise by a factor.
  static constexpr std::size_t kBands = 4;
  static std::size_t band_of(double confidence) {
    return static_cast<std::size_t>(
        std::clamp(confidence * static_cast<double>(kBands), 0.0, static_cast<double>(kBands) - 1));
  }

  std::array<Mean, kBands> bands{{{1.0, 100.0}, {1.0, 100.0}, {1.0, 100.0}, {1.0, 100.0}}};
  std::array<Mean, kMostCameras> variance_px2;
  Mean pooled_px2;
  Mean seen{0.7, 60.0};    // share of the views that see the ball
  Mean clutter{0.2, 8.0};  // other candidates in a frame

  template <class Archive>
  void archive(Archive& a) {
    a(bands, variance_px2, pooled_px2, seen, clutter);
  }
};

struct Counters {
  std::int64_t births = 0;
  std::int64_t deaths = 0;
  std::int64_t used = 0;      // candidates that were the reported ball
  std::int64_t unused = 0;    // candidates that were nothing
  std::int64_t searched = 0;  // groups in which views had to vote
  std::int64_t bounces = 0;
  std::int64_t switched = 0;  // another track became the ball

  template <class Archive>
  void archive(Archive& a) {
    a(births, deaths, used, unused, searched, bounces, switched);
  }
};

struct State {
  std::int64_t time_ns = kLongAgo;
  std::int64_t next_key = 1;
  std::int64_t chosen = 0;  // key of the track that is reported, 0 for none
  Senses senses;
  std::vector<Track> tracks;
  Counters counters;

  template <class Archive>
  void archive(Archive& a) {
    a(time_ns, next_key, chosen, senses, tracks, counters);
  }
};

}  // namespace tipoff::ball
