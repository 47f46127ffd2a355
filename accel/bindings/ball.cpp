#include "core/ball.hpp"

#include <memory>
#include <string_view>
#include <utility>

#include <pybind11/stl.h>

#include "bindings.hpp"

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

using ball::BallTracker;

std::unique_ptr<BallTracker> make_ball_tracker(const Rig& rig, const py::dict& d) {
  ball::Options options;
  options.max_delay_ns = d["max_delay_ns"].cast<std::int64_t>();
  options.max_coast_ns = d["max_coast_ns"].cast<std::int64_t>();
  options.max_std_m = d["max_std_m"].cast<double>();
  options.sigma_px = d["sigma_px"].cast<double>();
  options.radius_m = d["radius_m"].cast<double>();
  options.floor_m = d["floor_m"].cast<double>();
  options.drag_per_m = d["drag_per_m"].cast<double>();
  options.restitution = d["restitution"].cast<double>();
  options.wrists = d["wrists"].cast<std::vector<int>>();
  return std::make_unique<BallTracker>(rig, std::move(options));
}

py::dict options_of(const BallTracker& tracker) {
  const ball::Options& options = tracker.options();
  py::dict d;
  d["max_delay_ns"] = options.max_delay_ns;
  d["max_coast_ns"] = options.max_coast_ns;
  d["max_std_m"] = options.max_std_m;
  d["sigma_px"] = options.sigma_px;
  d["radius_m"] = options.radius_m;
  d["floor_m"] = options.floor_m;
  d["drag_per_m"] = options.drag_per_m;
  d["restitution"] = options.restitution;
  d["wrists"] = options.wrists;
  return d;
}

bool observe(BallTracker& tracker, int camera, std::int64_t time_ns,
             const Array<float>& candidates) {
  require_shape(candidates, {-1, 3}, "candidates");
  ball::Observation o;
  o.camera = camera;
  o.time_ns = time_ns;
  o.rows = candidates.shape(0);
  o.candidates = candidates.data();
  const py::gil_scoped_release release;
  return tracker.observe(o);
}

Sym3 sym_of(const double* m) {
  return {m[0], m[1], m[2], m[4], m[5], m[8]};
}

// Every known wrist among the people's joints.
std::vector<ball::Wrist> wrists_of(const std::vector<int>& joints, const Array<std::int64_t>& ids,
                                   const Array<double>& points, const Array<double>& covariances) {
  require_shape(ids, {-1}, "ids");
  require_shape(points, {ids.shape(0), -1, 3}, "joints_m");
  require_shape(covariances, {ids.shape(0), points.shape(1), 3, 3}, "covariance_m2");
  std::vector<ball::Wrist> out;
  for (py::ssize_t i = 0; i < ids.shape(0); ++i) {
    for (const int joint : joints) {
      if (joint < 0 || joint >= points.shape(1)) throw std::invalid_argument("no such joint");
      const py::ssize_t at = i * points.shape(1) + joint;
      const double* p = points.data() + 3 * at;
      const Sym3 covariance = sym_of(covariances.data() + 9 * at);
      const Vec3 point{p[0], p[1], p[2]};
      Sym3 inverse;
      // NaN where the joint is not known.
      if (!finite(point) || !invert(covariance, inverse)) continue;
      out.push_back({ids.data()[i], point, covariance});
    }
  }
  return out;
}

Array<double> vector_of(Vec3 v) {
  Array<double> out({py::ssize_t{3}});
  double* to = out.mutable_data();
  to[0] = v.x;
  to[1] = v.y;
  to[2] = v.z;
  return out;
}

Array<double> matrix_of(const Sym3& m) {
  Array<double> out({py::ssize_t{3}, py::ssize_t{3}});
  double* to = out.mutable_data();
  for (const double value : {m.xx, m.xy, m.xz, m.xy, m.yy, m.yz, m.xz, m.yz, m.zz}) *to++ = value;
  return out;
}

