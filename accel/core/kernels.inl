// The kernels themselves, compiled once an instruction set: TIPOFF_ISA names the namespace,
// TIPOFF_WIDTH the doubles in a register. See kernels.hpp for what may not stand here.
#include "kernels.hpp"

namespace tipoff {
namespace TIPOFF_ISA {
namespace {

constexpr int W = TIPOFF_WIDTH;
constexpr int kParts = 8 / W;
typedef double vd __attribute__((vector_size(8 * TIPOFF_WIDTH)));
typedef long long vm __attribute__((vector_size(8 * TIPOFF_WIDTH)));

typedef float vf __attribute__((vector_size(4 * TIPOFF_WIDTH)));
// Twice as many in single precision.
typedef float vs __attribute__((vector_size(8 * TIPOFF_WIDTH)));
typedef int vn __attribute__((vector_size(8 * TIPOFF_WIDTH)));

#define TIPOFF_INLINE static inline __attribute__((always_inline))

TIPOFF_INLINE vd load(const double* p) {
  vd r;
  __builtin_memcpy(&r, p, sizeof r);
  return r;
}
TIPOFF_INLINE void store(double* p, vd x) {
  __builtin_memcpy(p, &x, sizeof x);
}
// W floats, widened.
TIPOFF_INLINE vd load(const float* p) {
  vf r;
  __builtin_memcpy(&r, p, sizeof r);
  return __builtin_convertvector(r, vd);
}
TIPOFF_INLINE void store(float* p, vs x) {
  __builtin_memcpy(p, &x, sizeof x);
}
TIPOFF_INLINE vs load_single(const float* p) {
  vs r;
  __builtin_memcpy(&r, p, sizeof r);
  return r;
}
TIPOFF_INLINE void store_narrow(float* p, vd x) {
  const vf r = __builtin_convertvector(x, vf);
  __builtin_memcpy(p, &r, sizeof r);
}
// The first or the second half of 2 W floats.
TIPOFF_INLINE vd widen(vs x, int half) {
#if TIPOFF_WIDTH == 4
  const vf r = half == 0 ? __builtin_shufflevector(x, x, 0, 1, 2, 3)
                         : __builtin_shufflevector(x, x, 4, 5, 6, 7);
#else
  const vf r = half == 0 ? __builtin_shufflevector(x, x, 0, 1) : __builtin_shufflevector(x, x, 2, 3);
#endif
  return __builtin_convertvector(r, vd);
}
// 2 W doubles as floats.
TIPOFF_INLINE vs narrow(vd a, vd b) {
  const vf low = __builtin_convertvector(a, vf);
  const vf high = __builtin_convertvector(b, vf);
#if TIPOFF_WIDTH == 4
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return __builtin_shufflevector(low, high, 0, 1, 2, 3);
#endif
}
TIPOFF_INLINE vs load_narrow(const double* p) {
  return narrow(load(p), load(p + W));
}
TIPOFF_INLINE vd all(double x) {
  vd r;
  for (int i = 0; i < W; ++i) r[i] = x;
  return r;
}
TIPOFF_INLINE vd root(vd x) {
  vd r;
  for (int i = 0; i < W; ++i) r[i] = __builtin_sqrt(x[i]);
  return r;
}
TIPOFF_INLINE vd least(vd a, vd b) {
  return a < b ? a : b;
}
TIPOFF_INLINE vd most(vd a, vd b) {
  return a > b ? a : b;
}
// A bit a lane.
TIPOFF_INLINE unsigned long long bits_of(vm m) {
#if defined(__AVX__) && TIPOFF_WIDTH == 4
  return static_cast<unsigned>(__builtin_ia32_movmskpd256(reinterpret_cast<vd>(m)));
#elif defined(__SSE2__) && TIPOFF_WIDTH == 2
  return static_cast<unsigned>(__builtin_ia32_movmskpd(reinterpret_cast<vd>(m)));
#else
  unsigned long long r = 0;
  for (int i = 0; i < W; ++i) r |= static_cast<unsigned long long>(m[i] & 1) << i;
  return r;
#endif
}
TIPOFF_INLINE bool any(vm m) {
  return bits_of(m) != 0;
}

template <class V>
struct Triple {
  V x, y, z;
};
using V3 = Triple<vd>;
using F3 = Triple<vs>;
template <class V>
struct Symmetric {
  V xx, xy, xz, yy, yz, zz;
};
using S3 = Symmetric<vd>;
using F6 = Symmetric<vs>;

template <class T>
TIPOFF_INLINE V3 load3(const T* p, long stride) {
  return {load(p), load(p + stride), load(p + 2 * stride)};
}
TIPOFF_INLINE void store3(double* p, long stride, const V3& v) {
  store(p, v.x);
  store(p + stride, v.y);
  store(p + 2 * stride, v.z);
}
TIPOFF_INLINE F3 load3_single(const float* p, long stride) {
  return {load_single(p), load_single(p + stride), load_single(p + 2 * stride)};
}
TIPOFF_INLINE F3 load3_narrow(const double* p, long stride) {
  return {load_narrow(p), load_narrow(p + stride), load_narrow(p + 2 * stride)};
}
TIPOFF_INLINE V3 gather3(const double* const p[3], long i) {
  return {load(p[0] + i), load(p[1] + i), load(p[2] + i)};
}
TIPOFF_INLINE S3 load6(const double* p, long stride) {
  return {load(p),
          load(p + stride),
          load(p + 2 * stride),
          load(p + 3 * stride),
          load(p + 4 * stride),
          load(p + 5 * stride)};
}
TIPOFF_INLINE void store6(double* p, long stride, const S3& s) {
  store(p, s.xx);
  store(p + stride, s.xy);
  store(p + 2 * stride, s.xz);
  store(p + 3 * stride, s.yy);
  store(p + 4 * stride, s.yz);
  store(p + 5 * stride, s.zz);
}
template <class V>
TIPOFF_INLINE V dot(const Triple<V>& a, const Triple<V>& b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class V>
TIPOFF_INLINE Triple<V> times(const Symmetric<V>& s, const Triple<V>& v) {
  return {s.xx * v.x + s.xy * v.y + s.xz * v.z, s.xy * v.x + s.yy * v.y + s.yz * v.z,
          s.xz * v.x + s.yz * v.y + s.zz * v.z};
}

// The inverse by cofactors; `ok` where it is positive definite to working precision.
TIPOFF_INLINE S3 inverse(const S3& a, vm& ok) {
  const vd cxx = a.yy * a.zz - a.yz * a.yz;
  const vd cxy = a.xz * a.yz - a.xy * a.zz;
  const vd cxz = a.xy * a.yz - a.xz * a.yy;
  const vd det = a.xx * cxx + a.xy * cxy + a.xz * cxz;
  const vd czz = a.xx * a.yy - a.xy * a.xy;
  ok = (det > all(1e-280)) & (det < all(1e280)) & (a.xx > all(0.0)) & (czz > all(0.0));
  const vd s = all(1.0) / (ok ? det : all(1.0));
  return {s * cxx,
          s * cxy,
          s * cxz,
          s * (a.xx * a.zz - a.xz * a.xz),
          s * (a.xy * a.xz - a.xx * a.yz),
          s * czz};
}

// ---- motion
// ---------------------------------------------------------------------------------------

struct Full {
  V3 p, v;
  S3 pp;
  vd pv[9];
  S3 vv;
};

TIPOFF_INLINE Full load_full(const double* base, long stride) {
  Full f;
  f.p = load3(base + kP * stride, stride);
  f.v = load3(base + kV * stride, stride);
  f.pp = load6(base + kPP * stride, stride);
  for (int i = 0; i < 9; ++i) f.pv[i] = load(base + (kPV + i) * stride);
  f.vv = load6(base + kVV * stride, stride);
  return f;
}
TIPOFF_INLINE void store_full(double* base, long stride, const Full& f) {
  store3(base + kP * stride, stride, f.p);
  store3(base + kV * stride, stride, f.v);
  store6(base + kPP * stride, stride, f.pp);
  for (int i = 0; i < 9; ++i) store(base + (kPV + i) * stride, f.pv[i]);
  store6(base + kVV * stride, stride, f.vv);
}

void predict(const PredictArgs& a) {
  const double dt = a.dt_s;
  const double dt2 = dt * dt;
  for (long i = 0; i < a.lanes; i += W) {
    Full f = load_full(a.from + i, a.from_stride);
    const V3 body = gather3(a.body, i);
    const vd q = load(a.q + i);
    f.p = {f.p.x + dt * f.v.x, f.p.y + dt * f.v.y, f.p.z + dt * f.v.z};
    f.v = {body.x + a.keep * (f.v.x - body.x), body.y + a.keep * (f.v.y - body.y),
           body.z + a.keep * (f.v.z - body.z)};
    const vd noise = q * (dt2 * dt / 3.0);
    f.pp.xx = f.pp.xx + dt * (2.0 * f.pv[0]) + dt2 * f.vv.xx + noise;
    f.pp.xy = f.pp.xy + dt * (f.pv[1] + f.pv[3]) + dt2 * f.vv.xy;
    f.pp.xz = f.pp.xz + dt * (f.pv[2] + f.pv[6]) + dt2 * f.vv.xz;
    f.pp.yy = f.pp.yy + dt * (2.0 * f.pv[4]) + dt2 * f.vv.yy + noise;
    f.pp.yz = f.pp.yz + dt * (f.pv[5] + f.pv[7]) + dt2 * f.vv.yz;
    f.pp.zz = f.pp.zz + dt * (2.0 * f.pv[8]) + dt2 * f.vv.zz + noise;
    const vd mixed = q * (0.5 * dt2);
    f.pv[0] = a.keep * (f.pv[0] + dt * f.vv.xx) + mixed;
    f.pv[1] = a.keep * (f.pv[1] + dt * f.vv.xy);
    f.pv[2] = a.keep * (f.pv[2] + dt * f.vv.xz);
    f.pv[3] = a.keep * (f.pv[3] + dt * f.vv.xy);
    f.pv[4] = a.keep * (f.pv[4] + dt * f.vv.yy) + mixed;
    f.pv[5] = a.keep * (f.pv[5] + dt * f.vv.yz);
    f.pv[6] = a.keep * (f.pv[6] + dt * f.vv.xz);
    f.pv[7] = a.keep * (f.pv[7] + dt * f.vv.yz);
    f.pv[8] = a.keep * (f.pv[8] + dt * f.vv.zz) + mixed;
    const double k2 = a.keep * a.keep;
    const vd speed = q * dt;
    f.vv = {k2 * f.vv.xx + speed, k2 * f.vv.xy,         k2 * f.vv.xz,
            k2 * f.vv.yy + speed, k2 * f.vv.yz, k2 * f.vv.zz + speed};
    store_full(a.to + i, a.to_stride, f);
  }
}

// Takes over a moved position with its covariance; velocity follows by regression on it, which is
// the Kalman update for a measurement of any rank.
TIPOFF_INLINE void regress(Full& f, const S3& information, const V3& move, const S3& post) {
  const vd i0[9] = {information.xx, information.xy, information.xz, information.xy, information.yy,
                    information.yz, information.xz, information.yz, information.zz};
  vd g[9];
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      g[3 * r + c] = i0[3 * r] * f.pv[c] + i0[3 * r + 1] * f.pv[3 + c] + i0[3 * r + 2] * f.pv[6 + c];
    }
  }
  f.v = {f.v.x + (g[0] * move.x + g[3] * move.y + g[6] * move.z),
         f.v.y + (g[1] * move.x + g[4] * move.y + g[7] * move.z),
         f.v.z + (g[2] * move.x + g[5] * move.y + g[8] * move.z)};
  const S3 lost{f.pp.xx - post.xx, f.pp.xy - post.xy, f.pp.xz - post.xz,
                f.pp.yy - post.yy, f.pp.yz - post.yz, f.pp.zz - post.zz};
  const V3 g0{g[0], g[3], g[6]};
  const V3 g1{g[1], g[4], g[7]};
  const V3 g2{g[2], g[5], g[8]};
  const V3 l0 = times(lost, g0);
  const V3 l1 = times(lost, g1);
  const V3 l2 = times(lost, g2);
  f.vv.xx = f.vv.xx - dot(g0, l0);
  f.vv.xy = f.vv.xy - dot(g0, l1);
  f.vv.xz = f.vv.xz - dot(g0, l2);
  f.vv.yy = f.vv.yy - dot(g1, l1);
  f.vv.yz = f.vv.yz - dot(g1, l2);
  f.vv.zz = f.vv.zz - dot(g2, l2);
  const V3 c0 = times(post, g0);
  const V3 c1 = times(post, g1);
  const V3 c2 = times(post, g2);
  f.pv[0] = c0.x;
  f.pv[3] = c0.y;
  f.pv[6] = c0.z;
  f.pv[1] = c1.x;
  f.pv[4] = c1.y;
  f.pv[7] = c1.z;
  f.pv[2] = c2.x;
  f.pv[5] = c2.y;
  f.pv[8] = c2.z;
  f.p = {f.p.x + move.x, f.p.y + move.y, f.p.z + move.z};
  f.pp = post;
}

TIPOFF_INLINE Full choose(vm m, const Full& a, const Full& b) {
  Full r;
  r.p = {m ? a.p.x : b.p.x, m ? a.p.y : b.p.y, m ? a.p.z : b.p.z};
  r.v = {m ? a.v.x : b.v.x, m ? a.v.y : b.v.y, m ? a.v.z : b.v.z};
  r.pp = {m ? a.pp.xx : b.pp.xx, m ? a.pp.xy : b.pp.xy, m ? a.pp.xz : b.pp.xz,
          m ? a.pp.yy : b.pp.yy, m ? a.pp.yz : b.pp.yz, m ? a.pp.zz : b.pp.zz};
  for (int i = 0; i < 9; ++i) r.pv[i] = m ? a.pv[i] : b.pv[i];
  r.vv = {m ? a.vv.xx : b.vv.xx, m ? a.vv.xy : b.vv.xy, m ? a.vv.xz : b.vv.xz,
          m ? a.vv.yy : b.vv.yy, m ? a.vv.yz : b.vv.yz, m ? a.vv.zz : b.vv.zz};
  return r;
}

// A measurement of the position alone, equally good in all directions.
void pull(const PullArgs& a) {
  for (long i = 0; i < a.lanes; i += W) {
    const vd variance = load(a.variance + i);
    const vm wanted = variance > all(0.0);
    if (!any(wanted)) continue;
    const Full before = load_full(a.state + i, a.stride);
    vm ok;
    const S3 information = inverse(before.pp, ok);
    const vd w = all(1.0) / (wanted ? variance : all(1.0));
    vm fine;
    const S3 post = inverse({information.xx + w, information.xy, information.xz,
                             information.yy + w, information.yz, information.zz + w},
                            fine);
    const V3 target = gather3(a.target, i);
    const V3 d = times(post, {target.x - before.p.x, target.y - before.p.y, target.z - before.p.z});
    Full after = before;
    regress(after, information, {w * d.x, w * d.y, w * d.z}, post);
    store_full(a.state + i, a.stride, choose(wanted & ok & fine, after, before));
  }
}

// ---- cameras
// --------------------------------------------------------------------------------------

// A lens with every number that the image of a point takes in all lanes, so that a loop over many
// points reads them as they are.
template <class V>
struct Wide {
  V R[9], fx, fy, skew, cx, cy;
  V k1, k2, k3, k2x2, k3x3;
  V p1, p2, p1x2, p2x2, p1x6, p2x6;
  V max_r2;
};
template <class V, class T>
TIPOFF_INLINE V every(T x) {
  return V{} + x;
}
template <class V, class T>
TIPOFF_INLINE Wide<V> wide(const Lens& c) {
  Wide<V> out;
  for (int i = 0; i < 9; ++i) out.R[i] = every<V>(static_cast<T>(c.R[i]));
  out.fx = every<V>(static_cast<T>(c.fx));
  out.fy = every<V>(static_cast<T>(c.fy));
  out.skew = every<V>(static_cast<T>(c.skew));
  out.cx = every<V>(static_cast<T>(c.cx));
  out.cy = every<V>(static_cast<T>(c.cy));
  out.k1 = every<V>(static_cast<T>(c.k1));
  out.k2 = every<V>(static_cast<T>(c.k2));
  out.k3 = every<V>(static_cast<T>(c.k3));
  out.k2x2 = every<V>(static_cast<T>(2.0 * c.k2));
  out.k3x3 = every<V>(static_cast<T>(3.0 * c.k3));
  out.p1 = every<V>(static_cast<T>(c.p1));
  out.p2 = every<V>(static_cast<T>(c.p2));
  out.p1x2 = every<V>(static_cast<T>(2.0 * c.p1));
  out.p2x2 = every<V>(static_cast<T>(2.0 * c.p2));
  out.p1x6 = every<V>(static_cast<T>(6.0 * c.p1));
  out.p2x6 = every<V>(static_cast<T>(6.0 * c.p2));
  out.max_r2 = every<V>(static_cast<T>(c.max_r2));
  return out;
}

template <class V>
struct Distorted {
  V x, y, xx, xy, yy;
};

template <class V>
TIPOFF_INLINE Distorted<V> distort(const Wide<V>& c, V x, V y, V r2) {
  const V x2 = x * x;
  const V y2 = y * y;
  const V xy = x * y;
  const V radial = 1.0F + r2 * (c.k1 + r2 * (c.k2 + r2 * c.k3));
  const V slope = c.k1 + r2 * (c.k2x2 + r2 * c.k3x3);
  Distorted<V> out;
  out.x = x * radial + c.p1x2 * xy + c.p2 * (r2 + 2.0F * x2);
  out.y = y * radial + c.p1 * (r2 + 2.0F * y2) + c.p2x2 * xy;
  out.xx = radial + 2.0F * x2 * slope + c.p1x2 * y + c.p2x6 * x;
  out.xy = 2.0F * xy * slope + c.p1x2 * x + c.p2x2 * y;
  out.yy = radial + 2.0F * y2 * slope + c.p1x6 * y + c.p2x2 * x;
  return out;
}

template <class V, class M>
struct Image {
  V u, v, depth;
  Triple<V> du, dv;
  M ok;
};

// Of a point by its place along the camera's axes; derivatives by the world's.
template <class M, class V>
TIPOFF_INLINE Image<V, M> image_of(const Wide<V>& c, V x, V y, V z) {
  const V zero{};
  const V one = zero + 1.0F;
  Image<V, M> out;
  const M front = z > zero + 1e-6F;
  const V inv = one / (front ? z : one);
  const V nx = x * inv;
  const V ny = y * inv;
  const V r2 = nx * nx + ny * ny;
  out.ok = front & (r2 < c.max_r2);
  const V sx = out.ok ? nx : zero;
  const V sy = out.ok ? ny : zero;
  const Distorted<V> d = distort(c, sx, sy, out.ok ? r2 : zero);
  out.u = c.fx * d.x + c.skew * d.y + c.cx;
  out.v = c.fy * d.y + c.cy;
  out.depth = out.ok ? z : -one;
  const V ux = (c.fx * d.xx + c.skew * d.xy) * inv;
  const V uy = (c.fx * d.xy + c.skew * d.yy) * inv;
  const V vx = (c.fy * d.xy) * inv;
  const V vy = (c.fy * d.yy) * inv;
  const V uz = -(ux * sx + uy * sy);
  const V vz = -(vx * sx + vy * sy);
  out.du = {c.R[0] * ux + c.R[3] * uy + c.R[6] * uz, c.R[1] * ux + c.R[4] * uy + c.R[7] * uz,
            c.R[2] * ux + c.R[5] * uy + c.R[8] * uz};
  out.dv = {c.R[0] * vx + c.R[3] * vy + c.R[6] * vz, c.R[1] * vx + c.R[4] * vy + c.R[7] * vz,
            c.R[2] * vx + c.R[5] * vy + c.R[8] * vz};
  return out;
}

TIPOFF_INLINE Image<vd, vm> image_of(const Lens& c, const Wide<vd>& lens, const V3& p) {
  return image_of<vm>(lens,
                      c.R[0] * p.x + c.R[1] * p.y + c.R[2] * p.z + c.t[0],
                      c.R[3] * p.x + c.R[4] * p.y + c.R[5] * p.z + c.t[1],
                      c.R[6] * p.x + c.R[7] * p.y + c.R[8] * p.z + c.t[2]);
}

// Time after the first row at which the row through v was exposed, s.
TIPOFF_INLINE vs row_time(const Lens& c, vs v) {
  const vs zero{};
  const vs row = v * static_cast<float>(1.0 / c.height);
  const vs low = row > zero ? row : zero;
  return (low < zero + 1.0F ? low : zero + 1.0F) * static_cast<float>(c.readout_s);
}

// Where joints are seen from the camera's centre after `dt`: near enough for floats wherever the
// world's origin lies.
TIPOFF_INLINE Triple<vs> from_centre(const ProjectArgs& a, long i, vs dt) {
  vs out[3];
  for (int r = 0; r < 3; ++r) {
    const double* p = a.state + (kP + r) * a.stride + i;
    out[r] = narrow(load(p) - a.lens->center[r], load(p + W) - a.lens->center[r]) +
             dt * load_narrow(a.state + (kV + r) * a.stride + i);
  }
  return {out[0], out[1], out[2]};
}

TIPOFF_INLINE Image<vs, vn> image_from_centre(const Wide<vs>& c, const Triple<vs>& d) {
  return image_of<vn>(c, c.R[0] * d.x + c.R[1] * d.y + c.R[2] * d.z,
                      c.R[3] * d.x + c.R[4] * d.y + c.R[5] * d.z,
                      c.R[6] * d.x + c.R[7] * d.y + c.R[8] * d.z);
}

// g^T P g.
TIPOFF_INLINE vs through(const vs p[6], const Triple<vs>& g) {
  return g.x * (p[0] * g.x + p[1] * g.y + p[2] * g.z) + g.y * (p[1] * g.x + p[3] * g.y + p[4] * g.z) +
         g.z * (p[2] * g.x + p[4] * g.y + p[5] * g.z);
}

// In single precision: 24 bits of a pixel's coordinate are thousands of times what any detector
// knows of it.
void project(const ProjectArgs& a) {
  const Lens& c = *a.lens;
  const Wide<vs> lens = wide<vs, float>(c);
  const bool rolling = c.readout_s > 0.0;
  const long s = a.image_stride;
  for (long i = 0; i < a.lanes; i += 2 * W) {
    vs dt = vs{} + static_cast<float>(a.offset_s);
    Image<vs, vn> m = image_from_centre(lens, from_centre(a, i, dt));
    if (rolling) {
      dt = static_cast<float>(a.offset_s) + row_time(c, m.v);
      m = image_from_centre(lens, from_centre(a, i, dt));
    }
    vs pp[6];
    for (int r = 0; r < 6; ++r) pp[r] = load_narrow(a.state + (kPP + r) * a.stride + i);
    const vs variance = 0.5F * (through(pp, m.du) + through(pp, m.dv));
    float* out = a.image + i;
    store(out + kU * s, m.u);
    store(out + kVpx * s, m.v);
    store(out + kDepth * s, m.depth);
    store(out + kDu * s, m.du.x);
    store(out + (kDu + 1) * s, m.du.y);
    store(out + (kDu + 2) * s, m.du.z);
    store(out + kDv * s, m.dv.x);
    store(out + (kDv + 1) * s, m.dv.y);
    store(out + (kDv + 2) * s, m.dv.z);
    store(out + kImageVar * s, variance);
  }
}

// Newton's method with the full Jacobian; a lane that has converged stays as it is, so that its
// bits do not depend on its neighbours.
void rays(const RayArgs& a) {
  const Lens& c = *a.lens;
  const Wide<vd> lens = wide<vd, double>(c);
  for (long i = 0; i < a.lanes; i += W) {
    const vm given = load(a.given + i) > all(0.0);
    const vd ty = (load(a.v + i) - c.cy) * (1.0 / c.fy);
    const vd tx = (load(a.u + i) - c.cx - c.skew * ty) * (1.0 / c.fx);
    vd x = tx;
    vd y = ty;
    const vd far = x * x + y * y;
    const vm outside = !(far < all(c.max_r2));
    if (any(outside)) {
      const vd shrink = 0.9 * root(c.max_r2 / (outside ? far : all(1.0)));
      x = outside ? shrink * x : x;
      y = outside ? shrink * y : y;
    }
    vm done = !given;
    vm good = done & ~done;
    for (int step = 0; step < 16; ++step) {
      const Distorted<vd> d = distort(lens, x, y, x * x + y * y);
      const vd ex = tx - d.x;
      const vd ey = ty - d.y;
      const vm close = (ex < all(1e-7)) & (ex > all(-1e-7)) & (ey < all(1e-7)) & (ey > all(-1e-7));
      good = good | (close & ~done);
      done = done | close;
      if (!any(~done)) break;
      const vd det = d.xx * d.yy - d.xy * d.xy;
      const vm bad = !((det > all(1e-12)) | (det < all(-1e-12)));
      done = done | bad;
      const vd s = all(1.0) / (bad ? all(1.0) : det);
      vd nx = x + (d.yy * ex - d.xy * ey) * s;
      vd ny = y + (d.xx * ey - d.xy * ex) * s;
      const vd now = nx * nx + ny * ny;
      const vm left = !(now < all(c.max_r2));
      if (any(left)) {
        const vd shrink = root(all(0.998 * c.max_r2) / (left ? now : all(1.0)));
        nx = left ? shrink * nx : nx;
        ny = left ? shrink * ny : ny;
      }
      x = done ? x : nx;
      y = done ? y : ny;
    }
    const vd wx = c.R[0] * x + c.R[3] * y + c.R[6];
    const vd wy = c.R[1] * x + c.R[4] * y + c.R[7];
    const vd wz = c.R[2] * x + c.R[5] * y + c.R[8];
    const vd length = all(1.0) / root(wx * wx + wy * wy + wz * wz);
    store(a.ray[0] + i, good ? wx * length : all(0.0));
    store(a.ray[1] + i, good ? wy * length : all(0.0));
    store(a.ray[2] + i, good ? wz * length : all(0.0));
    store(a.valid + i, good ? all(1.0) : all(0.0));
  }
}

// ---- association
// -----------------------------------------------------------------------------------

// The sum of eight lanes, in one order whatever the width.
TIPOFF_INLINE double total_of(const vd* parts) {
#if TIPOFF_WIDTH == 4
  const vd s = parts[0] + parts[1];
  return (s[0] + s[1]) + (s[2] + s[3]);
#else
  const vd s = parts[0] + parts[2];
  const vd t = parts[1] + parts[3];
  return (s[0] + s[1]) + (t[0] + t[1]);
#endif
}

// Eight floats are kSingles registers.
constexpr int kSingles = 4 / W;
// Lanes changed with those four, two and one further.
#if TIPOFF_WIDTH == 4
#define TIPOFF_BY_FOUR(x) __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3)
#define TIPOFF_BY_TWO(x) __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5)
#define TIPOFF_BY_ONE(x) __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6)
#else
#define TIPOFF_BY_TWO(x) __builtin_shufflevector(x, x, 2, 3, 0, 1)
#define TIPOFF_BY_ONE(x) __builtin_shufflevector(x, x, 1, 0, 3, 2)
#endif
TIPOFF_INLINE float total_of(const vs* parts) {
#if TIPOFF_WIDTH == 4
  const vs four = parts[0] + TIPOFF_BY_FOUR(parts[0]);
#else
  const vs four = parts[0] + parts[1];
#endif
  const vs two = four + TIPOFF_BY_ONE(four);
  const vs one = two + TIPOFF_BY_TWO(two);
  return one[0];
}
TIPOFF_INLINE vs least(vs a, vs b) {
  return a < b ? a : b;
}
TIPOFF_INLINE vs most(vs a, vs b) {
  return a > b ? a : b;
}
// Of zeros the positive one, in whatever order they come.
TIPOFF_INLINE float least_of(vs x) {
#if TIPOFF_WIDTH == 4
  x = least(x, TIPOFF_BY_FOUR(x));
#endif
  x = least(x, TIPOFF_BY_TWO(x));
  x = least(x, TIPOFF_BY_ONE(x));
  return x[0] + 0.0F;
}
TIPOFF_INLINE float most_of(vs x) {
#if TIPOFF_WIDTH == 4
  x = most(x, TIPOFF_BY_FOUR(x));
#endif
  x = most(x, TIPOFF_BY_TWO(x));
  x = most(x, TIPOFF_BY_ONE(x));
  return x[0] + 0.0F;
}
TIPOFF_INLINE int total_of(vn x) {
#if TIPOFF_WIDTH == 4
  x = x + TIPOFF_BY_FOUR(x);
#endif
  x = x + TIPOFF_BY_TWO(x);
  x = x + TIPOFF_BY_ONE(x);
  return x[0];
}
TIPOFF_INLINE vs each(float x) {
  return vs{} + x;
}
TIPOFF_INLINE vn singles_before(long i, long end) {
  vn at;
  for (int w = 0; w < 2 * W; ++w) at[w] = w;
  return at < (at - at) + static_cast<int>(end - i);
}

TIPOFF_INLINE long long total_of(vm lanes) {
  long long out = lanes[0];
  for (int i = 1; i < W; ++i) out += lanes[i];
  return out;
}

// Every third of 6 W numbers, from the given one on.
template <int kFrom>
TIPOFF_INLINE vs third(vs a, vs b, vs c) {
#ifdef __clang__  // shuffles by constants only
  vs out;
  for (int i = 0; i < 2 * W; ++i) {
    const int at = 3 * i + kFrom;
    out[i] = at < 2 * W ? a[at] : at < 4 * W ? b[at - 2 * W] : c[at - 4 * W];
  }
  return out;
#else
  vn first;
  vn second;
  for (int i = 0; i < 2 * W; ++i) {
    const int at = 3 * i + kFrom;
    first[i] = at < 4 * W ? at : 0;
    second[i] = at < 4 * W ? i : at - 2 * W;
  }
  return __builtin_shuffle(__builtin_shuffle(a, b, first), c, second);
#endif
}

// What a register of joints at `row` holds, stored and taken into the sums; lanes that are not new
// were there before.
struct Sieving {
  vn present;
  vs x0, y0, x1, y1;
};
TIPOFF_INLINE void sift(const SieveArgs& a, const float* row, long i, long covered, Sieving& s) {
  const vs first = load_single(row);
  const vs second = load_single(row + 2 * W);
  const vs last = load_single(row + 4 * W);
  const vs u = third<0>(first, second, last);
  const vs v = third<1>(first, second, last);
  const vs c = third<2>(first, second, last);
  const vs zero{};
  // Comparisons with NaN are false, infinities lie outside.
  const vn ok = (c > zero) & (c < each(1e38F)) & (u <= each(a.most_u)) & (u >= each(-a.most_u)) &
                (v <= each(a.most_v)) & (v >= each(-a.most_v));
  store(a.u + i, ok ? u : zero);
  store(a.v + i, ok ? v : zero);
  store(a.confidence + i, ok ? least(c, each(1.0F)) : zero);
  s.present = s.present - (ok & ~singles_before(i, covered));
  s.x0 = least(s.x0, ok ? u : each(1e30F));
  s.y0 = least(s.y0, ok ? v : each(1e30F));
  s.x1 = most(s.x1, ok ? u : each(-1e30F));
  s.y1 = most(s.y1, ok ? v : each(-1e30F));
}

void sieve(const SieveArgs& a, Sieved& out) {
  constexpr long kStep = 2 * W;
  Sieving s{vn{}, each(1e30F), each(1e30F), each(-1e30F), each(-1e30F)};
  const long padded = (a.joints + 7) / 8 * 8;
  for (long i = a.joints / kStep * kStep; i < padded; i += kStep) {
    store(a.u + i, vs{});
    store(a.v + i, vs{});
    store(a.confidence + i, vs{});
  }
  long i = 0;
  for (; i + kStep <= a.joints; i += kStep) sift(a, a.keypoints + 3 * i, i, i, s);
  if (i < a.joints && i > 0) {
    // Nothing beyond the last joint is the caller's: the last register overlaps the one before.
    sift(a, a.keypoints + 3 * (a.joints - kStep), a.joints - kStep, i, s);
  } else if (i < a.joints) {
    float row[3 * kStep] = {};
    for (long n = 0; n < 3 * a.joints; ++n) row[n] = a.keypoints[n];
    sift(a, row, 0, 0, s);
  }
  out.present = total_of(s.present);
  out.x0 = least_of(s.x0);
  out.y0 = least_of(s.y0);
  out.x1 = most_of(s.x1);
  out.y1 = most_of(s.y1);
}

void noise(const NoiseArgs& a) {
  const vs zero{};
  for (long i = 0; i < a.lanes; i += 2 * W) {
    const vs c = load_single(a.confidence + i);
    const vn given = c > zero;
    const vn low = c < each(0.25F);
    const vn half = c < each(0.5F);
    const vn high = c < each(0.75F);
    const vs variance = low    ? each(a.band[0])
                        : half ? each(a.band[1])
                        : high ? each(a.band[2])
                               : each(a.band[3]);
    const vs inverse = low    ? each(a.inverse[0])
                       : half ? each(a.inverse[1])
                       : high ? each(a.inverse[2])
                              : each(a.inverse[3]);
    store(a.variance + i, given ? variance : zero);
    store(a.information + i, given ? inverse : zero);
  }
}

void box(const BoxArgs& a, Boxed& out) {
  const vs zero{};
  vs depth[kSingles], variance[kSingles];
  for (int p = 0; p < kSingles; ++p) depth[p] = variance[p] = zero;
  vn valid{};
  vn inside{};
  vs x0 = each(1e30F);
  vs y0 = each(1e30F);
  vs x1 = each(-1e30F);
  vs y1 = each(-1e30F);
  const vs width = each(static_cast<float>(a.width));
  const vs height = each(static_cast<float>(a.height));
  for (long b = 0; b < a.joints; b += 8) {
    for (int p = 0; p < kSingles; ++p) {
      const long i = b + p * 2 * W;
      if (i >= a.joints) break;
      const vs d = load_single(a.depth + i);
      const vs u = load_single(a.u + i);
      const vs v = load_single(a.v + i);
      const vn ok = singles_before(i, a.joints) & (d > zero);
      valid = valid - ok;
      inside = inside - (ok & (u >= zero) & (u < width) & (v >= zero) & (v < height));
      depth[p] = depth[p] + (ok ? d : zero);
      variance[p] = variance[p] + (ok ? load_single(a.variance + i) : zero);
      x0 = least(x0, ok ? u : each(1e30F));
      y0 = least(y0, ok ? v : each(1e30F));
      x1 = most(x1, ok ? u : each(-1e30F));
      y1 = most(y1, ok ? v : each(-1e30F));
    }
  }
  out.valid = total_of(valid);
  out.inside = total_of(inside);
  out.depth = total_of(depth);
  out.variance = total_of(variance);
  out.x0 = least_of(x0);
  out.y0 = least_of(y0);
  out.x1 = most_of(x1);
  out.y1 = most_of(y1);
}

void reach(const ReachArgs& a) {
  for (long i = 0; i < a.lanes; i += W) {
    const double* b = a.boxes + i;
    const vd r = a.reach + a.part * most(load(b + 4 * a.stride), all(a.size));
    const vm close = (load(b) <= a.x1 + r) & (load(b + 2 * a.stride) >= a.x0 - r) &
                     (load(b + a.stride) <= a.y1 + r) & (load(b + 3 * a.stride) >= a.y0 - r);
    a.near[i / 64] |= bits_of(close) << (i % 64);
  }
}

void support(const SupportArgs& a) {
  const long s = a.image_stride;
  for (long i = 0; i < a.lanes; i += W) {
    vm bits;
    __builtin_memcpy(&bits, a.supports + i, sizeof bits);
    const vd solved = load(a.solution + kInliers * a.solution_stride + i);
    const vm usable = (load(a.solution + kCount * a.solution_stride + i) > all(0.0)) &
                      ((solved > all(-0.5)) | (solved < all(-1.5)));
    vd sure = all(0.0);
    vd count = all(0.0);
    for (int f = 0; f < a.frames; ++f) {
      const float* z = a.views[f] + i;
      const vm hit = usable & (load(z + kInv * s) > all(0.0)) & (load(z + kR2 * s) <= all(2.0 * kCore));
      bits = bits | (hit & a.bits[f]);
      sure = sure + (hit ? load(z + kSure * s) : all(0.0));
      count = count + (hit ? all(1.0) : all(0.0));
    }
    __builtin_memcpy(a.supports + i, &bits, sizeof bits);
    const vm any_hit = count > all(0.0);
    store(a.unseen + i, any_hit ? all(0.0) : load(a.unseen + i));
    store(a.confidence + i,
          any_hit ? sure / (any_hit ? count : all(1.0)) : load(a.confidence + i));
  }
}

void misfit(const MisfitArgs& a, Misfit& out) {
  const vs zero{};
  const vs vague = each(static_cast<float>(a.vague));
  const vs least_noise = each(static_cast<float>(a.floor));
  vs sum[kSingles], total[kSingles], mu[kSingles], mv[kSingles];
  vn common{};
  for (int p = 0; p < kSingles; ++p) sum[p] = total[p] = mu[p] = mv[p] = zero;
  for (long b = 0; b < a.joints; b += 8) {
    for (int p = 0; p < kSingles; ++p) {
      const long i = b + p * 2 * W;
      if (i >= a.joints) break;
      const vs noise = load_single(a.noise + i);
      const vn both = (noise > zero) & (load_single(a.depth + i) > zero);
      const vs image = load_single(a.variance + i);
      const vs eu = load_single(a.zu + i) - load_single(a.u + i);
      const vs ev = load_single(a.zv + i) - load_single(a.v + i);
      const vs d2 = eu * eu + ev * ev;
      const vs far = d2 + 18.0F * (noise + image + least_noise);
      // The weight vague / (vague + image), and by it the cost d2 / far.
      const vs part = vague / (both ? (vague + image) * far : each(1.0F));
      sum[p] = sum[p] + (both ? part * d2 : zero);
      total[p] = total[p] + (both ? part * far : zero);
      common = common - both;
      mu[p] = mu[p] + (both ? eu : zero);
      mv[p] = mv[p] + (both ? ev : zero);
    }
  }
  out.sum = total_of(sum);
  out.total = total_of(total);
  out.common = total_of(common);
  out.mean_u = total_of(mu);
  out.mean_v = total_of(mv);
}

TIPOFF_INLINE F3 gather3(const float* const p[3], long i) {
  return {load_single(p[0] + i), load_single(p[1] + i), load_single(p[2] + i)};
}

// Places are told from the first camera's centre.
void meet(const MeetArgs& a, Meeting& out) {
  const vs zero{};
  const vs one = each(1.0F);
  vs sum[kSingles];
  vn common{};
  for (int p = 0; p < kSingles; ++p) sum[p] = zero;
  vs low[3], high[3];
  for (int k = 0; k < 3; ++k) {
    low[k] = each(1e30F);
    high[k] = each(-1e30F);
  }
  const vs bx = each(static_cast<float>(a.b->center[0] - a.a->center[0]));
  const vs by = each(static_cast<float>(a.b->center[1] - a.a->center[1]));
  const vs bz = each(static_cast<float>(a.b->center[2] - a.a->center[2]));
  const vs scale_a = each(static_cast<float>(a.scale_a));
  const vs scale_b = each(static_cast<float>(a.scale_b));
  for (long block = 0; 8 * block < a.joints; ++block) {
    for (int p = 0; p < kSingles; ++p) {
      const long i = 8 * block + p * 2 * W;
      if (i >= a.joints) break;
      const vn both = (load_single(a.valid_a + i) > zero) & (load_single(a.valid_b + i) > zero);
      const F3 da = gather3(a.ray_a, i);
      const F3 db = gather3(a.ray_b, i);
      const vs c = dot(da, db);
      const vs det = one - c * c;
      const vs ba = bx * da.x + by * da.y + bz * da.z;
      const vs bb = bx * db.x + by * db.y + bz * db.z;
      const vn apart = det > each(1e-6F);
      const vs s = one / (apart ? det : one);
      const vs ta = (ba - c * bb) * s;
      const vs tb = (c * ba - bb) * s;
      const vn ok = both & apart & (ta > each(0.1F)) & (tb > each(0.1F));
      const vs gx = bx + tb * db.x - ta * da.x;
      const vs gy = by + tb * db.y - ta * da.y;
      const vs gz = bz + tb * db.z - ta * da.z;
      const vs gap2 = gx * gx + gy * gy + gz * gz;
      // r2 / (r2 + 1) for r2 the squared gap in allowed errors, by one division.
      const vs ta2 = ta * ta;
      const vs tb2 = tb * tb;
      const vs gap = ok ? 0.5F * gap2 * (scale_a * tb2 + scale_b * ta2) : one;
      const vs cost = gap / (gap + (ok ? ta2 * tb2 : zero));
      sum[p] = sum[p] + (both ? cost : zero);
      common = common - both;
      const vs x[3] = {ta * da.x + 0.5F * gx, ta * da.y + 0.5F * gy, ta * da.z + 0.5F * gz};
      for (int k = 0; k < 3; ++k) {
        low[k] = least(low[k], ok ? x[k] : each(1e30F));
        high[k] = most(high[k], ok ? x[k] : each(-1e30F));
      }
    }
    // Two who are not one body show it in their first joints.
    if (block == 0) {
      const int some = total_of(common);
      if (some >= 4 && total_of(sum) > 0.9F * static_cast<float>(some)) break;
    }
  }
  out.sum = total_of(sum);
  out.common = total_of(common);
  for (int k = 0; k < 3; ++k) {
    out.low[k] = least_of(low[k]);
    out.high[k] = most_of(high[k]);
  }
}

// ---- solving
// --------------------------------------------------------------------------------------

TIPOFF_INLINE vd weight_of(vd r2) {
  const vd s = kCore / most(r2, all(kCore));
  return s * s;
}
TIPOFF_INLINE vd loss_of(vd r2) {
  const vd far = most(r2, all(kCore));
  return r2 > all(kCore) ? 2.0 * kCore - kCore * kCore / far : r2;
}

struct Normal {
  S3 a;
  V3 b;
};

TIPOFF_INLINE void add_outer(S3& a, const V3& j, vd w) {
  const vd x = w * j.x;
  const vd y = w * j.y;
  a.xx = a.xx + x * j.x;
  a.xy = a.xy + x * j.y;
  a.xz = a.xz + x * j.z;
  a.yy = a.yy + y * j.y;
  a.yz = a.yz + y * j.z;
  a.zz = a.zz + w * j.z * j.z;
}

// One view of a joint, linearised: its share of the normal equations, in variances.
struct Term {
  F6 a;
  F3 b;
  vs c;
  vs inv;
};

// Squared residual in variances after a move; what rounding leaves below zero is none.
TIPOFF_INLINE vs residual(const Term& t, const F3& move) {
  const F3 am = times(t.a, move);
  return most(vs{}, t.c - 2.0F * dot(t.b, move) + dot(move, am));
}

TIPOFF_INLINE void add_scaled(F6& sum, vs w, const F6& a) {
  sum = {sum.xx + w * a.xx, sum.xy + w * a.xy, sum.xz + w * a.xz,
         sum.yy + w * a.yy, sum.yz + w * a.yz, sum.zz + w * a.zz};
}
TIPOFF_INLINE S3 widen(const F6& a, int half) {
  return {widen(a.xx, half), widen(a.xy, half), widen(a.xz, half),
          widen(a.yy, half), widen(a.yz, half), widen(a.zz, half)};
}
TIPOFF_INLINE V3 widen(const F3& a, int half) {
  return {widen(a.x, half), widen(a.y, half), widen(a.z, half)};
}
TIPOFF_INLINE S3 scaled(vd w, const S3& a) {
  return {w * a.xx, w * a.xy, w * a.xz, w * a.yy, w * a.yz, w * a.zz};
}

TIPOFF_INLINE vs term_of(const float* m, const float* z, long s, Term& t) {
  const vs zero{};
  t.inv = load_single(m + kDepth * s) > zero ? load_single(z + kInv * s) : zero;
  const vs eu = load_single(z + kZu * s) - load_single(m + kU * s);
  const vs ev = load_single(z + kZv * s) - load_single(m + kVpx * s);
  const F3 du = load3_single(m + kDu * s, s);
  const F3 dv = load3_single(m + kDv * s, s);
  const F3 wu{t.inv * du.x, t.inv * du.y, t.inv * du.z};
  const F3 wv{t.inv * dv.x, t.inv * dv.y, t.inv * dv.z};
  t.a = {wu.x * du.x + wv.x * dv.x, wu.x * du.y + wv.x * dv.y, wu.x * du.z + wv.x * dv.z,
         wu.y * du.y + wv.y * dv.y, wu.y * du.z + wv.y * dv.z, wu.z * du.z + wv.z * dv.z};
  t.b = {wu.x * eu + wv.x * ev, wu.y * eu + wv.y * ev, wu.z * eu + wv.z * ev};
  t.c = t.inv * (eu * eu + ev * ev);
  return t.inv > zero ? each(1.0F) : zero;
}

// The robust maximum a posteriori point of every joint over all its views, linearised at the
// prediction: a prediction is near enough that the camera bends by hundredths of a pixel between.
// Views are summed up in single precision; the prior and the equations are double.
void solve(const SolveArgs& a) {
  constexpr int kSteps = 2;
  const vs core = each(static_cast<float>(kCore));
  const vs zero{};
  const long s = a.image_stride;
  const long o = a.solution_stride;
  Term terms[64];
  for (long i = 0; i < a.lanes; i += 2 * W) {
    vs count = zero;
    for (int f = 0; f < a.frames; ++f) {
      count = count + term_of(a.images[f] + i, a.views[f] + i, s, terms[f]);
    }
    vm ok[2];
    S3 prior[2];
    V3 move[2];
    for (int h = 0; h < 2; ++h) {
      prior[h] = inverse(load6(a.state + kPP * a.stride + i + h * W, a.stride), ok[h]);
      move[h] = {all(0.0), all(0.0), all(0.0)};
    }
    F3 moved{zero, zero, zero};
    for (int step = 0; step < kSteps; ++step) {
      F6 n{zero, zero, zero, zero, zero, zero};
      F3 b{zero, zero, zero};
      for (int f = 0; f < a.frames; ++f) {
        const Term& t = terms[f];
        vs limit = core;
        vs r2 = t.c;
        if (step == 0) {
          // Before the first step the prediction's own error is part of the residual, where that
          // is large.
          limit = core * (each(1.0F) + t.inv * load_single(a.images[f] + kImageVar * s + i));
        } else {
          r2 = residual(t, moved);
        }
        const vs root = limit / most(r2, limit);
        const vs w = root * root;
        add_scaled(n, w, t.a);
        b = {b.x + w * t.b.x, b.y + w * t.b.y, b.z + w * t.b.z};
      }
      for (int h = 0; h < 2; ++h) {
        const S3 views = widen(n, h);
        vm fine;
        const V3 next = times(inverse({prior[h].xx + views.xx, prior[h].xy + views.xy,
                                       prior[h].xz + views.xz, prior[h].yy + views.yy,
                                       prior[h].yz + views.yz, prior[h].zz + views.zz},
                                      fine),
                              widen(b, h));
        ok[h] = ok[h] & fine;
        move[h] = {fine ? next.x : move[h].x, fine ? next.y : move[h].y, fine ? next.z : move[h].z};
      }
      moved = {narrow(move[0].x, move[1].x), narrow(move[0].y, move[1].y),
               narrow(move[0].z, move[1].z)};
    }
    vs cost = zero;
    vs inliers = zero;
    F6 info{zero, zero, zero, zero, zero, zero};
    for (int f = 0; f < a.frames; ++f) {
      const Term& t = terms[f];
      const vs r2 = residual(t, moved);
      const vn given = t.inv > zero;
      store(a.views[f] + kR2 * s + i, given ? r2 : each(1e9F));
      const vs root = core / most(r2, core);
      const vs weight = root * root;
      const vs loss = r2 > core ? core * (2.0F - root) : r2;
      cost = cost + (given ? loss : zero);
      inliers = inliers + ((given & (weight >= each(0.4F))) ? each(1.0F) : zero);
      add_scaled(info, weight, t.a);
    }
    for (int h = 0; h < 2; ++h) {
      double* out = a.solution + i + h * W;
      const vm seen = widen(count, h) > all(0.0);
      store(out + kCount * o, widen(count, h));
      const V3 to{seen ? move[h].x : all(0.0), seen ? move[h].y : all(0.0),
                  seen ? move[h].z : all(0.0)};
      store3(out + kMove * o, o, to);
      store6(out + kInfo * o, o, widen(info, h));
      store(out + kCost * o, widen(cost, h));
      store(out + kInliers * o, (ok[h] | ~seen) ? widen(inliers, h) : all(-1.0));
      store(out + kPriorCost * o, dot(to, times(prior[h], to)));
    }
  }
}

void miss(const MissArgs& a, Missed& out) {
  const vs zero{};
  const long s = a.stride;
  const long o = a.solution_stride;
  const vs far2 = each(static_cast<float>(a.far2));
  vs u[kSingles], v[kSingles], squares[kSingles], variance[kSingles];
  vn count{};
  for (int p = 0; p < kSingles; ++p) u[p] = v[p] = squares[p] = variance[p] = zero;
  for (long b = 0; b < a.joints; b += 8) {
    for (int p = 0; p < kSingles; ++p) {
      const long i = b + p * 2 * W;
      if (i >= a.joints) break;
      const float* m = a.image + i;
      const float* z = a.view + i;
      const F3 move = load3_narrow(a.solution + kMove * o + i, o);
      const vs inv = load_single(z + kInv * s);
      const vn given = singles_before(i, a.joints) & (inv > zero) &
                       (load_narrow(a.solution + kInliers * o + i) >= zero);
      const vs ru = load_single(z + kZu * s) - load_single(m + kU * s) -
                    dot(load3_single(m + kDu * s, s), move);
      const vs rv = load_single(z + kZv * s) - load_single(m + kVpx * s) -
                    dot(load3_single(m + kDv * s, s), move);
      const vs r2 = ru * ru + rv * rv;
      const vs own = each(1.0F) / (given ? inv : each(1.0F));
      const vn ok = given & (r2 <= most(far2, static_cast<float>(a.sigmas2) * own));
      count = count - ok;
      u[p] = u[p] + (ok ? ru : zero);
      v[p] = v[p] + (ok ? rv : zero);
      squares[p] = squares[p] + (ok ? r2 : zero);
      variance[p] = variance[p] + (ok ? own : zero);
    }
  }
  out.count = total_of(count);
  out.u = total_of(u);
  out.v = total_of(v);
  out.squares = total_of(squares);
  out.variance = total_of(variance);
}

bool doubt(const DoubtArgs& a) {
  const long o = a.solution_stride;
  bool found = false;
  for (long i = 0; i < a.lanes; i += W) {
    const double* x = a.solution + i;
    const V3 move = load3(x + kMove * o, o);
    const vd inliers = load(x + kInliers * o);
    const vd count = load(x + kCount * o);
    const vd outliers = count - inliers;
    const vm torn = (count >= all(2.0)) &
                    (((outliers >= all(2.0)) & (a.share * outliers >= count)) |
                     (load(x + kPriorCost * o) > all(a.cap)));
    const vm doubtful = (count >= all(1.0)) &
                        (torn | (inliers < all(0.0)) | (dot(move, move) > all(a.far2)));
    for (int w = 0; w < W; ++w) a.doubtful[i + w] = 0;
    if (!any(doubtful)) continue;
    found = true;
    for (int w = 0; w < W; ++w) a.doubtful[i + w] = static_cast<unsigned char>(doubtful[w] & 1);
  }
  return found;
}

void lively(const LivelyArgs& a) {
  const long o = a.solution_stride;
  for (long i = 0; i < a.lanes; i += W) {
    const vd inliers = load(a.solution + kInliers * o + i);
    const vd count = load(a.solution + kCount * o + i);
    const vd move2 = load(a.move2 + i);
    const vd lost = load(a.lost + i);
    const vm usable = (load(a.teaches + i) > all(0.0)) & (count >= all(1.0)) &
                      (inliers + a.outliers >= count) & (lost > all(0.0)) &
                      !(load(a.fresh + i) > all(0.0));
    const vd ratio = a.goal * move2 / (usable ? lost : all(1.0));
    const vd before = load(a.level + i);
    vd level = before * (1.0 + a.gain * (least(ratio, all(a.most_ratio)) - 1.0));
    level = level + a.fade * (1.0 - level);
    level = most(all(a.least_level), least(all(a.most_level), level));
    store(a.level + i, usable ? level : before);
    store(a.moved + i, usable ? least(move2, a.most * lost) : all(0.0));
    store(a.expected + i, usable ? lost : all(0.0));
  }
}

void lesson(const LessonArgs& a, Lesson& out) {
  const long s = a.view_stride;
  const long o = a.solution_stride;
  vd sum[4][kParts], share[4][kParts];
  vm count[4];
  vm seen{};
  vm inside{};
  for (int b = 0; b < 4; ++b) {
    count[b] = seen;
    for (int p = 0; p < kParts; ++p) sum[b][p] = share[b][p] = all(0.0);
  }
  for (long i = 0; i < a.lanes; i += 8) {
    for (int p = 0; p < kParts; ++p) {
      const float* z = a.view + i + p * W;
      const double* x = a.solution + i + p * W;
      const vd inv = load(z + kInv * s);
      const vd r2 = load(z + kR2 * s);
      const vd left = load(z + kShare * s);
      const vd sure = load(z + kSure * s);
      const vd inliers = load(x + kInliers * o);
      const vm given = inv > all(0.0);
      const vm near = r2 <= all(kCore);
      const vm many = given & (load(x + kCount * o) >= all(3.0));
      seen = seen - many;
      inside = inside - (many & near & (inliers != all(-1.0)));
      const vm ok = given & near & (left > all(a.least_share)) & (inliers >= all(0.0));
      const vd squares = r2 / (ok ? inv : all(1.0));
      // The mean of r2 over r2 <= 6 for two Gaussian coordinates of variance m / 2 each,
      // m - 6 / (exp(6 / m) - 1), within 0.0005 for m from 0.4 to 2.
      const vd m = least(all(2.0), left);
      const vd mean =
          0.03321083 + m * (0.80876615 + m * (0.38021505 + m * (-0.28869749 + m * 0.05150293)));
      const vm low = sure < all(0.25);
      const vm half = sure < all(0.5);
      const vm high = sure < all(0.75);
      const vm band[4] = {ok & low, ok & half & ~low, ok & high & ~half, ok & ~high};
      for (int b = 0; b < 4; ++b) {
        sum[b][p] = sum[b][p] + (band[b] ? squares : all(0.0));
        share[b][p] = share[b][p] + (band[b] ? mean : all(0.0));
        count[b] = count[b] - band[b];
      }
    }
  }
  for (int b = 0; b < 4; ++b) {
    out.sum[b] = total_of(sum[b]);
    out.share[b] = total_of(share[b]);
    out.count[b] = static_cast<double>(total_of(count[b]));
  }
  out.seen = static_cast<double>(total_of(seen));
  out.inside = static_cast<double>(total_of(inside));
}

void condition(const ConditionArgs& a) {
  const long o = a.solution_stride;
  const long s = a.image_stride;
  for (long i = 0; i < a.lanes; i += W) {
    const vd count = load(a.solution + kCount * o + i);
    const vd inliers = load(a.solution + kInliers * o + i);
    vm apply = (count >= all(1.0)) & (inliers >= all(0.0));
    store(a.gained[0] + i, all(0.0));
    store(a.gained[1] + i, all(0.0));
    if (!any(apply)) continue;
    const Full before = load_full(a.state + i, a.stride);
    const double* x = a.solution + i;
    const V3 move = load3(x + kMove * o, o);
    // Views that contradict each other make a point less sure than the agreeing ones alone would
    // say: their information counts by the square of the part that agrees.
    const vd part = least(all(1.0), inliers / (apply ? count : all(1.0)));
    const S3 info = scaled(part * part, load6(x + kInfo * o, o));
    vm ok;
    vm fine;
    const S3 prior = inverse(before.pp, ok);
    const S3 post = inverse({prior.xx + info.xx, prior.xy + info.xy, prior.xz + info.xz,
                             prior.yy + info.yy, prior.yz + info.yz, prior.zz + info.zz},
                            fine);
    apply = apply & ok & fine;
    Full after = before;
    regress(after, prior, move, post);
    store_full(a.state + i, a.stride, choose(apply, after, before));
    const vd lost = (before.pp.xx - post.xx) + (before.pp.yy - post.yy) + (before.pp.zz - post.zz);
    store(a.gained[0] + i, apply ? dot(move, move) : all(0.0));
    store(a.gained[1] + i, apply ? lost : all(0.0));
    if (a.shares == 0) continue;
    for (int f = 0; f < a.frames; ++f) {
      const float* m = a.images[f] + i;
      float* z = a.views[f] + i;
      const V3 du = load3(m + kDu * s, s);
      const V3 dv = load3(m + kDv * s, s);
      const vd inv = load(z + kInv * s);
      const vd leverage = (dot(du, times(post, du)) + dot(dv, times(post, dv))) * inv;
      store_narrow(z + kShare * s, apply ? 2.0 - leverage : all(0.0));
    }
  }
}

// A step shorter than a tenth of a millimetre, squared, is the last.
constexpr double kRest2 = 1e-8;

void full(const FullArgs& a) {
  const long o = a.solution_stride;
  Wide<vd> lenses[64];
  for (int f = 0; f < a.frames; ++f) lenses[f] = wide<vd, double>(*a.lenses[f]);
  for (long i = 0; i < a.lanes; i += W) {
    const V3 start = gather3(a.start, i);
    const V3 velocity = gather3(a.velocity, i);
    const bool with_prior = a.prior[0] != nullptr;
    V3 prior{all(0.0), all(0.0), all(0.0)};
    S3 known{all(0.0), all(0.0), all(0.0), all(0.0), all(0.0), all(0.0)};
    if (with_prior) {
      prior = gather3(a.prior, i);
      known = {load(a.information[0] + i), load(a.information[1] + i), load(a.information[2] + i),
               load(a.information[3] + i), load(a.information[4] + i), load(a.information[5] + i)};
    }
    V3 point = start;
    vm ok = point.x == point.x;
    vd cost = all(0.0);
    vd inliers = all(0.0);
    vd count = all(0.0);
    S3 info = known;
    vm rests = ok & ~ok;
    for (int step = 0; step <= a.steps; ++step) {
      if (!any(~rests)) step = a.steps;
      info = {all(0.0), all(0.0), all(0.0), all(0.0), all(0.0), all(0.0)};
      V3 b{all(0.0), all(0.0), all(0.0)};
      cost = all(0.0);
      inliers = all(0.0);
      count = all(0.0);
      for (int f = 0; f < a.frames; ++f) {
        const double* z = a.views[f] + i;
        const vd inv = load(z + kInv * a.stride);
        const vm given = inv > all(0.0);
        const vd dt = load(a.times[f] + i);
        const Image<vd, vm> m = image_of(
            *a.lenses[f], lenses[f],
            {point.x + dt * velocity.x, point.y + dt * velocity.y, point.z + dt * velocity.z});
        const vd eu = load(z + kZu * a.stride) - m.u;
        const vd ev = load(z + kZv * a.stride) - m.v;
        const vd r2 = m.ok ? (eu * eu + ev * ev) * inv : all(1e9);
        const vd weight = weight_of(r2);
        const vd w = given & m.ok ? weight * inv : all(0.0);
        if (step == a.steps) store(a.r2[f] + i, given ? r2 : all(1e9));
        cost = cost + (given ? loss_of(r2) : all(0.0));
        inliers = inliers + ((given & (weight >= all(0.4))) ? all(1.0) : all(0.0));
        count = count + (given ? all(1.0) : all(0.0));
        add_outer(info, m.du, w);
        add_outer(info, m.dv, w);
        const vd wu = w * eu;
        const vd wv = w * ev;
        b = {b.x + wu * m.du.x + wv * m.dv.x, b.y + wu * m.du.y + wv * m.dv.y,
             b.z + wu * m.du.z + wv * m.dv.z};
      }
      if (step == a.steps) break;
      S3 n = info;
      if (with_prior) {
        n = {n.xx + known.xx, n.xy + known.xy, n.xz + known.xz,
             n.yy + known.yy, n.yz + known.yz, n.zz + known.zz};
        const V3 back = times(known, {prior.x - point.x, prior.y - point.y, prior.z - point.z});
        b = {b.x + back.x, b.y + back.y, b.z + back.z};
      }
      vm fine;
      const V3 move = times(inverse(n, fine), b);
      // A lane that has come to rest stays, whatever its neighbours still do.
      const vm goes = fine & ~rests;
      ok = ok & (fine | rests);
      point = {goes ? point.x + move.x : point.x, goes ? point.y + move.y : point.y,
               goes ? point.z + move.z : point.z};
      rests = rests | (fine & (dot(move, move) < all(kRest2))) | ~(count > all(0.0));
    }
    double* out = a.solution + i;
    const vd mx = point.x - start.x;
    store(out + kMove * o, mx);
    store(out + (kMove + 1) * o, point.y - start.y);
    store(out + (kMove + 2) * o, point.z - start.z);
    store6(out + kInfo * o, o, info);
    store(out + kCost * o, cost);
    store(out + kInliers * o, (ok & (mx == mx)) ? inliers : all(-1.0));
    store(out + kCount * o, count);
    const V3 off{point.x - prior.x, point.y - prior.y, point.z - prior.z};
    store(out + kPriorCost * o, with_prior ? dot(off, times(known, off)) : all(0.0));
  }
}

// Where the rays of two views come closest, lane by lane.
void pair(const PairArgs& a) {
  const double bx = a.b->center[0] - a.a->center[0];
  const double by = a.b->center[1] - a.a->center[1];
  const double bz = a.b->center[2] - a.a->center[2];
  for (long i = 0; i < a.lanes; i += W) {
    const vm both = (load(a.inv_a + i) > all(0.0)) & (load(a.inv_b + i) > all(0.0));
    const V3 da = gather3(a.ray_a, i);
    const V3 db = gather3(a.ray_b, i);
    const vd c = dot(da, db);
    const vd det = 1.0 - c * c;
    const vm apart = det > all(1e-5);
    const vd ba = bx * da.x + by * da.y + bz * da.z;
    const vd bb = bx * db.x + by * db.y + bz * db.z;
    const vd s = all(1.0) / (apart ? det : all(1.0));
    const vd ta = (ba - c * bb) * s;
    const vd tb = (c * ba - bb) * s;
    const vm ok = both & apart & (ta > all(0.0)) & (tb > all(0.0));
    const vd x = 0.5 * (a.a->center[0] + ta * da.x + a.b->center[0] + tb * db.x);
    const vd y = 0.5 * (a.a->center[1] + ta * da.y + a.b->center[1] + tb * db.y);
    const vd z = 0.5 * (a.a->center[2] + ta * da.z + a.b->center[2] + tb * db.z);
    store(a.point[0] + i, ok ? x : all(0.0));
    store(a.point[1] + i, ok ? y : all(0.0));
    store(a.point[2] + i, ok ? z : all(0.0));
    store(a.met + i, ok ? all(1.0) : all(0.0));
  }
}

// The robust cost of all views at given points.
void cost(const CostArgs& a) {
  Wide<vd> lenses[64];
  for (int f = 0; f < a.frames; ++f) lenses[f] = wide<vd, double>(*a.lenses[f]);
  for (long i = 0; i < a.lanes; i += W) {
    const V3 point = gather3(a.point, i);
    const V3 velocity = gather3(a.velocity, i);
    vd total = all(0.0);
    for (int f = 0; f < a.frames; ++f) {
      const double* z = a.views[f] + i;
      const vd inv = load(z + kInv * a.stride);
      const vd dt = load(a.times[f] + i);
      const Image<vd, vm> m = image_of(
          *a.lenses[f], lenses[f],
          {point.x + dt * velocity.x, point.y + dt * velocity.y, point.z + dt * velocity.z});
      const vd eu = load(z + kZu * a.stride) - m.u;
      const vd ev = load(z + kZv * a.stride) - m.v;
      const vd r2 = m.ok ? (eu * eu + ev * ev) * inv : all(1e9);
      total = total + (inv > all(0.0) ? loss_of(r2) : all(0.0));
    }
    store(a.cost + i, total);
  }
}

// ---- smoothing
// ------------------------------------------------------------------------------------

// One step back of Rauch, Tung and Striebel (AIAA Journal 3, 1965): what came later corrects what
// was known then through the gain F's covariance with the prediction.
void smooth(const SmoothArgs& a) {
  for (long i = 0; i < a.lanes; i += W) {
    const Full f = load_full(a.filtered + i, a.stride);
    const Full p = load_full(a.predicted + i, a.stride);
    const Full n = load_full(a.later + i, a.stride);
    const vd m6[6][6] = {{p.pp.xx, p.pp.xy, p.pp.xz, p.pv[0], p.pv[1], p.pv[2]},
                         {p.pp.xy, p.pp.yy, p.pp.yz, p.pv[3], p.pv[4], p.pv[5]},
                         {p.pp.xz, p.pp.yz, p.pp.zz, p.pv[6], p.pv[7], p.pv[8]},
                         {p.pv[0], p.pv[3], p.pv[6], p.vv.xx, p.vv.xy, p.vv.xz},
                         {p.pv[1], p.pv[4], p.pv[7], p.vv.xy, p.vv.yy, p.vv.yz},
                         {p.pv[2], p.pv[5], p.pv[8], p.vv.xz, p.vv.yz, p.vv.zz}};
    const vd fpp[3][3] = {{f.pp.xx, f.pp.xy, f.pp.xz},
                          {f.pp.xy, f.pp.yy, f.pp.yz},
                          {f.pp.xz, f.pp.yz, f.pp.zz}};
    const vd fvv[3][3] = {{f.vv.xx, f.vv.xy, f.vv.xz},
                          {f.vv.xy, f.vv.yy, f.vv.yz},
                          {f.vv.xz, f.vv.yz, f.vv.zz}};
    // C = P F^T for F = [I, dt I; 0, keep I].
    vd c6[6][6];
    for (int r = 0; r < 3; ++r) {
      for (int k = 0; k < 3; ++k) {
        c6[r][k] = fpp[r][k] + a.dt_s * f.pv[3 * r + k];
        c6[r][3 + k] = a.keep * f.pv[3 * r + k];
        c6[3 + r][k] = f.pv[3 * k + r] + a.dt_s * fvv[r][k];
        c6[3 + r][3 + k] = a.keep * fvv[r][k];
      }
    }
    // Cholesky of the prediction's covariance.
    vd l[6][6];
    vd inv[6];
    vm ok = load(a.cut + i) <= all(0.0);
    for (int r = 0; r < 6; ++r) {
      for (int k = 0; k <= r; ++k) {
        vd sum = m6[r][k];
        for (int t = 0; t < k; ++t) sum = sum - l[r][t] * l[k][t];
        if (r == k) {
          const vm fine = sum > all(1e-18);
          ok = ok & fine;
          const vd d = root(fine ? sum : all(1.0));
          l[r][r] = d;
          inv[r] = all(1.0) / d;
        } else {
          l[r][k] = sum * inv[k];
        }
      }
    }
    // G by rows: G M = C.
    vd g[6][6];
    for (int r = 0; r < 6; ++r) {
      vd y[6];
      for (int k = 0; k < 6; ++k) {
        vd sum = c6[r][k];
        for (int t = 0; t < k; ++t) sum = sum - l[k][t] * y[t];
        y[k] = sum * inv[k];
      }
      for (int k = 5; k >= 0; --k) {
        vd sum = y[k];
        for (int t = k + 1; t < 6; ++t) sum = sum - l[t][k] * g[r][t];
        g[r][k] = sum * inv[k];
      }
    }
    const vd d[6] = {n.p.x - p.p.x, n.p.y - p.p.y, n.p.z - p.p.z,
                     n.v.x - p.v.x, n.v.y - p.v.y, n.v.z - p.v.z};
    const vd n6[6][6] = {{n.pp.xx, n.pp.xy, n.pp.xz, n.pv[0], n.pv[1], n.pv[2]},
                         {n.pp.xy, n.pp.yy, n.pp.yz, n.pv[3], n.pv[4], n.pv[5]},
                         {n.pp.xz, n.pp.yz, n.pp.zz, n.pv[6], n.pv[7], n.pv[8]},
                         {n.pv[0], n.pv[3], n.pv[6], n.vv.xx, n.vv.xy, n.vv.xz},
                         {n.pv[1], n.pv[4], n.pv[7], n.vv.xy, n.vv.yy, n.vv.yz},
                         {n.pv[2], n.pv[5], n.pv[8], n.vv.xz, n.vv.yz, n.vv.zz}};
    vd h[6][6];  // G (N - M)
    for (int r = 0; r < 6; ++r) {
      for (int k = 0; k < 6; ++k) {
        vd sum = all(0.0);
        for (int t = 0; t < 6; ++t) sum = sum + g[r][t] * (n6[t][k] - m6[t][k]);
        h[r][k] = sum;
      }
    }
    vd delta[6];
    vd s6[6][6];  // what the covariance changes by
    for (int r = 0; r < 6; ++r) {
      delta[r] = all(0.0);
      for (int t = 0; t < 6; ++t) delta[r] = delta[r] + g[r][t] * d[t];
      for (int k = 0; k < 6; ++k) {
        vd sum = all(0.0);
        for (int t = 0; t < 6; ++t) sum = sum + h[r][t] * g[k][t];
        s6[r][k] = sum;
      }
    }
    Full out = f;
    out.p = {f.p.x + delta[0], f.p.y + delta[1], f.p.z + delta[2]};
    out.v = {f.v.x + delta[3], f.v.y + delta[4], f.v.z + delta[5]};
    out.pp = {f.pp.xx + s6[0][0], f.pp.xy + 0.5 * (s6[0][1] + s6[1][0]),
              f.pp.xz + 0.5 * (s6[0][2] + s6[2][0]), f.pp.yy + s6[1][1],
              f.pp.yz + 0.5 * (s6[1][2] + s6[2][1]), f.pp.zz + s6[2][2]};
    for (int r = 0; r < 3; ++r) {
      for (int k = 0; k < 3; ++k) {
        out.pv[3 * r + k] = f.pv[3 * r + k] + 0.5 * (s6[r][3 + k] + s6[3 + k][r]);
      }
    }
    out.vv = {f.vv.xx + s6[3][3], f.vv.xy + 0.5 * (s6[3][4] + s6[4][3]),
              f.vv.xz + 0.5 * (s6[3][5] + s6[5][3]), f.vv.yy + s6[4][4],
              f.vv.yz + 0.5 * (s6[4][5] + s6[5][4]), f.vv.zz + s6[5][5]};
    store_full(a.out + i, a.stride, choose(ok, out, f));
  }
}

}  // namespace

extern const Kernels table;
const Kernels table = {TIPOFF_ISA_NAME, predict, pull,  project,   sieve, noise, box,  reach,
                       support,         misfit,  solve, doubt, lively, lesson, miss,      condition, full, pair, cost,
                       rays,            meet,    smooth};

}  // namespace TIPOFF_ISA
}  // namespace tipoff
