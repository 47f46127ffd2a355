#include "setup.hpp"

#include <algorithm>
#include <stdexcept>

#include "state.hpp"

namespace tipoff {
namespace {

void check(const Rig& rig, const TrackerOptions& options) {
  if (rig.cameras.empty() || rig.cameras.size() > static_cast<std::size_t>(kMaxCameras)) {
    throw std::invalid_argument("a tracker needs 1 to 64 cameras, got " +
                                std::to_string(rig.cameras.size()));
  }
  const SkeletonSpec& skeleton = options.skeleton;
  if (skeleton.joints < 1 || skeleton.joints > kMaxJoints) {
    throw std::invalid_argument("a skeleton needs 1 to 64 joints, got " +
                                std::to_string(skeleton.joints));
  }
  const auto inside = [&](int joint) { return joint >= 0 && joint < skeleton.joints; };
  const auto count = static_cast<std::size_t>(skeleton.joints);
  bool fits = skeleton.mirror.size() == count && skeleton.parents.size() == count;
  for (const auto& [a, b] : skeleton.limbs) fits = fits && inside(a) && inside(b);
  for (const int j : skeleton.mirror) fits = fits && inside(j);
  for (const int j : skeleton.trunk) fits = fits && inside(j);
  for (const int j : skeleton.parents) fits = fits && (j == -1 || inside(j));
  if (!fits) throw std::invalid_argument("the skeleton names joints that it does not have");
  if (skeleton.trunk.empty()) {
    throw std::invalid_argument("a skeleton needs at least one trunk joint");
  }
  if (options.max_delay_ns < 0 || options.max_coast_ns < 0 || options.max_lost_ns < 0 ||
      options.lag_ns < 0) {
    throw std::invalid_argument("delays must not be negative");
  }
  if (std::max({options.max_delay_ns, options.max_coast_ns, options.max_lost_ns, options.lag_ns}) >
      kLongestDelay_ns) {
    throw std::invalid_argument("delays must be at most two years");
  }
  if (!(options.max_std_m > 0.0) || !(options.sigma_px > 0.0)) {
    throw std::invalid_argument("max_std_m and sigma_px must be positive");
  }
}

Lens lens_of(const Camera& camera) {
  Lens lens{};
  for (std::size_t i = 0; i < 9; ++i) lens.R[i] = camera.R.m[i];
  lens.t[0] = camera.t.x;
  lens.t[1] = camera.t.y;
  lens.t[2] = camera.t.z;
  lens.center[0] = camera.center.x;
  lens.center[1] = camera.center.y;
  lens.center[2] = camera.center.z;
  lens.fx = camera.k.fx;
  lens.fy = camera.k.fy;
  lens.skew = camera.k.skew;
  lens.cx = camera.k.cx;
  lens.cy = camera.k.cy;
  lens.k1 = camera.d.k1;
  lens.k2 = camera.d.k2;
  lens.p1 = camera.d.p1;
  lens.p2 = camera.d.p2;
  lens.k3 = camera.d.k3;
  lens.max_r2 = camera.max_r2;
  lens.height = camera.height > 0.0 ? camera.height : 1.0;
  lens.readout_s = camera.height > 0.0 ? 1e-9 * static_cast<double>(camera.readout_ns) : 0.0;
  return lens;
}

int kind_of(const SkeletonSpec& skeleton, int joint) {
  constexpr int kMost = static_cast<int>(Liveliness::kKinds) - 1;
  int kind = 0;
  for (int at = joint; kind < kMost; ++kind) {
    if (std::find(skeleton.trunk.begin(), skeleton.trunk.end(), at) != skeleton.trunk.end()) break;
    at = skeleton.parents[static_cast<std::size_t>(at)];
    if (at < 0) break;
  }
  return kind;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

Setup::Setup(Rig rig_given, TrackerOptions options_given)
    : rig(std::move(rig_given)), options(std::move(options_given)) {
  check(rig, options);
  kernels = kernels_of(options.isa);
  if (kernels == nullptr) {
    throw std::invalid_argument("isa \"" + options.isa + "\" cannot run here; this processor has " +
                                joined(instruction_sets()) + "; give one of these or auto");
  }
  for (const Camera& camera : rig.cameras) lenses.push_back(lens_of(camera));
  for (int j = 0; j < options.skeleton.joints; ++j) kinds.push_back(kind_of(options.skeleton, j));
  joints = static_cast<std::size_t>(options.skeleton.joints);
  limbs = options.skeleton.limbs.size();
}

}  // namespace tipoff
