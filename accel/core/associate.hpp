// Which detection of a camera frame is which track: the tracks' expected images, and the
// assignment.
#pragma once

#include <vector>

#include "setup.hpp"
#include "state.hpp"

namespace tipoff {

// A track's joints in one image, summed up.
struct ImageBox {
  int valid = 0;   // joints with an image
  int inside = 0;  // those within the frame
  double x0 = 0.0;
  double y0 = 0.0;
  double x1 = 0.0;
  double y1 = 0.0;
  double depth = 0.0;         // mean over the valid joints, m
  double variance_px2 = 0.0;  // mean of one coordinate's
  double size_px() const { return std::sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)); }
};

// One camera frame at work: what the tracks should look like in it and what was taken for whom.
struct FrameWork {
  const Frame* frame = nullptr;
  int camera = 0;
  double offset_s = 0.0;  // the first row's time after the state's
  bool wide = false;      // whether the step to it was a wide one
  FloatLanes image{kImageRows};
  FloatLanes view{kViewRows};
  std::vector<ImageBox> boxes;    // by track
  FloatLanes noise{2};            // of each keypoint: variance, px^2, and its inverse; 0 missing
  std::vector<int> track_of;      // by detection, -1 none
  std::vector<int> detection_of;  // by track, -1 none
  std::vector<char> flipped;      // by detection: left and right are swapped
  int expected = 0;               // confirmed tracks that it should show, held ones among them
  int held = 0;                   // confirmed tracks that it shows
  std::vector<char> explained;    // by detection: fits a track that took another one
};

// Images of all tracks in a frame of `camera` whose first row is exposed `offset_s` after the
// joints' time; each joint at its own row's time.
void take_images(const Lanes& joints, std::size_t tracks, const Setup& setup, int camera,
                 double offset_s, FloatLanes& image, std::vector<ImageBox>& boxes);

// Whether joint j of track k lies behind the body of another, nearer track.
bool hidden(const FloatLanes& image, const std::vector<ImageBox>& boxes, const Setup& setup,
            int camera, std::size_t k, std::size_t j);

// A pair that fits worse than this is no pair.
inline constexpr double kMisfitGate = 0.72;

// Rooms for `match`; what they hold between calls does not matter.
struct MatchScratch {
  struct Edge {
    int track = 0;
    int detection = 0;
    double cost = 0.0;
    bool flipped = false;
  };
  std::vector<Edge> edges;
  std::vector<int> by_track;
  std::vector<int> by_detection;
  std::vector<int> rows;
  std::vector<int> columns;
  std::vector<double> table;
  std::vector<int> column_of;
  FloatLanes mirrored{3};
};

// Assigns the detections of a frame whose images are taken: confirmed tracks seen lately first,
// tentative ones among the rest. Lost tracks take part only through births.
void match(const State& state, const Setup& setup, FrameWork& work, MatchScratch& scratch);

}  // namespace tipoff
