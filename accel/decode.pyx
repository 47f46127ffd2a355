# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""From the heads of a pose model to people, and from frames to its crops.

The work is done on plain pointers without the GIL; `accel.decode_reference` says the same in NumPy
and is what the tests compare with. Nothing in a head can make a loop longer than the head: numbers
that are not finite count as absent, and the peaks that are looked at are bounded.
"""

import numpy as np

from tipoff.errors import InvalidInputError

from libc.math cimport INFINITY, NAN, ceil, exp, fabs, floor, isfinite, sqrt
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memset

cdef enum:
    JOINTS = 17
    STRIDE = 4
    PEAK_RADIUS = 2
    PEAKS_PER_PERSON = 4
    PEOPLE_LIMIT = 1024
    SIDE_LIMIT = 65536

cdef double PEAK_TOLERANCE = 1e-6
cdef double SPREAD = 0.3
cdef double CENTER_SOFTNESS = 1.8
cdef double DIVISOR_FLOOR = 1.79
cdef double JOINT_FLOOR = 0.127
cdef double FAR_PX = 1e6

# Spread of how people mark each joint, as a fraction of the person's size (COCO's evaluation).
cdef double[JOINTS] SIGMAS
SIGMAS[:] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072,
    0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
]


cdef struct Peak:
    double value
    Py_ssize_t cell


cdef struct Person:
    double score
    Py_ssize_t order
    double y0
    double x0
    double y1
    double x1
    double[JOINTS] u
    double[JOINTS] v
    double[JOINTS] confidence


cdef struct Heads:
    Py_ssize_t height
    Py_ssize_t width
    const float* heat
    const float* center
    const float* regress
    const float* offset
    const float* scale
    const float* boxoff


def people(
    heat, center, regress, offset, scale, boxoff,
    *, double threshold=0.15, Py_ssize_t max_people=64, double nms_oks=0.6,
):
    """Find the people in the heads of a multi-person model.

    Args:
        heat: float32 (H, W, 17), where joints are, 0..1.
        center: float32 (H, W, 1), where people's centres are, 0..1.
        regress: float32 (H, W, 34), from a centre to each joint as y, x in cells.
        offset: float32 (H, W, 34), from a joint's cell to the joint as y, x in cells.
        scale: float32 (H, W, 2), height and width of the box in cells.
        boxoff: float32 (H, W, 2), from a centre's cell to the box's centre as y, x in cells.
        threshold: Least score of a person.
        max_people: The best so many are returned; 1 to 1024.
        nms_oks: Two whose joints are more alike than this (0..1) are one person.

    Returns:
        boxes float32 (N, 4) as x0, y0, x1, y1; keypoints float32 (N, 17, 3) as u, v and
        confidence, NaN, NaN and 0 where a joint was not found; scores float32 (N,), descending.
        Coordinates are the model's, in pixels of its input: `accel.letterbox` leads back to the
        source.

    Raises:
        InvalidInputError: a head has another shape or type, or an option is out of range.
    """
    if not (isfinite(threshold) and isfinite(nms_oks) and 1 <= max_people <= PEOPLE_LIMIT):
        raise InvalidInputError(
            f"threshold {threshold}, nms_oks {nms_oks} and max_people {max_people}: two finite "
            f"numbers and 1 to {PEOPLE_LIMIT} are needed"
        )
    cdef const float[:, :, ::1] heat_ = _head("heat", heat, JOINTS, None)
    shape = (heat_.shape[0], heat_.shape[1])
    cdef const float[:, :, ::1] center_ = _head("center", center, 1, shape)
    cdef const float[:, :, ::1] regress_ = _head("regress", regress, 2 * JOINTS, shape)
    cdef const float[:, :, ::1] offset_ = _head("offset", offset, 2 * JOINTS, shape)
    cdef const float[:, :, ::1] scale_ = _head("scale", scale, 2, shape)
    cdef const float[:, :, ::1] boxoff_ = _head("boxoff", boxoff, 2, shape)
    cdef Heads heads
    heads.height, heads.width = heat_.shape[0], heat_.shape[1]
    heads.heat, heads.center = &heat_[0, 0, 0], &center_[0, 0, 0]
    heads.regress, heads.offset = &regress_[0, 0, 0], &offset_[0, 0, 0]
    heads.scale, heads.boxoff = &scale_[0, 0, 0], &boxoff_[0, 0, 0]

    cdef Py_ssize_t bound = PEAKS_PER_PERSON * max_people
    cdef Peak* peaks = <Peak*>malloc(heads.height * heads.width * sizeof(Peak))
    cdef Person* found = <Person*>malloc(bound * sizeof(Person))
    cdef Py_ssize_t* kept = <Py_ssize_t*>malloc(max_people * sizeof(Py_ssize_t))
    cdef double* bells = <double*>malloc((heads.height + heads.width) * sizeof(double))
    cdef Py_ssize_t peak_count, count, kept_count
    try:
        if peaks == NULL or found == NULL or kept == NULL or bells == NULL:
            raise MemoryError
        with nogil:
            peak_count = _find_peaks(&heads, threshold, peaks)
            if peak_count > bound:
                peak_count = bound
            count = _find_people(&heads, peaks, peak_count, threshold, bells, found)
            kept_count = _suppress(found, count, max_people, nms_oks, kept)
        return _as_arrays(found, kept, kept_count)
    finally:
        free(peaks)
        free(found)
        free(kept)
        free(bells)


def single(heat, center, regress, offset):
    """Read the pose of the one person whom a crop shows.

    The person's centre is looked for near the middle of the crop, and each joint near where the
    centre says that it is.

    Args:
        heat: float32 (H, W, 17), where joints are, 0..1.
        center: float32 (H, W, 1), where people's centres are, 0..1.
        regress: float32 (H, W, 34), from a centre to each joint as y, x in cells.
        offset: float32 (H, W, 34), from a joint's cell to the joint as y, x in cells.

    Returns:
        float32 (17, 3) u, v in the model's coordinates, in pixels of the crop, and confidence;
        NaN, NaN and 0 where a joint was not found.

    Raises:
        InvalidInputError: a head has another shape or type.
    """
    cdef const float[:, :, ::1] heat_ = _head("heat", heat, JOINTS, None)
    shape = (heat_.shape[0], heat_.shape[1])
    cdef const float[:, :, ::1] center_ = _head("center", center, 1, shape)
    cdef const float[:, :, ::1] regress_ = _head("regress", regress, 2 * JOINTS, shape)
    cdef const float[:, :, ::1] offset_ = _head("offset", offset, 2 * JOINTS, shape)
    cdef Heads heads
    heads.height, heads.width = heat_.shape[0], heat_.shape[1]
    heads.heat, heads.center = &heat_[0, 0, 0], &center_[0, 0, 0]
    heads.regress, heads.offset = &regress_[0, 0, 0], &offset_[0, 0, 0]
    keypoints = np.empty((JOINTS, 3), np.float32)
    cdef float[:, ::1] keypoints_ = keypoints
    with nogil:
        _find_single(&heads, &keypoints_[0, 0])
    return keypoints


def crop_resize(frame, region, Py_ssize_t height_px, Py_ssize_t width_px, out=None):
    """Cut a region out of a frame and scale it to a model's input.

    Enlarging interpolates between pixels, shrinking averages over them (a triangle filter, so
    that nothing aliases); what lies beyond the frame is black.

    Args:
        frame: uint8 (H, W, 3).
        region: x0, y0, x1, y1, edges in pixels of the frame; it may reach beyond it.
        height_px: Height of the result.
        width_px: Width of the result.
        out: float32 (height_px, width_px, 3), C-contiguous, to be written into; None makes one.

    Returns:
        float32 (height_px, width_px, 3), 0..255, the frame's channels in their order.

    Raises:
        InvalidInputError: the frame has another shape or type, or the region is not finite, is
            empty or is absurdly large.
    """
    cdef double x0, y0, x1, y1
    x0, y0, x1, y1 = region
    if not (0.0 < x1 - x0 <= SIDE_LIMIT and 0.0 < y1 - y0 <= SIDE_LIMIT and fabs(x0) <= 1e9
            and fabs(y0) <= 1e9):
        raise InvalidInputError(
            f"a region is {x0:g}, {y0:g}, {x1:g}, {y1:g}: x0 < x1 and y0 < y1, finite and at most "
            f"{SIDE_LIMIT} px apart, are needed"
        )
    if not (1 <= height_px <= SIDE_LIMIT and 1 <= width_px <= SIDE_LIMIT):
        raise InvalidInputError(f"a crop of {width_px}x{height_px} px cannot be made")
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 \
            or frame.shape[2] != 3 or 0 in frame.shape:
        raise InvalidInputError(f"a frame is uint8 (H, W, 3), not {_describe(frame)}")
    if frame.strides[2] != 1 or frame.strides[1] != 3:
        frame = np.ascontiguousarray(frame)
    if out is None:
        out = np.empty((height_px, width_px, 3), np.float32)
    elif out.shape != (height_px, width_px, 3) or out.dtype != np.float32 \
            or not out.flags.c_contiguous:
        raise InvalidInputError(f"out is {_describe(out)}, not what the crop needs")
    cdef const unsigned char[:, :, :] frame_ = frame
    cdef float[:, :, ::1] out_ = out
    cdef Taps down, across
    down.taps = NULL
    across.taps = NULL
    cdef float* row = NULL
    try:
        _triangles(&down, y0, y1, height_px, frame_.shape[0])
        _triangles(&across, x0, x1, width_px, frame_.shape[1])
        row = <float*>malloc(3 * max(across.last - across.first + 1, 1) * sizeof(float))
        if row == NULL:
            raise MemoryError
        with nogil:
            _resample(&frame_[0, 0, 0], frame_.strides[0], &down, &across, row, &out_[0, 0, 0])
    finally:
        free(down.taps)
        free(across.taps)
        free(row)
    return out


# Checks and conversions, with the GIL.


def _describe(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__


def _head(name, array, channels, shape):
    """Return a head as a contiguous array, or refuse it by name."""
    expected = f"(H, W, {channels})" if shape is None else f"{tuple(shape) + (channels,)}"
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 3 \
            or array.shape[2] != channels or 0 in array.shape \
            or (shape is not None and array.shape[:2] != tuple(shape)):
        raise InvalidInputError(
            f"the head {name} is {_describe(array)}, not float32 {expected}", head=name
        )
    return np.ascontiguousarray(array)


cdef _as_arrays(Person* found, Py_ssize_t* kept, Py_ssize_t count):
    boxes = np.empty((count, 4), np.float32)
    keypoints = np.empty((count, JOINTS, 3), np.float32)
    scores = np.empty(count, np.float32)
    cdef float[:, ::1] boxes_ = boxes
    cdef float[:, :, ::1] keypoints_ = keypoints
    cdef float[::1] scores_ = scores
    cdef Py_ssize_t n, k
    cdef Person* person
    for n in range(count):
        person = &found[kept[n]]
        scores_[n] = <float>person.score
        boxes_[n, 0] = <float>(person.x0 * STRIDE)
        boxes_[n, 1] = <float>(person.y0 * STRIDE)
        boxes_[n, 2] = <float>(person.x1 * STRIDE)
        boxes_[n, 3] = <float>(person.y1 * STRIDE)
        for k in range(JOINTS):
            keypoints_[n, k, 0] = <float>person.u[k]
            keypoints_[n, k, 1] = <float>person.v[k]
            keypoints_[n, k, 2] = <float>person.confidence[k]
    return boxes, keypoints, scores


# People, without the GIL.


cdef int _descending(const void* a, const void* b) noexcept nogil:
    """Larger values first, and among equals the earlier cell."""
    cdef const Peak* first = <const Peak*>a
    cdef const Peak* second = <const Peak*>b
    if first.value != second.value:
        return -1 if first.value > second.value else 1
    return -1 if first.cell < second.cell else 1


cdef int _better(const void* a, const void* b) noexcept nogil:
    """Better scores first, and among equals the better peak."""
    cdef const Person* first = <const Person*>a
    cdef const Person* second = <const Person*>b
    if first.score != second.score:
        return -1 if first.score > second.score else 1
    return -1 if first.order < second.order else 1


cdef Py_ssize_t _find_peaks(Heads* heads, double threshold, Peak* peaks) noexcept nogil:
    cdef Py_ssize_t y, x, count = 0
    cdef double value
    for y in range(heads.height):
        for x in range(heads.width):
            value = _at_most_one(heads.center[y * heads.width + x])
            if isfinite(value) and value >= threshold and _is_peak(heads, y, x, value):
                peaks[count].value = value
                peaks[count].cell = y * heads.width + x
                count += 1
    qsort(peaks, count, sizeof(Peak), _descending)
    return count


cdef bint _is_peak(Heads* heads, Py_ssize_t y, Py_ssize_t x, double value) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef double other
    for i in range(max(y - PEAK_RADIUS, 0), min(y + PEAK_RADIUS + 1, heads.height)):
        for j in range(max(x - PEAK_RADIUS, 0), min(x + PEAK_RADIUS + 1, heads.width)):
            other = _at_most_one(heads.center[i * heads.width + j])
            if isfinite(other) and value < other - PEAK_TOLERANCE:
                return False
    return True


cdef Py_ssize_t _find_people(
    Heads* heads, Peak* peaks, Py_ssize_t peak_count, double threshold, double* bells,
    Person* found,
) noexcept nogil:
    cdef Py_ssize_t n, y, x, count = 0
    cdef Person* person
    for n in range(peak_count):
        y, x = peaks[n].cell // heads.width, peaks[n].cell % heads.width
        person = &found[count]
        if not _read_box(heads, y, x, person):
            continue
        _read_joints(heads, y, x, bells, person)
        person.score = _score(peaks[n].value, person)
        person.order = n
        if person.score > 0.0 and person.score >= threshold:
            count += 1
    qsort(found, count, sizeof(Person), _better)
    return count


cdef inline double _at_most_one(double value) noexcept nogil:
    """Nothing is surer than sure; infinity stays, to be told from it."""
    return 1.0 if 1.0 < value < INFINITY else value


cdef double _score(double center, Person* person) noexcept nogil:
    cdef double total = 0.0
    cdef int k, count = 0
    for k in range(JOINTS):
        if person.confidence[k] > JOINT_FLOOR:
            total += person.confidence[k]
            count += 1
    return center * total / max(count, 1)


cdef inline double _clamp(double value, double limit) noexcept nogil:
    return 0.0 if value < 0.0 else limit if value > limit else value


cdef bint _read_box(Heads* heads, Py_ssize_t y, Py_ssize_t x, Person* person) noexcept nogil:
    """Fill in the box, in cells; False where it is not finite or holds no cell."""
    cdef Py_ssize_t at = 2 * (y * heads.width + x)
    cdef double down = heads.boxoff[at], right = heads.boxoff[at + 1]
    cdef double height = heads.scale[at], width = heads.scale[at + 1]
    if not (isfinite(down) and isfinite(right) and isfinite(height) and isfinite(width)):
        return False
    cdef double half_h = 0.5 * (height if height > 0.0 else 0.0)
    cdef double half_w = 0.5 * (width if width > 0.0 else 0.0)
    cdef double cy = y + down, cx = x + right
    person.y0 = _clamp(cy - half_h, heads.height)
    person.y1 = _clamp(cy + half_h, heads.height)
    person.x0 = _clamp(cx - half_w, heads.width)
    person.x1 = _clamp(cx + half_w, heads.width)
    return ceil(person.y0) < person.y1 and ceil(person.x0) < person.x1


cdef void _read_joints(
    Heads* heads, Py_ssize_t y, Py_ssize_t x, double* bells, Person* person
) noexcept nogil:
    """Each joint where its heat, weighed by nearness to its regressed place, is largest."""
    cdef Py_ssize_t top = <Py_ssize_t>ceil(person.y0), bottom = <Py_ssize_t>ceil(person.y1)
    cdef Py_ssize_t left = <Py_ssize_t>ceil(person.x0), right = <Py_ssize_t>ceil(person.x1)
    cdef Py_ssize_t at = 2 * JOINTS * (y * heads.width + x)
    cdef Py_ssize_t i, j, best_i, best_j
    cdef double spread = SPREAD * min(heads.height, heads.width)
    cdef double* down = bells
    cdef double* across = bells + heads.height
    cdef double best, value, aim_y, aim_x
    cdef const float* heat
    cdef int k
    for k in range(JOINTS):
        aim_y = y + <double>heads.regress[at + 2 * k]
        aim_x = x + <double>heads.regress[at + 2 * k + 1]
        _bell(down, top, bottom, aim_y, spread)
        _bell(across, left, right, aim_x, spread)
        best, best_i, best_j = 0.0, top, left
        for i in range(top, bottom):
            heat = heads.heat + (i * heads.width + left) * JOINTS + k
            for j in range(left, right):
                value = heat[0]
                heat += JOINTS
                # Nearness is at most 1, so most cells need no product.
                if value > best and isfinite(value):
                    value = _at_most_one(value) * (down[i] * across[j])
                    if value > best:
                        best, best_i, best_j = value, i, j
        person.u[k] = person.v[k] = NAN
        person.confidence[k] = 0.0
        if best > 0.0:
            _place(heads, best_i, best_j, k, best, &person.u[k], &person.v[k],
                   &person.confidence[k])


cdef void _bell(
    double* values, Py_ssize_t begin, Py_ssize_t end, double aim, double spread
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double d
    for i in range(begin, end):
        d = i - aim
        values[i] = exp(-(d * d) / spread)


cdef void _place(
    Heads* heads, Py_ssize_t i, Py_ssize_t j, int k, double confidence,
    double* u, double* v, double* confidence_out,
) noexcept nogil:
    cdef Py_ssize_t at = 2 * JOINTS * (i * heads.width + j) + 2 * k
    cdef double y = (i + <double>heads.offset[at]) * STRIDE
    cdef double x = (j + <double>heads.offset[at + 1]) * STRIDE
    if fabs(y) <= FAR_PX and fabs(x) <= FAR_PX:
        u[0], v[0], confidence_out[0] = x, y, confidence


cdef Py_ssize_t _suppress(
    Person* found, Py_ssize_t count, Py_ssize_t max_people, double nms_oks, Py_ssize_t* kept
) noexcept nogil:
    """Keep whoever does not have nearly the joints of somebody with a better score."""
    cdef Py_ssize_t n, m, kept_count = 0
    cdef bint distinct
    for n in range(count):
        if kept_count == max_people:
            break
        distinct = True
        for m in range(kept_count):
            if not _similarity(&found[n], &found[kept[m]]) <= nms_oks:
                distinct = False
                break
        if distinct:
            kept[kept_count] = n
            kept_count += 1
    return kept_count


cdef double _similarity(Person* a, Person* b) noexcept nogil:
    cdef double area = 0.5 * (_area(a) + _area(b))
    cdef double total = 0.0, du, dv
    cdef int k, shared = 0
    for k in range(JOINTS):
        if a.confidence[k] > 0.0 and b.confidence[k] > 0.0:
            du = a.u[k] - b.u[k]
            dv = a.v[k] - b.v[k]
            total += exp(-(du * du + dv * dv) / (8.0 * SIGMAS[k] * SIGMAS[k] * area))
            shared += 1
    return total / shared if shared else 0.0


cdef inline double _area(Person* person) noexcept nogil:
    return (person.y1 - person.y0) * (person.x1 - person.x0) * STRIDE * STRIDE


# One person in a crop, without the GIL.


cdef void _find_single(Heads* heads, float* keypoints) noexcept nogil:
    cdef Py_ssize_t i, j, best_i, best_j, at
    cdef Py_ssize_t y = 0, x = 0
    cdef double best = -INFINITY, value, aim_y, aim_x, u, v, confidence
    cdef int k
    for i in range(heads.height):
        for j in range(heads.width):
            value = heads.center[i * heads.width + j]
            value = _at_most_one(value) if isfinite(value) else 0.0
            value = value / (_distance(i, j, 0.5 * heads.height, 0.5 * heads.width)
                             + CENTER_SOFTNESS)
            if value > best:
                best, y, x = value, i, j
    at = 2 * JOINTS * (y * heads.width + x)
    for k in range(JOINTS):
        aim_y = y + <double>heads.regress[at + 2 * k]
        aim_x = x + <double>heads.regress[at + 2 * k + 1]
        best, best_i, best_j = 0.0, 0, 0
        for i in range(heads.height):
            for j in range(heads.width):
                value = heads.heat[(i * heads.width + j) * JOINTS + k]
                # Every divisor is larger than this, so most cells need no root.
                if value > best * DIVISOR_FLOOR and isfinite(value):
                    value = _at_most_one(value)
                    value = value / (_distance(i, j, aim_y, aim_x) + CENTER_SOFTNESS)
                    if value > best:
                        best, best_i, best_j = value, i, j
        u, v, confidence = NAN, NAN, 0.0
        if best > 0.0:
            value = heads.heat[(best_i * heads.width + best_j) * JOINTS + k]
            _place(heads, best_i, best_j, k, _at_most_one(value), &u, &v, &confidence)
        keypoints[3 * k] = <float>u
        keypoints[3 * k + 1] = <float>v
        keypoints[3 * k + 2] = <float>confidence


cdef inline double _distance(double i, double j, double y, double x) noexcept nogil:
    return sqrt((i - y) * (i - y) + (j - x) * (j - x))


# Crops, without the GIL.


cdef struct Tap:
    Py_ssize_t first
    Py_ssize_t count
    Py_ssize_t at


cdef struct Taps:
    Tap* taps
    float* weights
    Py_ssize_t count
    Py_ssize_t first
    Py_ssize_t last


cdef int _triangles(
    Taps* result, double start, double end, Py_ssize_t count, Py_ssize_t size
) except -1:
    """Which of `size` pixels give how much to each of `count`, by a triangle filter.

    The triangle is cut at the frame's edge; a middle beyond the frame gets nothing. `first` and `last` bound the pixels that give anything; first > last where none does.
    """
    cdef double step = (end - start) / count
    cdef double support = step if step > 1.0 else 1.0
    cdef Py_ssize_t reach = <Py_ssize_t>ceil(support) + 1
    cdef Py_ssize_t width = 2 * reach + 1, room = min(width, size)
    cdef char* block = <char*>malloc(count * (sizeof(Tap) + room * sizeof(float)))
    if block == NULL:
        raise MemoryError
    result.taps = <Tap*>block
    result.weights = <float*>(block + count * sizeof(Tap))
    result.count = count
    result.first, result.last = size, -1
    cdef Py_ssize_t i, j, begin, stop
    cdef double middle, total, value
    with nogil:
        for i in range(count):
            middle = start + (i + 0.5) * step
            begin, stop = 0, 0
            if 0.0 <= middle <= size:
                begin = max(<Py_ssize_t>floor(middle) - reach, 0)
                stop = min(<Py_ssize_t>floor(middle) + reach + 1, size)
            while begin < stop and fabs(begin + 0.5 - middle) >= support:
                begin += 1
            while stop > begin and fabs(stop - 0.5 - middle) >= support:
                stop -= 1
            result.taps[i].first = begin
            result.taps[i].count = stop - begin
            result.taps[i].at = i * room
            total = 0.0
            for j in range(begin, stop):
                total += 1.0 - fabs(j + 0.5 - middle) / support
            for j in range(begin, stop):
                value = 1.0 - fabs(j + 0.5 - middle) / support
                result.weights[i * room + j - begin] = <float>(value / total)
            if stop > begin:
                result.first = min(result.first, begin)
                result.last = max(result.last, stop - 1)
    return 0


cdef void _resample(
    const unsigned char* frame, Py_ssize_t stride, Taps* down, Taps* across, float* row,
    float* out,
) noexcept nogil:
    """Rows first, over the columns that are needed: that pass runs along memory."""
    cdef Py_ssize_t i, j, t, n, values = 3 * (across.last - across.first + 1)
    cdef Py_ssize_t out_row = 3 * across.count
    cdef const unsigned char* pixels
    cdef const float* weights
    cdef float weight
    for i in range(down.count):
        if down.taps[i].count == 0 or values <= 0:
            memset(out + i * out_row, 0, out_row * sizeof(float))
            continue
        for t in range(down.taps[i].count):
            pixels = frame + (down.taps[i].first + t) * stride + 3 * across.first
            weight = down.weights[down.taps[i].at + t]
            _accumulate(row, pixels, weight, values, t == 0)
        _gather(row, across, out + i * out_row)


cdef inline void _accumulate(
    float* row, const unsigned char* pixels, float weight, Py_ssize_t values, bint fresh
) noexcept nogil:
    cdef Py_ssize_t n
    if fresh:
        for n in range(values):
            row[n] = weight * pixels[n]
    else:
        for n in range(values):
            row[n] = row[n] + weight * pixels[n]


cdef inline void _gather(const float* row, Taps* across, float* out) noexcept nogil:
    cdef Py_ssize_t j, t
    cdef float red, green, blue, weight
    cdef const float* pixel
    cdef const float* weights
    for j in range(across.count):
        red = green = blue = 0.0
        pixel = row + 3 * (across.taps[j].first - across.first)
        weights = across.weights + across.taps[j].at
        for t in range(across.taps[j].count):
            weight = weights[t]
            red = red + weight * pixel[0]
            green = green + weight * pixel[1]
            blue = blue + weight * pixel[2]
            pixel += 3
        out[3 * j] = red
        out[3 * j + 1] = green
        out[3 * j + 2] = blue
