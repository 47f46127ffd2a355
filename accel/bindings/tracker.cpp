#include "core/tracker.hpp"

#include <memory>
#include <optional>

#include <pybind11/stl.h>

#include "bindings.hpp"
#include "health.hpp"

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

// Times at or beyond this are refused, ns; detections in one call beyond this are looked at again.
constexpr long long kTimeLimit = 1LL << 62;
constexpr py::ssize_t kMaxRows = 1 << 20;

SkeletonSpec skeleton_of(const py::dict& d) {
  SkeletonSpec spec;
  spec.joints = d["joints"].cast<int>();
  spec.limbs = d["limbs"].cast<std::vector<std::pair<int, int>>>();
  spec.mirror = d["mirror"].cast<std::vector<int>>();
  spec.trunk = d["trunk"].cast<std::vector<int>>();
  spec.parents = d["parents"].cast<std::vector<int>>();
  return spec;
}

std::unique_ptr<Tracker> make_tracker(const Rig& rig, const py::dict& d) {
  TrackerOptions options;
  options.skeleton = skeleton_of(d["skeleton"].cast<py::dict>());
  options.max_delay_ns = d["max_delay_ns"].cast<std::int64_t>();
  options.max_coast_ns = d["max_coast_ns"].cast<std::int64_t>();
  options.max_lost_ns = d["max_lost_ns"].cast<std::int64_t>();
  options.max_std_m = d["max_std_m"].cast<double>();
  options.sigma_px = d["sigma_px"].cast<double>();
  options.certain_views = d["certain_views"].cast<int>();
  options.lag_ns = d["lag_ns"].cast<std::int64_t>();
  options.isa = d["isa"].cast<std::string>();
  options.label = d["label"].cast<std::string>();
  return std::make_unique<Tracker>(rig, std::move(options));
}

bool observe(Tracker& tracker, int camera, std::int64_t time_ns, const Array<float>& keypoints,
             const Array<float>& evidence, const std::optional<std::vector<std::int64_t>>& asked) {
  require_shape(keypoints, {-1, -1, 3}, "keypoints");
  require_shape(evidence, {keypoints.shape(0), -1}, "evidence");
  Observation o;
  o.camera = camera;
  o.time_ns = time_ns;
  o.rows = static_cast<int>(keypoints.shape(0));
  o.joints = static_cast<int>(keypoints.shape(1));
  o.keypoints = keypoints.data();
  o.roster = static_cast<int>(evidence.shape(1));
  o.evidence = o.roster > 0 ? evidence.data() : nullptr;
  o.searched = !asked.has_value();
  if (asked) o.asked = *asked;
  const py::gil_scoped_release release;
  return tracker.observe(o);
}

// The common call without detours: exact integers and a float32 array that fits. None where
// anything else was given, for the Python side to sort out.
py::object observe_plain(Tracker& tracker, py::handle camera, py::handle time_ns,
                         py::handle keypoints) {
  if (!PyLong_CheckExact(camera.ptr()) || !PyLong_CheckExact(time_ns.ptr()) ||
      !py::isinstance<Array<float>>(keypoints)) {
    return py::none();
  }
  const auto points = py::reinterpret_borrow<Array<float>>(keypoints);
  int overflow = 0;
  const long long time = PyLong_AsLongLongAndOverflow(time_ns.ptr(), &overflow);
  const int joints = tracker.options().skeleton.joints;
  if (overflow != 0 || time >= kTimeLimit || time <= -kTimeLimit || points.ndim() != 3 ||
      points.shape(1) != joints || points.shape(2) != 3 || points.shape(0) > kMaxRows) {
    return py::none();
  }
  const long long index = PyLong_AsLongLongAndOverflow(camera.ptr(), &overflow);
  if (overflow != 0 || index < 0 || index >= tracker.cameras()) return py::none();
  const Observation o{static_cast<int>(index),
                      time,
                      static_cast<int>(points.shape(0)),
                      joints,
                      points.data(),
                      0,
                      nullptr};
  bool accepted = false;
  {
    const py::gil_scoped_release release;
    accepted = tracker.observe(o);
  }
  return py::bool_(accepted);
}

template <typename T, typename From>
Array<T> copy_of(const std::vector<From>& values, std::vector<py::ssize_t> shape) {
  Array<T> out(std::move(shape));
  T* to = out.mutable_data();
  for (const From& value : values) *to++ = static_cast<T>(value);
  return out;
}

py::tuple to_tuple(const Snapshot& s) {
  const auto tracks = static_cast<py::ssize_t>(s.ids.size());
  const auto joints = static_cast<py::ssize_t>(s.joints);
  Array<double> points({tracks, joints, py::ssize_t{3}});
  Array<double> covariances({tracks, joints, py::ssize_t{3}, py::ssize_t{3}});
  double* p = points.mutable_data();
  double* c = covariances.mutable_data();
  for (const Vec3& point : s.points) {
    *p++ = point.x;
    *p++ = point.y;
    *p++ = point.z;
  }
  for (const Sym3& m : s.covariances) {
    for (const double value : {m.xx, m.xy, m.xz, m.xy, m.yy, m.yz, m.xz, m.yz, m.zz}) *c++ = value;
  }
  return py::make_tuple(copy_of<std::int64_t>(s.ids, {tracks}), points, covariances,
                        copy_of<float>(s.confidences, {tracks, joints}),
                        copy_of<std::int32_t>(s.views, {tracks, joints}));
}

