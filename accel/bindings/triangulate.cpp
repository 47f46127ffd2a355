#include "core/triangulate.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <span>

#include "bindings.hpp"

namespace py = pybind11;

namespace tipoff::bindings {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Where the results of one point go.
struct Row {
  double* point;
  double* covariance;
  double* residual;
  bool* inliers;
};

void write_missing(std::size_t cameras, const Row& row) {
  std::fill_n(row.point, 3, kNan);
  std::fill_n(row.covariance, 9, kNan);
  std::fill_n(row.residual, cameras, kNan);
  std::fill_n(row.inliers, cameras, false);
}

void write_covariance(const Sym3& s, double* out) {
  const double full[9] = {s.xx, s.xy, s.xz, s.xy, s.yy, s.yz, s.xz, s.yz, s.zz};
  std::copy_n(full, 9, out);
}

void solve_row(const Rig& rig, const Vec2* uv, const double* confidence,
               const TriangulateOptions& options, TriangulateScratch& scratch, const Row& row) {
  const std::size_t cameras = rig.cameras.size();
  write_missing(cameras, row);
  const std::span<const double> weights(confidence, confidence == nullptr ? 0 : cameras);
  TriangulateResult result;
  if (!triangulate(rig, {uv, cameras}, weights, options, scratch, result)) return;
  row.point[0] = result.point.x;
  row.point[1] = result.point.y;
  row.point[2] = result.point.z;
  write_covariance(result.covariance, row.covariance);
  for (std::size_t c = 0; c < cameras; ++c) {
    const bool present = weights.empty() || (std::isfinite(weights[c]) && weights[c] > 0.0);
    if (present) row.residual[c] = residual_px(rig.cameras[c], result.point, uv[c]);
  }
  for (const TriangulateView& view : scratch.views) row.inliers[view.camera] = view.inlier;
}

py::tuple triangulate_batch(const Rig& rig, const Array<double>& uv,
                            const std::optional<Array<double>>& confidence, double sigma_px) {
  static_assert(sizeof(Vec2) == 2 * sizeof(double));
  const std::size_t cameras = rig.cameras.size();
  const auto width = static_cast<py::ssize_t>(cameras);
  require_shape(uv, {-1, width, 2}, "uv");
  if (confidence) require_shape(*confidence, {uv.shape(0), width}, "confidence");
  const std::size_t count = static_cast<std::size_t>(uv.shape(0));
  Array<double> points({count, std::size_t{3}});
  Array<double> covariances({count, std::size_t{3}, std::size_t{3}});
  Array<double> residuals({count, cameras});
  Array<bool> inliers({count, cameras});
  const Vec2* pixels = reinterpret_cast<const Vec2*>(uv.data());
  const double* weights = confidence ? confidence->data() : nullptr;
  Row row{points.mutable_data(), covariances.mutable_data(), residuals.mutable_data(),
          inliers.mutable_data()};
  TriangulateOptions options;
  options.sigma_px = sigma_px;
  {
    const py::gil_scoped_release release;
    TriangulateScratch scratch;
    for (std::size_t i = 0; i < count; ++i) {
      solve_row(rig, pixels + i * cameras, weights == nullptr ? nullptr : weights + i * cameras,
                options, scratch, row);
      row = {row.point + 3, row.covariance + 9, row.residual + cameras, row.inliers + cameras};
    }
  }
  return py::make_tuple(points, covariances, residuals, inliers);
}

}  // namespace

void bind_triangulate(py::module_& m) {
  m.def("triangulate", &triangulate_batch, py::arg("rig"), py::arg("uv").noconvert(),
        py::arg("confidence").noconvert(), py::arg("sigma_px"));
}

}  // namespace tipoff::bindings
