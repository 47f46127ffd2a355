// Checkpoints of real games, edited, their checksum put right so that the edit is read: `restore`
// gives a tracker that can go on, or throws BadCheckpoint and nothing else.
#include <cstring>
#include <memory>
#include <stdexcept>

#include "checks.hpp"
#include "game.hpp"

namespace tipoff::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr int kMostEdits = 16;
constexpr int kMostBytes = 4096;   // inserted or removed by one edit
constexpr std::size_t kHead = 20;  // magic, version, rig
constexpr std::size_t kSum = 8;

const Rig& court() {
  static const Rig rig = testing::ring(3);
  return rig;
}

void go_on(Tracker& tracker, std::int64_t from_ns, int frames, std::uint32_t people) {
  Dice dice(7);
  for (int i = 0; i < frames; ++i) {
    for (int c = 0; c < tracker.cameras(); ++c) {
      Call call = see(court(), c, from_ns + i * testing::kFrame_ns, people, 1.5, dice);
      call.observation.searched = i % 3 != 2;
      if (people == 7) {
        call.observation.roster = 2;
        call.evidence.assign(static_cast<std::size_t>(2 * call.observation.rows), 0.25F);
      }
      tracker.observe(call.ready());
    }
  }
}

// Nothing yet; two people; three with evidence, a frame held back and a camera silent.
Bytes original(int which) {
  TrackerOptions options = testing::five_joints();
  options.label = "fuzz";
  if (which == 1) options.max_delay_ns = options.lag_ns = 0;
  Tracker tracker(court(), options);
  if (which > 0) go_on(tracker, 0, 24, which == 1 ? 3 : 7);
  if (which == 2) {
    Dice dice(3);
    Call held = see(court(), 1, 3'600'000'000'000, 3, 1.0, dice);
    tracker.observe(held.ready());
  }
  return tracker.checkpoint();
}

// Numbers that break what does not look at them.
std::uint64_t odd_number(Input& in) {
  const int choice = in.below(14);
  double real = 0.0;
  switch (choice) {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return ~std::uint64_t{0};
    case 3:
      return std::uint64_t{1} << 63;
    case 4:
      return (std::uint64_t{1} << 62) - 1;
    case 5:
      return std::uint64_t{1} << 60;
    case 6:
      return in.number();
    case 7:
      real = std::numeric_limits<double>::quiet_NaN();
      break;
    case 8:
      real = std::numeric_limits<double>::infinity();
      break;
    case 9:
      real = -1.0;
      break;
    case 10:
      real = 1e300;
      break;
    case 11:
      real = -1e-300;
      break;
    case 12:
      real = 1e12;
      break;
    default:
      real = static_cast<std::int8_t>(in.byte());
  }
  std::uint64_t out = 0;
  std::memcpy(&out, &real, sizeof out);
  return out;
}

void edit(Bytes& bytes, Input& in) {
  const int kind = in.below(8);
  const std::size_t body = bytes.size() - kSum;
  // From the front, where lengths lie close together, or from the back, where the state ends.
  const std::uint32_t offset = in.number();
  const std::size_t at =
      kHead +
      (kind % 2 == 0 ? offset : body - kHead - 1 - offset % (body - kHead)) % (body - kHead);
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  if (kind < 4) {
    const std::uint64_t number = odd_number(in);
    std::memcpy(&bytes[at], &number, std::min<std::size_t>(kind < 2 ? 8 : 4, body - at));
  } else if (kind < 6) {
    bytes[at] = in.byte();
  } else if (kind == 6) {
    const auto most = static_cast<std::ptrdiff_t>(std::min<std::size_t>(body - at, kMostBytes));
    bytes.erase(place,
                place + std::min<std::ptrdiff_t>(
                            1 + static_cast<std::ptrdiff_t>(in.number() % kMostBytes), most));
  } else {
    bytes.insert(place, 1 + in.number() % kMostBytes, in.byte());
  }
}

void put_sum(Bytes& bytes) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (std::size_t i = 0; i + kSum < bytes.size(); ++i) {
    hash = (hash ^ bytes[i]) * 1099511628211ULL;
  }
  std::memcpy(&bytes[bytes.size() - kSum], &hash, kSum);
}

template <class Ask>
void ask(Ask&& question) {
  try {
    question();
  } catch (const std::out_of_range&) {
  }
}

// What was restored is a tracker like any other, whatever its numbers were before.
void use(Tracker& tracker) {
  const Bytes again = tracker.checkpoint();
  require(Tracker::restore(court(), again.data(), again.size())->checkpoint() == again,
          "what was restored can be kept and restored");
  const std::int64_t newest = tracker.newest_ns();
  const std::int64_t from = newest == kNever ? 0 : std::min(newest, kExtremes_ns[8]);
  // Half a second for the health of the cameras, with a pause in it.
  for (const std::int64_t later : {std::int64_t{0}, std::int64_t{300'000'000}}) {
    const std::int64_t begin = std::min(from + later, kExtremes_ns[8] - 100'000'000);
    go_on(tracker, begin, 4, 3);
    ask([&] { (void)tracker.assigned(1, begin); });
    ask([&] { check(tracker.snapshot(begin + 10'000'000), tracker, false); });
    ask([&] { check(tracker.smoothed(begin - 100'000'000), tracker, false); });
    ask([&] { check(tracker.predict(1, begin + 60'000'000)); });
    PlanBudget budget;
    budget.inference_ms = 20.0;
    budget.pose_ms = 1.0;
    budget.detect_ms.assign(3, 4.0);
    budget.available.assign(3, 1);
    ask([&] { (void)tracker.plan(begin, budget); });
    (void)tracker.health();
    (void)tracker.stats();
  }
}

void run(Input in) {
  static const Bytes originals[] = {original(0), original(1), original(2)};
  const std::uint8_t choice = in.byte();
  Bytes bytes = originals[choice % 3];
  for (int i = 0; i < kMostEdits && !in.done(); ++i) edit(bytes, in);
  if (choice < 250) put_sum(bytes);
  std::unique_ptr<Tracker> tracker;
  try {
    tracker = Tracker::restore(court(), bytes.data(), bytes.size());
  } catch (const BadCheckpoint&) {
    return;
  }
  use(*tracker);
}

}  // namespace
}  // namespace tipoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tipoff::fuzz::run(tipoff::fuzz::Input(data, size));
  return 0;
}