py::tuple to_tuple(const Prediction& p) {
  const auto tracks = static_cast<py::ssize_t>(p.ids.size());
  const auto joints = static_cast<py::ssize_t>(p.joints);
  Array<double> boxes({tracks, py::ssize_t{4}});
  double* b = boxes.mutable_data();
  for (const auto& box : p.boxes) {
    for (const double value : box) *b++ = value;
  }
  return py::make_tuple(copy_of<std::int64_t>(p.ids, {tracks}), boxes,
                        copy_of<float>(p.keypoints, {tracks, joints, py::ssize_t{3}}),
                        copy_of<bool>(p.visible, {tracks, joints}));
}

template <typename Work>
decltype(auto) released(const Work& work) {
  const py::gil_scoped_release release;
  return work();
}

py::dict stats(Tracker& tracker) {
  const TrackerStats s = released([&] { return tracker.stats(); });
  py::dict out;
  out["accepted"] = s.accepted;
  out["refused_late"] = s.refused_late;
  out["refused_twice"] = s.refused_twice;
  out["held_ahead"] = s.held_ahead;
  out["dropped_detections"] = s.dropped_detections;
  out["missing_keypoints"] = s.missing_keypoints;
  out["replayed"] = s.replayed;
  out["state_bytes"] = s.state_bytes;
  out["kept_states"] = s.kept_states;
  out["births"] = s.steps.births;
  out["deaths"] = s.steps.deaths;
  out["assigned"] = s.steps.assigned;
  out["unassigned"] = s.steps.unassigned;
  out["flipped"] = s.steps.flipped;
  out["restarted"] = s.steps.restarted;
  return out;
}

// What `make_tracker` takes, as the tracker holds it.
py::dict options_of(const Tracker& tracker) {
  const TrackerOptions& o = tracker.options();
  py::dict skeleton;
  skeleton["joints"] = o.skeleton.joints;
  skeleton["limbs"] = o.skeleton.limbs;
  skeleton["mirror"] = o.skeleton.mirror;
  skeleton["trunk"] = o.skeleton.trunk;
  skeleton["parents"] = o.skeleton.parents;
  py::dict out;
  out["skeleton"] = skeleton;
  out["max_delay_ns"] = o.max_delay_ns;
  out["max_coast_ns"] = o.max_coast_ns;
  out["max_lost_ns"] = o.max_lost_ns;
  out["max_std_m"] = o.max_std_m;
  out["sigma_px"] = o.sigma_px;
  out["certain_views"] = o.certain_views;
  out["lag_ns"] = o.lag_ns;
  out["isa"] = o.isa;
  out["label"] = o.label;
  return out;
}

py::object error_type(const char* name) {
  return py::module_::import("accel.errors").attr(name);
}

}  // namespace

void bind_tracker(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const TimeOutOfRange& e) {
      py::set_error(error_type("TimeOutOfRangeError"), e.what());
    } catch (const NotYet& e) {
      py::set_error(error_type("NotYetError"), e.what());
    } catch (const BadCheckpoint& e) {
      py::set_error(error_type("CheckpointError"), e.what());
    }
  });
  py::class_<Tracker>(m, "Tracker")
      .def(py::init(&make_tracker), py::arg("rig"), py::arg("options"))
      .def("observe", &observe, py::arg("camera"), py::arg("time_ns"),
           py::arg("keypoints").noconvert(), py::arg("evidence").noconvert(), py::arg("asked"))
      .def("observe_plain", &observe_plain, py::arg("camera"), py::arg("time_ns"),
           py::arg("keypoints"))
      .def(
          "snapshot",
          [](Tracker& t, std::int64_t time_ns) {
            // A thread's room, so that asking again and again allocates nothing but the answer.
            static thread_local Snapshot room;
            released([&] { t.snapshot(time_ns, room); });
            return to_tuple(room);
          },
          py::arg("time_ns"))
      .def(
          "smoothed",
          [](Tracker& t, std::int64_t time_ns) {
            return to_tuple(released([&] { return t.smoothed(time_ns); }));
          },
          py::arg("time_ns"))
      .def(
          "predict",
          [](Tracker& t, int camera, std::int64_t time_ns) {
            return to_tuple(released([&] { return t.predict(camera, time_ns); }));
          },
          py::arg("camera"), py::arg("time_ns"))
      .def(
          "assigned",
          [](Tracker& t, int camera, std::int64_t time_ns) {
            const auto ids = released([&] { return t.assigned(camera, time_ns); });
            return copy_of<std::int64_t>(ids, {static_cast<py::ssize_t>(ids.size())});
          },
          py::arg("camera"), py::arg("time_ns"))
      .def("plan", &plan, py::arg("time_ns"), py::arg("budget"))
      .def("stats", &stats)
      .def("health", [](Tracker& t) { return to_list(released([&] { return t.health(); })); })
      .def("isa", [](const Tracker& t) { return std::string(t.isa()); })
      .def("checkpoint",
           [](Tracker& t) {
             const auto bytes = released([&] { return t.checkpoint(); });
             return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
           })
      .def_static(
          "restore",
          [](const Rig& rig, const py::bytes& bytes) {
            const std::string_view view = bytes;
            const auto* data = reinterpret_cast<const std::uint8_t*>(view.data());
            return released([&] { return Tracker::restore(rig, data, view.size()); });
          },
          py::arg("rig"), py::arg("checkpoint"))
      .def("options", &options_of);
  m.def("instruction_sets", &instruction_sets);
}

}  // namespace tipoff::bindings
