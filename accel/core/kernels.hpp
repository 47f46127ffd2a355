// The arithmetic of the tracker, over many joints at once, in one table of functions an instruction
// set.
//
// Every kernel treats its lanes apart and in the same order of operations, so that the width of the
// registers changes no bit of the results. No file that defines kernels may include a standard
// header or define an inline function with external linkage: the linker would keep one copy of it
// for all instruction sets.
#pragma once

namespace tipoff {

// Rows of a joint's state. Position and velocity in metres and metres a second; covariances by the
// upper triangle; kPV by rows, position by velocity.
enum Row : int {
  kP = 0,
  kV = 3,
  kPP = 6,
  kPV = 12,
  kVV = 21,
  kFilterRows = 27,
  kHabit = 27,        // usual place beside the trunk's centre, m
  kHabitVar = 30,     // its variance, m^2
  kHabitWeight = 31,  // 0 until it is learned
  kUnseen = 32,       // seconds since a view supported the joint
  kConfidence = 33,   // mean confidence of the keypoints that last supported it
  kFresh = 34,        // 1 where the filter was started anew in the state's last step
  kLevel = 35,        // how much livelier this joint is than its kind, a factor of variances
  kStateRows = 36,
};

// Rows of a track's image in one camera frame.
enum ImageRow : int {
  kU = 0,
  kVpx = 1,
  kDepth = 2,  // m, at most 0 where the joint has no image
  kDu = 3,     // derivatives by world x, y, z
  kDv = 6,
  kImageVar = 9,  // variance of one coordinate through the joint's covariance, px^2
  kImageRows = 10,
};

// Rows of what was measured, by frame and lane, and of what the solve says of it.
enum ViewRow : int {
  kZu = 0,
  kZv = 1,
  kInv = 2,    // 1 / variance, px^-2; 0 where there is no keypoint
  kSure = 3,   // confidence
  kR2 = 4,     // squared residual in variances after the solve
  kShare = 5,  // expectation of kR2 after the fit, 0..2
  kViewRows = 6,
};

// Rows of a solution.
enum SolutionRow : int {
  kMove = 0,  // from the start of the solve, m
  kInfo = 3,  // of the views alone, upper triangle, m^-2
  kCost = 9,  // robust cost of the views
  kInliers = 10,
  kCount = 11,      // views that saw the joint
  kPriorCost = 12,  // squared distance from the prior in its covariance
  kSolutionRows = 13,
};

// A camera as the kernels read it.
struct Lens {
  double R[9];
  double t[3];
  double center[3];
  double fx, fy, skew, cx, cy;
  double k1, k2, p1, p2, k3;
  double max_r2;
  double height;
  double readout_s;
};

struct PredictArgs {
  const double* from;
  long from_stride;
  double* to;
  long to_stride;
  long lanes;
  double dt_s;
  double keep;            // part of the velocity relative to the body that is left after dt
  const double* q;        // spectral density of the acceleration, m^2/s^3, a lane each
  const double* body[3];  // the body's velocity, a lane each
};

struct PullArgs {
  double* state;
  long stride;
  long lanes;
  const double* target[3];
  const double* variance;  // of the pull, m^2; 0 where there is none
};

struct ProjectArgs {
  const Lens* lens;
  const double* state;
  long stride;
  long lanes;
  double offset_s;  // the first row's time after the state's
  float* image;
  long image_stride;
};

struct MisfitArgs {
  const float* u;  // the track's image
  const float* v;
  const float* depth;
  const float* variance;
  const float* zu;  // the detection, padded to whole blocks
  const float* zv;
  const float* noise;  // variance, px^2, 0 where missing
  long joints;
  double floor;  // px^2 added to every variance
  double vague;  // px^2 of the image at which a joint counts half
};

struct Misfit {
  double sum;
  double total;
  double common;
  double mean_u;
  double mean_v;
};

// One detection as the caller holds it: u, v, confidence of every joint in turn.
struct SieveArgs {
  const float* keypoints;
  long joints;
  float most_u;  // coordinates beyond these are no measurements
  float most_v;
  float* u;  // padded to whole blocks; all three 0 where there is no measurement
  float* v;
  float* confidence;
};

struct Sieved {
  double present;
  double x0, y0, x1, y1;
};

// The noise of keypoints by their confidence, in four bands of equal width.
struct NoiseArgs {
  const float* confidence;
  long lanes;
  float band[4];     // variance, px^2
  float inverse[4];  // 1 / variance
  float* variance;   // 0 where there is no keypoint
  float* information;
};

// A track's joints in one image.
struct BoxArgs {
  const float* u;
  const float* v;
  const float* depth;
  const float* variance;
  long joints;
  double width;
  double height;
};

struct Boxed {
  double valid, inside, depth, variance;
  double x0, y0, x1, y1;
};

// Which detections' boxes come near a track's.
struct ReachArgs {
  const double* boxes;  // rows x0, y0, x1, y1, size
  long stride;
  long lanes;
  double x0, y0, x1, y1, size;  // the track's
  double reach;                 // px
  double part;                  // of the larger size, added to the reach
  unsigned long long* near;     // bits of words of 64 lanes, cleared before
};

// Which cameras support which joint after the solve.
struct SupportArgs {
  int frames;
  float* const* views;
  long image_stride;
  const long long* bits;  // by frame: its camera's
  const double* solution;
  long solution_stride;
  long lanes;
  unsigned long* supports;  // a mask a lane
  double* unseen;
  double* confidence;
};

// What one view missed of a track's solved joints, summed up; all pointers at the track's lanes.
struct MissArgs {
  const float* image;
  const float* view;
  long stride;
  const double* solution;
  long solution_stride;
  long joints;
  double far2;     // squared residuals beyond this, px^2, and
  double sigmas2;  // beyond this many variances are another person's
};

struct Missed {
  double count, u, v, squares, variance;
};

struct SolveArgs {
  const double* state;
  long stride;
  long lanes;
  int frames;
  const float* const* images;  // kImageRows each
  float* const* views;         // kViewRows each
  long image_stride;
  double* solution;
  long solution_stride;
};

// Which joints' solutions are in doubt: they moved far, failed, or so many views are against them,
// or they against the prediction, that the views alone may know better.
struct DoubtArgs {
  const double* solution;
  long solution_stride;
  long lanes;
  double far2;   // m^2
  double share;  // one outlier in so many views makes no doubt
  double cap;    // of the squared distance from the prior, in its covariance
  unsigned char* doubtful;
};

// How much farther the views move joints than their covariances say.
struct LivelyArgs {
  const double* solution;
  long solution_stride;
  long lanes;
  const double* teaches;  // 1 where the lane's track is old enough
  const double* fresh;
  const double* move2;
  const double* lost;
  double outliers;  // more of them teach nothing
  double goal;      // of move2 / lost
  double most;      // of a move, in what was lost
  double gain;      // how far one step pushes a level, how far it fades, and its bounds
  double fade;
  double most_ratio;
  double least_level;
  double most_level;
  double* level;
  double* moved;  // bounded moves and what was lost, 0 where nothing is learned
  double* expected;
};

// What one frame teaches of its camera's noise.
struct LessonArgs {
  const float* view;
  long view_stride;
  const double* solution;
  long solution_stride;
  long lanes;
  double least_share;  // views with less of kShare say too little of the noise
};

// By band of confidence: squared residuals of the inliers, px^2 of both coordinates, what they
// would be for a variance of one, and how many; then the keypoints of joints with three views or
// more, and those of them that are inliers.
struct Lesson {
  double sum[4], share[4], count[4];
  double seen, inside;
};

struct ConditionArgs {
  double* state;
  long stride;
  long lanes;
  const double* solution;
  long solution_stride;
  int frames;
  const float* const* images;
  float* const* views;
  long image_stride;
  int shares;         // whether to fill kShare
  double* gained[2];  // |move|^2 and the trace of what the covariance lost, a lane each
};

// A solve through the full camera model. Rows: views as above with one more for time.
struct FullArgs {
  int frames;
  const Lens* const* lenses;
  const double* const* views;  // kZu, kZv, kInv by lane
  const double* const* times;  // s after the state's time, by lane
  double* const* r2;
  long stride;
  long lanes;
  const double* start[3];
  const double* velocity[3];
  const double* prior[3];  // may be null: no prior
  const double* information[6];
  double* solution;
  long solution_stride;
  int steps;
};

struct PairArgs {
  const Lens* a;
  const Lens* b;
  const double* ray_a[3];
  const double* ray_b[3];
  const double* inv_a;
  const double* inv_b;
  double* point[3];
  double* met;  // 1 where the rays meet before both cameras
  long lanes;
};

struct CostArgs {
  int frames;
  const Lens* const* lenses;
  const double* const* views;
  const double* const* times;
  long stride;
  long lanes;
  const double* velocity[3];
  const double* point[3];
  double* cost;
};

struct RayArgs {
  const Lens* lens;
  const double* u;
  const double* v;
  const double* given;  // > 0 where there is a keypoint
  double* ray[3];
  double* valid;
  long lanes;
};

// How well the rays of two detections meet, joint by joint.
struct MeetArgs {
  const Lens* a;
  const Lens* b;
  const float* ray_a[3];
  const float* ray_b[3];
  const float* valid_a;
  const float* valid_b;
  double scale_a;  // squared: (focal length / size / allowed error / 2)^2
  double scale_b;
  long joints;
};

struct Meeting {
  double sum;
  double common;
  double low[3];
  double high[3];
};

struct SmoothArgs {
  const double* filtered;
  const double* predicted;
  const double* later;  // the smoothed state after
  double* out;
  const double* cut;  // 1 where nothing may be learned from what came after
  long stride;
  long lanes;
  double dt_s;
  double keep;
};

struct Kernels {
  const char* name;
  void (*predict)(const PredictArgs&);
  void (*pull)(const PullArgs&);
  void (*project)(const ProjectArgs&);
  void (*sieve)(const SieveArgs&, Sieved&);
  void (*noise)(const NoiseArgs&);
  void (*box)(const BoxArgs&, Boxed&);
  void (*reach)(const ReachArgs&);
  void (*support)(const SupportArgs&);
  void (*misfit)(const MisfitArgs&, Misfit&);
  void (*solve)(const SolveArgs&);
  bool (*doubt)(const DoubtArgs&);  // whether there is any
  void (*lively)(const LivelyArgs&);
  void (*lesson)(const LessonArgs&, Lesson&);
  void (*miss)(const MissArgs&, Missed&);
  void (*condition)(const ConditionArgs&);
  void (*full)(const FullArgs&);
  void (*pair)(const PairArgs&);
  void (*cost)(const CostArgs&);
  void (*rays)(const RayArgs&);
  void (*meet)(const MeetArgs&, Meeting&);
  void (*smooth)(const SmoothArgs&);
};

// Squared residual (in variances, two degrees of freedom) up to which the loss is quadratic: 95 %.
constexpr double kCore = 6.0;

}  // namespace tipoff