py::object arc_of(const ball::Arc& arc) {
  if (!arc.valid) return py::none();
  Array<double> covariance({py::ssize_t{6}, py::ssize_t{6}});
  double* to = covariance.mutable_data();
  for (const double value : arc.covariance) *to++ = value;
  const py::object landing =
      arc.landing_ns == ball::kLongAgo ? py::none() : py::object(py::int_(arc.landing_ns));
  return py::make_tuple(arc.release_ns, arc.release_std_s, vector_of(arc.release_p),
                        vector_of(arc.release_v), arc.from_floor, arc.fixes, arc.chi2, arc.time_ns,
                        vector_of(arc.p), vector_of(arc.v), covariance, landing);
}

py::list bounces_of(const std::vector<ball::Bounce>& bounces) {
  py::list out;
  for (const ball::Bounce& b : bounces) {
    out.append(py::make_tuple(b.time_ns, b.std_s, vector_of(b.at), b.down_mps, b.up_mps));
  }
  return out;
}

py::object snapshot(BallTracker& tracker, std::int64_t time_ns, const Array<std::int64_t>& ids,
                    const Array<double>& points, const Array<double>& covariances) {
  const std::vector<ball::Wrist> wrists =
      wrists_of(tracker.options().wrists, ids, points, covariances);
  ball::Report r;
  {
    const py::gil_scoped_release release;
    r = tracker.snapshot(time_ns, wrists);
  }
  if (!r.known) return py::none();
  const py::object holder = r.holder < 0 ? py::none() : py::object(py::int_(r.holder));
  return py::make_tuple(vector_of(r.position), vector_of(r.velocity), matrix_of(r.covariance_m2),
                        matrix_of(r.velocity_covariance_m2ps2), static_cast<int>(r.phase), holder,
                        r.views, r.flight, r.seen_ns, arc_of(r.arc), bounces_of(r.bounces));
}

py::dict stats(BallTracker& tracker) {
  ball::Stats s;
  {
    const py::gil_scoped_release release;
    s = tracker.stats();
  }
  py::dict out;
  out["accepted"] = s.accepted;
  out["refused_late"] = s.refused_late;
  out["refused_twice"] = s.refused_twice;
  out["unusable_candidates"] = s.unusable_candidates;
  out["dropped_candidates"] = s.dropped_candidates;
  out["replayed"] = s.replayed;
  out["births"] = s.steps.births;
  out["deaths"] = s.steps.deaths;
  out["used"] = s.steps.used;
  out["unused"] = s.steps.unused;
  out["searched"] = s.steps.searched;
  out["bounces"] = s.steps.bounces;
  out["switched"] = s.steps.switched;
  out["sigma_px"] = s.sigma_px;
  out["seen_share"] = s.seen_share;
  out["clutter"] = s.clutter;
  return out;
}

py::bytes checkpoint(BallTracker& tracker) {
  std::vector<std::uint8_t> bytes;
  {
    const py::gil_scoped_release release;
    bytes = tracker.checkpoint();
  }
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::unique_ptr<BallTracker> restore(const Rig& rig, const py::bytes& bytes) {
  const std::string_view view = bytes;
  const py::gil_scoped_release release;
  return BallTracker::restore(rig, reinterpret_cast<const std::uint8_t*>(view.data()), view.size());
}

}  // namespace

void bind_ball(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const ball::OutOfRange& e) {
      const py::object type = py::module_::import("accel.errors").attr("TimeOutOfRangeError");
      py::set_error(type, e.what());
    }
  });
  py::class_<BallTracker>(m, "BallTracker")
      .def(py::init(&make_ball_tracker), py::arg("rig"), py::arg("options"))
      .def("observe", &observe, py::arg("camera"), py::arg("time_ns"),
           py::arg("candidates").noconvert())
      .def("snapshot", &snapshot, py::arg("time_ns"), py::arg("ids").noconvert(),
           py::arg("joints_m").noconvert(), py::arg("covariance_m2").noconvert())
      .def("stats", &stats)
      .def("checkpoint", &checkpoint)
      .def_static("restore", &restore, py::arg("rig"), py::arg("checkpoint"))
      .def("options", &options_of);
}

}  // namespace tipoff::bindings
