#include "core/health.hpp"

#include <pybind11/stl.h>

#include "bindings.hpp"
#include "health.hpp"

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

// A monitor of its own, without a tracker: fed with sums, for streams of residuals made directly.
class Monitor {
 public:
  explicit Monitor(Rig rig) : rig_(std::move(rig)), monitor_(rig_.cameras.size()) {}

  py::list feed(const Array<std::int64_t>& times_ns, const Array<double>& points,
                const Array<double>& velocities, const Array<float>& counts,
                const Array<float>& means, double scatter_px, const Array<std::int32_t>& frames) {
    const py::ssize_t moments = times_ns.shape(0);
    const py::ssize_t people = points.shape(1);
    const auto cameras = static_cast<py::ssize_t>(rig_.cameras.size());
    require_shape(times_ns, {-1}, "times_ns");
    require_shape(points, {moments, people, 3}, "points_m");
    require_shape(velocities, {moments, people, 3}, "velocities_mps");
    require_shape(counts, {moments, people, cameras}, "counts");
    require_shape(means, {moments, people, cameras, 2}, "means_px");
    require_shape(frames, {moments, cameras, 4}, "frames");
    std::vector<Change> changes;
    {
      const py::gil_scoped_release release;
      const double* x = points.data();
      const double* v = velocities.data();
      const float* n = counts.data();
      const float* r = means.data();
      const std::int32_t* f = frames.data();
      for (py::ssize_t b = 0; b < moments; ++b) {
        const std::int64_t before = monitor_.blocks();
        monitor_.begin(rig_, times_ns.data()[b]);
        if (monitor_.blocks() != before) note(times_ns.data()[b], changes);
        for (py::ssize_t p = 0; p < people; ++p, x += 3, v += 3) {
          sums_.clear();
          for (int c = 0; c < static_cast<int>(cameras); ++c, ++n, r += 2) {
            sums_.push_back({c, *n, {r[0], r[1]}, scatter_px});
          }
          monitor_.observe_sums(p, {x[0], x[1], x[2]}, {v[0], v[1], v[2]}, sums_);
        }
        for (int c = 0; c < static_cast<int>(cameras); ++c, f += 4) {
          monitor_.count(c, {f[0], f[1], f[2], f[3]});
        }
      }
    }
    py::list out;
    for (const Change& change : changes) {
      out.append(py::make_tuple(change.time_ns, change.camera, change.verdict, change.partner));
    }
    return out;
  }

  py::list report() const { return to_list(monitor_.report(rig_)); }

 private:
  struct Change {
    std::int64_t time_ns;
    int camera;
    int verdict;
    int partner;
  };

  void note(std::int64_t time_ns, std::vector<Change>& changes) {
    const HealthMemory& memory = monitor_.memory();
    known_.resize(memory.cameras.size(), 0);
    for (std::size_t c = 0; c < memory.cameras.size(); ++c) {
      const int verdict = memory.cameras[c].verdict;
      if (verdict == known_[c]) continue;
      known_[c] = verdict;
      changes.push_back({time_ns, static_cast<int>(c), verdict, memory.cameras[c].partner});
    }
  }

  Rig rig_;
  HealthMonitor monitor_;
  std::vector<int> known_;
  std::vector<ResidualSum> sums_;
};

py::tuple to_tuple(const CameraHealth& h) {
  const auto pair = [](Vec2 v) { return py::make_tuple(v.x, v.y); };
  return py::make_tuple(static_cast<int>(h.verdict), h.partner, pair(h.bias_px),
                        pair(h.drift_px_per_min), h.explained, h.effect, h.error, h.sigma_scale,
                        h.displacement_m, h.at_far_baseline, h.since_ns);
}

}  // namespace

py::list to_list(const std::vector<CameraHealth>& cameras) {
  py::list out;
  for (const CameraHealth& camera : cameras) out.append(to_tuple(camera));
  return out;
}

void bind_health(py::module_& m) {
  py::class_<Monitor>(m, "HealthMonitor")
      .def(py::init([](const Rig& rig) { return std::make_unique<Monitor>(rig); }), py::arg("rig"))
      .def("feed", &Monitor::feed, py::arg("times_ns").noconvert(), py::arg("points_m").noconvert(),
           py::arg("velocities_mps").noconvert(), py::arg("counts").noconvert(),
           py::arg("means_px").noconvert(), py::arg("scatter_px"), py::arg("frames").noconvert())
      .def("report", &Monitor::report);
}

}  // namespace tipoff::bindings
