// Pixel noise, learned while tracking: a scale per camera times a factor per band of confidence.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

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

  // Standard deviation of one coordinate of a keypoint, px.
  double sigma_px(int camera, double confidence) const {
    return std::sqrt(variance_px2(camera, confidence));
  }

  double variance_px2(int camera, double confidence) const {
    return variance_of(camera) * bands_[band_of(confidence)].value;
  }

  // Learns from the squared residual (px^2, both coordinates) of an inlier whose expectation under
  // the model is `share` (0..2) variances.
  void learn(int camera, double confidence, double residual2_px2, double share) {
    if (!(share > 0.4)) return;
    Moment& scale = cameras_[static_cast<std::size_t>(camera)];
    Moment& band = bands_[band_of(confidence)];
    // Inliers are cut at the core of the loss; what is left of a Gaussian there is this part of it.
    const double variance = residual2_px2 / (share * kTruncated);
    scale.learn(variance / band.value, kCameraMemory);
    pooled_.learn(variance / band.value, kPooledMemory);
    band.learn(variance / variance_of(camera), kBandMemory);
    scale.value = std::clamp(scale.value, kMinVariance, kMaxVariance);
    band.value = std::clamp(band.value, 0.1, 10.0);
  }

 private:
  struct Moment {
    double value = 1.0;
    double count = 0.0;
    void learn(double sample, double memory) {
      count = std::min(count + 1.0, memory);
      value += (sample - value) / count;
    }
  };

  static constexpr double kPriorCamera = 60.0;
  static constexpr double kPriorBand = 400.0;
  static constexpr double kCameraMemory = 4000.0;
  static constexpr double kPooledMemory = 8000.0;
  static constexpr double kBandMemory = 20000.0;
  static constexpr double kMinVariance = 0.25 * 0.25;
  static constexpr double kMaxVariance = 40.0 * 40.0;
  // E[r^2 | r^2 <= 6] / 2 for two Gaussian degrees of freedom.
  static constexpr double kTruncated = 0.843;
  static constexpr std::array<double, kBands> kBandStart{2.0, 1.4, 1.0, 0.8};

  // A camera may differ from the others by these factors, no more: where detectors err the same way
  // in every frame, two views that happen to agree would otherwise silence the rest.
  static constexpr double kBest = 1.0 / 2.25;
  static constexpr double kWorst = 4.0;

  double variance_of(int camera) const {
    return std::clamp(cameras_[static_cast<std::size_t>(camera)].value, kBest * pooled_.value,
                      kWorst * pooled_.value);
  }

  static std::size_t band_of(double confidence) {
    return static_cast<std::size_t>(std::clamp(confidence * kBands, 0.0, kBands - 1.0));
  }

  std::array<Moment, kMaxCameras> cameras_;
  Moment pooled_;
  std::array<Moment, kBands> bands_;
};

}  // namespace tipoff
