// Pixel noise, learned while tracking: a scale per camera times a factor per band of confidence.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels.hpp"
#include "options.hpp"

namespace tipoff {

class NoiseModel {
 public:
  static constexpr int kBands = 4;

  explicit NoiseModel(double sigma_px = 4.0) {
    for (Moment& camera : cameras_) camera = {sigma_px * sigma_px, kPriorCamera};
    pooled_ = {sigma_px * sigma_px, kPriorCamera};
    for (std::size_t i = 0; i < kBands; ++i) bands_[i] = {kBandStart[i], kPriorBand};
  }

  // Variance of one coordinate of a keypoint, px^2.
  double variance_px2(int camera, int band) const {
    return variance_of(camera) * bands_[static_cast<std::size_t>(band)].value;
  }

  // Whether everything has been seen often enough for a rest between lessons.
  bool settled() const { return pooled_.count >= kPooledMemory; }

  void learn(int camera, const Lesson& lesson) {
    Moment& scale = cameras_[static_cast<std::size_t>(camera)];
    double sum = 0.0;
    double share = 0.0;
    double count = 0.0;
    for (std::size_t b = 0; b < kBands; ++b) {
      sum += lesson.sum[b] / bands_[b].value;
      share += lesson.share[b];
      count += lesson.count[b];
    }
    if (lesson.seen > 0.0) notice(lesson);
    if (!(share > 0.0)) return;
    const double own = variance_of(camera);
    scale.learn(sum / share, count, kCameraMemory);
    pooled_.learn(sum / share, count, kPooledMemory);
    for (std::size_t b = 0; b < kBands; ++b) {
      if (!(lesson.share[b] > 0.0)) continue;
      bands_[b].learn(lesson.sum[b] / lesson.share[b] / own, lesson.count[b], kBandMemory);
      bands_[b].value = std::clamp(bands_[b].value, 0.1, 10.0);
    }
    scale.value = std::clamp(scale.value, kMinVariance, kMaxVariance);
    pooled_.value = std::clamp(pooled_.value, kMinVariance, kMaxVariance);
  }

  static int band_of(double confidence) {
    return static_cast<int>(std::clamp(confidence * kBands, 0.0, kBands - 1.0));
  }

  template <class Archive>
  void archive(Archive& a) {
    for (Moment& m : cameras_) a(m.value, m.count);
    a(pooled_.value, pooled_.count);
    a(inside_.value, inside_.count);
    for (Moment& m : bands_) a(m.value, m.count);
  }

 private:
  struct Moment {
    double value = 1.0;
    double count = 0.0;
    void learn(double sample, double weight, double memory) {
      count = std::min(count + weight, memory);
      value += (sample - value) * std::min(1.0, weight / count);
    }
  };

  // Where most keypoints are no inliers, the noise is larger than it is taken for: a mean over
  // inliers alone would hardly ever find out.
  void notice(const Lesson& lesson) {
    inside_.learn(lesson.inside / lesson.seen, lesson.seen, kInsideMemory);
    if (!(inside_.value < kFewInside)) return;
    for (Moment& camera : cameras_) enlarge(camera);
    enlarge(pooled_);
    inside_ = {kSomeInside, kInsideStart};
  }

  static void enlarge(Moment& m) {
    m.value = std::min(kEnlarge * m.value, kMaxVariance);
    m.count = std::min(m.count, kPriorCamera);
  }

  static constexpr double kPriorCamera = 60.0;
  static constexpr double kPriorBand = 400.0;
  static constexpr double kCameraMemory = 4000.0;
  static constexpr double kPooledMemory = 8000.0;
  static constexpr double kBandMemory = 20000.0;
  static constexpr double kMinVariance = 0.25 * 0.25;
  static constexpr double kMaxVariance = 40.0 * 40.0;
  static constexpr std::array<double, kBands> kBandStart{2.0, 1.4, 1.0, 0.8};

  // A camera may differ from the others by these factors, no more: where detectors err the same way
  // in every frame, two views that happen to agree would otherwise silence the rest.
  static constexpr double kBest = 1.0 / 2.25;
  static constexpr double kWorst = 4.0;

  double variance_of(int camera) const {
    return std::clamp(cameras_[static_cast<std::size_t>(camera)].value, kBest * pooled_.value,
                      kWorst * pooled_.value);
  }

  // The share of inliers is a mean over so many keypoints; below the first share the variance
  // grows by this factor, and the share is given time to follow.
  static constexpr double kInsideMemory = 120.0;
  static constexpr double kInsideStart = 48.0;
  static constexpr double kFewInside = 0.6;
  static constexpr double kSomeInside = 0.75;
  static constexpr double kEnlarge = 2.25;

  std::array<Moment, kMaxCameras> cameras_;
  Moment pooled_;
  Moment inside_{kSomeInside, kInsideStart};
  std::array<Moment, kBands> bands_;
};

}  // namespace tipoff
