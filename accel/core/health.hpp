// The health of a rig, from residuals while tracking: has a camera been knocked, is it late, does
// it show another camera's pictures?
//
// Fed with the residuals of every joint that was solved and with counts per camera frame, it sums
// them up per person and camera over blocks of a quarter of a second, scores every block
// (health_fit.hpp) and judges the cameras (health_judge.hpp). It knows nothing of the tracker. It
// is a value: copies share what earlier blocks taught, which is replaced and never changed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "health_judge.hpp"

namespace tipoff {

// One keypoint of a joint: measured less predicted pixel, and its expected standard deviation.
struct Residual {
  int camera = 0;
  Vec2 residual_px;
  double sd_px = 1.0;
};

// Many keypoints of one person in one camera at once.
struct ResidualSum {
  int camera = 0;
  double count = 0.0;
  Vec2 mean_px;
  double scatter_px = 1.0;  // root mean square about the mean, per coordinate
};

// Sums over keypoints of one person in one camera: residuals, their squares over both coordinates,
// and the variances that they were expected to have, px and px^2.
struct ResidualCell {
  double count = 0.0;
  double u = 0.0;
  double v = 0.0;
  double squares = 0.0;
  double variance = 0.0;
  template <class Archive>
  void archive(Archive& a) {
    a(count, u, v, squares, variance);
  }
};

class HealthMonitor {
 public:
  HealthMonitor() : HealthMonitor(0) {}
  explicit HealthMonitor(std::size_t cameras);

  // Begins a moment of the game; times ascend. Closes the blocks that ended before it.
  void begin(const Rig& rig, std::int64_t time_ns);

  // One joint of a person (any number that stays theirs), where it is believed to be and how it
  // moves, with the residuals of every view that was assigned to it, outliers among them.
  void observe(std::int64_t person, Vec3 point_m, Vec3 velocity_mps,
               std::span<const Residual> residuals);

  // The same for sums over the joints or frames of one block.
  void observe_sums(std::int64_t person, Vec3 point_m, Vec3 velocity_mps,
                    std::span<const ResidualSum> sums);

  // The same for sums over a person's joints at one moment; null where this person is one too many.
  // The cells are by camera, for the caller to add to; they lie there until the next call.
  ResidualCell* open_cells(std::int64_t person, Vec3 point_m, Vec3 velocity_mps) {
    return cells_of(person, point_m, velocity_mps, 1.0);
  }

  // What one camera frame held.
  void count(int camera, const FrameCounts& counts);

  // Whether so little of a camera's frames is explained that it may show another's pictures.
  bool doubtful(int camera) const;
  // The next camera to try a doubtful one's detections as, in turn; -1 for none.
  int next_guess(int camera);
  // The share of its detections that was explained when taken as `other`'s (`explained_as`).
  void guessed(int camera, int other, int detections, double share);

  // By how much a camera's noise is to be taken larger than it was learned: 1 while it is trusted.
  double sigma_scale(int camera) const;

  std::vector<CameraHealth> report(const Rig& rig) const;
  // Whether what was read from an archive can be gone on with: lists as long as the rig has
  // cameras, numbers within what they count.
  bool sound() const;
  // Blocks closed since the start, and what they taught.
  std::int64_t blocks() const { return memory_->index; }
  const HealthMemory& memory() const { return *memory_; }

  template <class Archive>
  void archive(Archive& a) {
    HealthMemory memory = *memory_;
    a(memory, open_ns_, people_, cells_, open_, turn_, last_);
    memory_ = std::make_shared<const HealthMemory>(std::move(memory));
  }

 private:
  struct Person {
    std::int64_t key = 0;
    double count = 0.0;
    Vec3 point;
    Vec3 velocity;
    template <class Archive>
    void archive(Archive& a) {
      a(key, count, point.x, point.y, point.z, velocity.x, velocity.y, velocity.z);
    }
  };

  ResidualCell* cells_of(std::int64_t person, Vec3 point, Vec3 velocity, double weight);
  void close(const Rig& rig);

  std::size_t cameras_ = 0;
  std::shared_ptr<const HealthMemory> memory_;
  std::int64_t open_ns_ = INT64_MIN;  // when the open block began
  std::vector<Person> people_;
  std::vector<ResidualCell> cells_;  // people x cameras
  std::vector<OpenCounts> open_;     // by camera
  std::vector<std::int32_t> turn_;   // by camera: the guess whose turn is next
  std::int64_t last_ = 0;            // the person last added to
};

}  // namespace tipoff
