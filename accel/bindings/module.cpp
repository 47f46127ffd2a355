#include "bindings.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core of accel; use the classes and functions of accel itself.";
  tipoff::bindings::bind_rig(m);
  tipoff::bindings::bind_triangulate(m);
  tipoff::bindings::bind_tracker(m);
  tipoff::bindings::bind_ball(m);
  tipoff::bindings::bind_health(m);
}
