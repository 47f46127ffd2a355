#include "bindings.hpp"

#include <limits>
#include <memory>

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Camera camera_at(const Array<double>& K, const Array<double>& dist, const Array<double>& R,
                 const Array<double>& t, py::ssize_t c) {
  Camera camera;
  camera.k = {K.at(c, 0, 0), K.at(c, 1, 1), K.at(c, 0, 1), K.at(c, 0, 2), K.at(c, 1, 2)};
  camera.d = {dist.at(c, 0), dist.at(c, 1), dist.at(c, 2), dist.at(c, 3), dist.at(c, 4)};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) camera.R(i, j) = R.at(c, i, j);
  }
  camera.t = {t.at(c, 0), t.at(c, 1), t.at(c, 2)};
  return camera;
}

std::shared_ptr<Rig> make_rig(const Array<double>& K, const Array<double>& dist,
                              const Array<double>& R, const Array<double>& t,
                              const Array<double>& size, const Array<std::int64_t>& readout_ns) {
  const py::ssize_t count = K.ndim() == 3 ? K.shape(0) : 0;
  require_shape(K, {count, 3, 3}, "K");
  require_shape(dist, {count, 5}, "dist");
  require_shape(R, {count, 3, 3}, "R");
  require_shape(t, {count, 3}, "t");
  require_shape(size, {count, 2}, "size");
  require_shape(readout_ns, {count}, "readout_ns");
  auto rig = std::make_shared<Rig>();
  for (py::ssize_t c = 0; c < count; ++c) {
    Camera camera = camera_at(K, dist, R, t, c);
    camera.width = size.at(c, 0);
    camera.height = size.at(c, 1);
    camera.readout_ns = readout_ns.at(c);
    camera.prepare();
    rig->cameras.push_back(camera);
  }
  return rig;
}

Array<double> project_points(const Rig& rig, const Array<double>& points_m) {
  require_shape(points_m, {-1, 3}, "points_m");
  const std::size_t count = static_cast<std::size_t>(points_m.shape(0));
  const std::size_t cameras = rig.cameras.size();
  Array<double> out({count, cameras, std::size_t{2}});
  const double* in = points_m.data();
  double* uv = out.mutable_data();
  const py::gil_scoped_release release;
  for (std::size_t i = 0; i < count; ++i, in += 3) {
    for (const Camera& camera : rig.cameras) {
      Vec2 image{kNan, kNan};
      if (!project(camera, {in[0], in[1], in[2]}, image)) image = {kNan, kNan};
      *uv++ = image.x;
      *uv++ = image.y;
    }
  }
  return out;
}

Array<double> undistort_pixels(const Rig& rig, const Array<double>& uv, std::size_t camera) {
  require_shape(uv, {-1, 2}, "uv");
  const Camera& model = rig.cameras.at(camera);
  const std::size_t count = static_cast<std::size_t>(uv.shape(0));
  Array<double> out({count, std::size_t{2}});
  const double* in = uv.data();
  double* xy = out.mutable_data();
  const py::gil_scoped_release release;
  for (std::size_t i = 0; i < count; ++i, in += 2, xy += 2) {
    Vec2 normalised;
    const bool has_ray = undistort(model, {in[0], in[1]}, normalised);
    xy[0] = has_ray ? normalised.x : kNan;
    xy[1] = has_ray ? normalised.y : kNan;
  }
  return out;
}

Array<double> domain_radius(const Rig& rig) {
  Array<double> out(static_cast<py::ssize_t>(rig.cameras.size()));
  for (std::size_t c = 0; c < rig.cameras.size(); ++c) {
    out.mutable_data()[c] = std::sqrt(rig.cameras[c].max_r2);
  }
  return out;
}

}  // namespace

void bind_rig(py::module_& m) {
  py::class_<Rig, std::shared_ptr<Rig>>(m, "Rig")
      .def(py::init(&make_rig), py::arg("K").noconvert(), py::arg("dist").noconvert(),
           py::arg("R").noconvert(), py::arg("t").noconvert(), py::arg("size").noconvert(),
           py::arg("readout_ns").noconvert())
      .def("project", &project_points, py::arg("points_m").noconvert())
      .def("undistort", &undistort_pixels, py::arg("uv").noconvert(), py::arg("camera"))
      .def("domain_radius", &domain_radius);
}

}  // namespace tipoff::bindings
