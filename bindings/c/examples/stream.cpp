// A camera's loop, without a camera: stream [DEVICE [FRAMES]]
//
// Frames are drawn (a bar that moves, as BGRA), submitted without waiting, and polled; one that comes while all places
// are taken is dropped, as a camera's is.
#include <mobileone.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

namespace {

void check(MobileoneStatus status) {
    if (status != MOBILEONE_OK) throw std::runtime_error(mobileone_last_error());
}

// A handle, closed at the end of its scope.
template <MobileoneStatus (*Close)(std::uint64_t)> struct Handle {
    std::uint64_t value = 0;
    Handle() = default;
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() {
        if (value != 0) Close(value);
    }
};

struct Flight {
    MobileoneTicket ticket;
    Clock::time_point begun;
};

constexpr unsigned SIDE = 240;

void draw(std::vector<std::uint8_t> &bgra, unsigned frame) {
    std::fill(bgra.begin(), bgra.end(), std::uint8_t{230});
    unsigned left = 90 + frame % 40;
    for (unsigned y = 30; y < 210; y++)
        std::fill_n(bgra.begin() + 4 * (SIDE * y + left), 4 * 24, std::uint8_t{20});
}

void log_line(std::uint32_t, const char *line, void *) { std::fprintf(stderr, "%s\n", line); }

// The argument's number, from 1 to a million.
unsigned count(const char *text) {
    char *end = nullptr;
    long number = std::strtol(text, &end, 10);
    if (*end != '\0' || number < 1 || number > 1000000) throw std::runtime_error("FRAMES is a number from 1 to 1000000");
    return static_cast<unsigned>(number);
}

void run(const char *name, unsigned frames) {
    check(mobileone_set_log(log_line, nullptr, MOBILEONE_LOG_WARN));
    Handle<mobileone_model_close> model;
    Handle<mobileone_device_close> device;
    Handle<mobileone_session_close> session;
    check(mobileone_model_builtin(&model.value));
    check(mobileone_device_open(name, &device.value));
    MobileoneOptions options = {};
    options.size = sizeof options;
    options.frames = 2;
    options.top_k = 1;
    check(mobileone_session_open(model.value, device.value, &options, &session.value));

    std::vector<std::uint8_t> bgra(4 * SIDE * SIDE);
    MobileonePicture picture = {};
    picture.size = sizeof picture;
    picture.format = MOBILEONE_FORMAT_BGRA8;
    picture.width = picture.height = SIDE;
    picture.bytes = bgra.data();
    picture.length = bgra.size();

    MobileoneTop top = {};
    MobileoneAnswer answer = {};
    answer.size = sizeof answer;
    answer.top = {&top, 1, 0};
    std::deque<Flight> flights;
    std::vector<double> latencies;
    unsigned dropped = 0;
    auto land = [&] {
        std::chrono::duration<double, std::milli> took = Clock::now() - flights.front().begun;
        latencies.push_back(took.count());
        flights.pop_front();
    };
    for (unsigned frame = 0; frame < frames; frame++) {
        draw(bgra, frame);
        Flight flight = {0, Clock::now()};
        MobileoneStatus status = mobileone_submit(session.value, &picture, &flight.ticket);
        if (status == MOBILEONE_BUSY) {
            dropped++;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        } else {
            check(status);
            flights.push_back(flight);
        }
        while (!flights.empty()) {
            status = mobileone_poll(flights.front().ticket, &answer);
            if (status == MOBILEONE_NOT_READY) break;
            check(status);
            land();
        }
    }
    while (!flights.empty()) {
        check(mobileone_wait(flights.front().ticket, &answer));
        land();
    }
    std::size_t length = 0;
    mobileone_model_label(model.value, top.index, nullptr, 0, &length);
    std::string label(length + 1, '\0');
    check(mobileone_model_label(model.value, top.index, label.data(), label.size(), nullptr));
    label.resize(length);
    std::sort(latencies.begin(), latencies.end());
    std::printf("%zu frames, %u dropped, median %.2f ms; the last one: %.1f%% %s\n", latencies.size(), dropped,
                latencies[latencies.size() / 2], 100.0 * static_cast<double>(top.probability), label.c_str());
    check(mobileone_set_log(nullptr, nullptr, MOBILEONE_LOG_OFF));
}

} // namespace

int main(int argc, char **argv) {
    try {
        run(argc > 1 ? argv[1] : "auto", argc > 2 ? count(argv[2]) : 100);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "stream: %s\n", error.what());
        return 2;
    }
    return 0;
}
