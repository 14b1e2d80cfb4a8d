/* What a caller can do wrong gives an error, never a crash: misuse DEVICE */
#define _POSIX_C_SOURCE 200809L
#include "misuse.h"
#include <sys/wait.h>
#include <unistd.h>

unsigned char pixels[4 * SIDE * SIDE];
static MobileoneModel model;
static MobileoneDevice device;

MobileoneSession open_session(unsigned frames) {
    MobileoneOptions options = {.size = sizeof options, .frames = frames, .outputs = MOBILEONE_OUTPUT_LOGITS};
    MobileoneSession session;
    OK(mobileone_session_open(model, device, &options, &session));
    return session;
}

static void nulls(MobileoneSession session) {
    MobileoneModel other;
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    MobileoneTicket ticket = 7;
    MobileoneTop top[5];
    size_t count;
    BAD_ARGUMENT(mobileone_model_builtin(NULL));
    BAD_ARGUMENT(mobileone_model_load(NULL, &other));
    BAD_ARGUMENT(mobileone_model_load("x", NULL));
    BAD_ARGUMENT(mobileone_model_load("\xff\xfe", &other));
    BAD_ARGUMENT(mobileone_model_from_bytes(NULL, 5, NULL, &other));
    BAD_ARGUMENT(mobileone_model_from_bytes(pixels, (size_t)-1, NULL, &other));
    BAD_ARGUMENT(mobileone_model_info(model, NULL));
    BAD_ARGUMENT(mobileone_model_label(model, 0, NULL, 100, NULL));
    BAD_ARGUMENT(mobileone_model_outputs(model, NULL, 9, &count));
    BAD_ARGUMENT(mobileone_model_outputs(model, NULL, 9, NULL));
    BAD_ARGUMENT(mobileone_session_outputs(session, NULL, 9, &count));
    BAD_ARGUMENT(mobileone_device_open(NULL, &other));
    BAD_ARGUMENT(mobileone_device_open("cpu", NULL));
    BAD_ARGUMENT(mobileone_device_info(device, NULL));
    BAD_ARGUMENT(mobileone_session_open(model, device, NULL, NULL));
    BAD_ARGUMENT(mobileone_run(session, NULL, &place));
    BAD_ARGUMENT(mobileone_run(session, &good, NULL));
    BAD_ARGUMENT(mobileone_run_tensor(session, NULL, 3, &place));
    BAD_ARGUMENT(mobileone_classify(session, &good, NULL, 5, &count));
    count = 0;
    CHECK(mobileone_classify(session, &good, NULL, 0, &count) == MOBILEONE_BUFFER_TOO_SMALL && count == 5);
    BAD_ARGUMENT(mobileone_classify(session, &good, top, 5, NULL));
    BAD_ARGUMENT(mobileone_classify(session, NULL, top, 5, &count));
    BAD_ARGUMENT(mobileone_submit(session, &good, NULL));
    BAD_ARGUMENT(mobileone_submit(session, NULL, &ticket));
    CHECK(ticket == 0);
    BAD_ARGUMENT(mobileone_submit_tensor(session, NULL, 1, &ticket));
    BAD_ARGUMENT(mobileone_set_log(NULL, NULL, 99));
    good.bytes = NULL;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    OK(mobileone_submit(session, (good = picture(), &good), &ticket));
    BAD_ARGUMENT(mobileone_wait(ticket, NULL));
    OK(mobileone_wait(ticket, &place));
}

void refused(uint64_t handle) {
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    MobileoneModelInfo model_info = {.size = sizeof model_info};
    MobileoneDeviceInfo device_info = {.size = sizeof device_info};
    MobileoneSession session = 7;
    MobileoneTicket ticket;
    MobileoneTop top;
    size_t count;
    char label[4];
    float value = 0;
    BAD_HANDLE(mobileone_model_info(handle, &model_info));
    BAD_HANDLE(mobileone_model_label(handle, 0, label, sizeof label, NULL));
    BAD_HANDLE(mobileone_model_close(handle));
    BAD_HANDLE(mobileone_model_outputs(handle, NULL, 0, &count));
    BAD_HANDLE(mobileone_session_outputs(handle, NULL, 0, &count));
    BAD_HANDLE(mobileone_device_info(handle, &device_info));
    BAD_HANDLE(mobileone_device_close(handle));
    BAD_HANDLE(mobileone_session_open(handle, device, NULL, &session));
    BAD_HANDLE(mobileone_session_open(model, handle, NULL, &session));
    CHECK(session == 0);
    uint32_t batch;
    BAD_HANDLE(mobileone_session_batch(handle, &batch));
    BAD_HANDLE(mobileone_session_pause(handle));
    BAD_HANDLE(mobileone_session_resume(handle));
    BAD_HANDLE(mobileone_session_close(handle));
    BAD_HANDLE(mobileone_run(handle, &good, &place));
    BAD_HANDLE(mobileone_run_tensor(handle, &value, 1, &place));
    BAD_HANDLE(mobileone_classify(handle, &good, &top, 1, &count));
    BAD_HANDLE(mobileone_submit(handle, &good, &ticket));
    BAD_HANDLE(mobileone_submit_tensor(handle, &value, 1, &ticket));
    BAD_HANDLE(mobileone_poll(handle, &place));
    BAD_HANDLE(mobileone_wait(handle, &place));
    BAD_HANDLE(mobileone_cancel(handle));
}

static void handles(MobileoneSession session) {
    MobileoneModel closed;
    OK(mobileone_model_builtin(&closed));
    OK(mobileone_model_close(closed));
    refused(0);
    refused(1);
    refused(UINT64_MAX);
    refused(closed);
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 50; round++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        /* Of each kind and of none, at a place that is there, of a generation that is not; and plain noise. */
        refused(random);
        refused((random & 0x07ffffffff000000u) | 0x0000800000000000u);
    }
    /* Right handles in wrong places. */
    MobileoneAnswer place = answer();
    BAD_HANDLE(mobileone_session_close(model));
    BAD_HANDLE(mobileone_device_close(model));
    BAD_HANDLE(mobileone_model_close(session));
    BAD_HANDLE(mobileone_wait(session, &place));
    BAD_HANDLE(mobileone_session_open(device, model, NULL, &closed));
}

static void sizes(MobileoneSession session) {
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    MobileoneModelInfo info = {.size = sizeof info - 8};
    MobileoneOptions options = {.size = 4};
    MobileoneSession other;
    BAD_ARGUMENT(mobileone_model_info(model, &info));
    BAD_ARGUMENT(mobileone_session_open(model, device, &options, &other));
    place.size = 0;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    place = answer();
    good.size = 0xdeadbeef;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));

    /* A caller of a newer header: what is unknown may be 0, and nothing else. */
    struct {
        MobileonePicture known;
        uint64_t unknown;
    } newer = {picture(), 0};
    newer.known.size = sizeof newer;
    OK(mobileone_run(session, &newer.known, &place));
    newer.unknown = 1;
    BAD_ARGUMENT(mobileone_run(session, &newer.known, &place));

    /* Numbers without a meaning. */
    const uint32_t bad = 77;
    good = picture(), good.format = bad;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    good = picture(), good.rotation = bad;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    good = picture(), good.format = MOBILEONE_FORMAT_YUYV, good.matrix = bad;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    good = picture(), good.format = MOBILEONE_FORMAT_YUYV, good.range = bad;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    good = picture(), good.reserved = bad;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    options = (MobileoneOptions){.size = sizeof options, .dtype = bad};
    BAD_ARGUMENT(mobileone_session_open(model, device, &options, &other));
    options = (MobileoneOptions){.size = sizeof options, .outputs = 1u << 20};
    BAD_ARGUMENT(mobileone_session_open(model, device, &options, &other));

    /* Options that no memory holds, or that the CPU cannot do. */
    options = (MobileoneOptions){.size = sizeof options, .frames = UINT32_MAX};
    EXPECT(MOBILEONE_OPTION, mobileone_session_open(model, device, &options, &other));
    options = (MobileoneOptions){.size = sizeof options, .batch = UINT32_MAX};
    EXPECT(MOBILEONE_OPTION, mobileone_session_open(model, device, &options, &other));
    options = (MobileoneOptions){.size = sizeof options, .threads = UINT32_MAX};
    EXPECT(MOBILEONE_OPTION, mobileone_session_open(model, device, &options, &other));
    options = (MobileoneOptions){.size = sizeof options, .top_k = UINT32_MAX, .threads = 1};
    OK(mobileone_session_open(model, device, &options, &other));
    OK(mobileone_run(other, (good = picture(), &good), &place));
    CHECK(place.top.count == 11);
    OK(mobileone_session_close(other));
    MobileoneDeviceInfo device_info = {.size = sizeof device_info};
    OK(mobileone_device_info(device, &device_info));
    options = (MobileoneOptions){.size = sizeof options, .dtype = MOBILEONE_DTYPE_F16};
    if (device_info.kind == MOBILEONE_DEVICE_CPU)
        EXPECT(MOBILEONE_OPTION, mobileone_session_open(model, device, &options, &other));
    uint32_t batch;
    OK(mobileone_session_batch(session, &batch));
    CHECK(batch == 1);
    BAD_ARGUMENT(mobileone_session_batch(session, NULL));

    /* Pictures that contradict themselves. */
    good = picture(), good.length--;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.stride = 4 * SIDE - 4;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.stride = (size_t)-4;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.width = 0;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.height = UINT32_MAX;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.crop[2] = SIDE + 1, good.crop[3] = 1;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.format = MOBILEONE_FORMAT_NV12, good.length = SIDE * SIDE;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good = picture(), good.format = MOBILEONE_FORMAT_NV12, good.height = UINT32_MAX, good.stride = (size_t)-1;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));

    /* Files that do not hold a picture, or come with a size. */
    good = picture(), good.format = MOBILEONE_FORMAT_FILE;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));
    good.width = good.height = 0;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    CHECK(strstr(mobileone_last_error(), "not a picture") != NULL);
    good.length = 0;
    EXPECT(MOBILEONE_INPUT, mobileone_run(session, &good, &place));
    good.bytes = NULL, good.length = 1;
    BAD_ARGUMENT(mobileone_run(session, &good, &place));

    /* Tensors of another size, and of values that are none. */
    static float tensor[80 * 80 * 3];
    EXPECT(MOBILEONE_INPUT, mobileone_run_tensor(session, tensor, 80 * 80 * 3 - 1, &place));
    EXPECT(MOBILEONE_INPUT, mobileone_run_tensor(session, tensor, 0, &place));
    OK(mobileone_run_tensor(session, tensor, 80 * 80 * 3, &place));
    memset(tensor, 0xff, sizeof tensor);
    EXPECT(MOBILEONE_INPUT, mobileone_run_tensor(session, tensor, 80 * 80 * 3, &place));

    /* Places that are too small: the counts say what is needed, and a ticket stays. */
    float logits[11] = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
    MobileoneTicket ticket;
    good = picture(), place = answer();
    OK(mobileone_submit(session, &good, &ticket));
    place.logits.values = logits, place.logits.capacity = 10;
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_wait(ticket, &place));
    CHECK(place.logits.count == 11 && place.top.count == 5 && place.batch == 1 && place.features.count == 0);
    CHECK(logits[0] == 9);
    place.logits.capacity = 11;
    OK(mobileone_wait(ticket, &place));
    CHECK(logits[0] != 9);
    BAD_HANDLE(mobileone_wait(ticket, &place));
    MobileoneTop top;
    size_t count;
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_classify(session, &good, &top, 1, &count));
    CHECK(count == 5);
    char label[3];
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_model_label(model, 10, label, sizeof label, &count));
    CHECK(count == strlen("nothing"));
    BAD_ARGUMENT(mobileone_model_label(model, 11, label, sizeof label, NULL));
}

static void outputs(MobileoneSession session) {
    /* What there is: by the count first, then into an array whose first element says the size of all. */
    MobileoneOutputInfo infos[4] = {{.size = sizeof infos[0]}};
    size_t count = 0;
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_model_outputs(model, NULL, 0, &count));
    CHECK(count == 3);
    count = 0;
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_model_outputs(model, infos, 2, &count));
    CHECK(count == 3 && infos[0].channels == 0);
    OK(mobileone_model_outputs(model, infos, 4, &count));
    CHECK(count == 3 && infos[2].size == sizeof infos[0] && infos[3].size == 0);
    CHECK(strcmp(infos[2].name, "probabilities") == 0 && infos[2].channels == 11 && infos[2].width == 1);
    OK(mobileone_session_outputs(session, infos, 4, &count));
    CHECK(count == 1 && strcmp(infos[0].name, "logits") == 0);
    infos[0].size = 8;
    BAD_ARGUMENT(mobileone_model_outputs(model, infos, 4, &count));

    /* A caller of a newer header, whose array is of larger structs. */
    struct {
        MobileoneOutputInfo known;
        uint64_t unknown;
    } newer[3] = {{{.size = sizeof newer[0]}, 7}};
    OK(mobileone_model_outputs(model, &newer[0].known, 3, &count));
    CHECK(count == 3 && newer[0].unknown == 7 && newer[2].unknown == 0);
    CHECK(newer[2].known.size == sizeof newer[0] && strcmp(newer[2].known.name, "probabilities") == 0);

    /* Names that the model does not give, and that are no text. */
    MobileoneSession other = 7;
    MobileoneOptions options = {.size = sizeof options, .names = "logits,stride8"};
    EXPECT(MOBILEONE_OPTION, mobileone_session_open(model, device, &options, &other));
    CHECK(other == 0 && strstr(mobileone_last_error(), "\"stride8\", only features, logits, probabilities"));
    options.names = "\xff";
    BAD_ARGUMENT(mobileone_session_open(model, device, &options, &other));
    /* A caller of the first header has no names: what lies there is none of its struct. */
    options.size = offsetof(MobileoneOptions, names);
    OK(mobileone_session_open(model, device, &options, &other));
    count = 7;
    OK(mobileone_session_outputs(other, NULL, 0, &count));
    CHECK(count == 0);
    OK(mobileone_session_close(other));

    /* Buffers by names that the session does not give, without a name, too small, and too many; nothing ends a ticket. */
    float values[11] = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
    MobileoneNamed named[2] = {{"logits", values, 10, 0}, {"features", NULL, 0, 0}};
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    MobileoneTicket ticket;
    OK(mobileone_submit(session, &good, &ticket));
    place.named = named, place.named_count = 2;
    BAD_ARGUMENT(mobileone_wait(ticket, &place));
    CHECK(strstr(mobileone_last_error(), "named[1]: \"features\": the session gives logits") != NULL);
    named[1].name = NULL;
    BAD_ARGUMENT(mobileone_wait(ticket, &place));
    named[1].name = "\xff";
    BAD_ARGUMENT(mobileone_wait(ticket, &place));
    place.named_count = (size_t)-1;
    BAD_ARGUMENT(mobileone_wait(ticket, &place));
    place.named = NULL;
    BAD_ARGUMENT(mobileone_wait(ticket, &place));
    place.named = named, place.named_count = 1;
    EXPECT(MOBILEONE_BUFFER_TOO_SMALL, mobileone_wait(ticket, &place));
    CHECK(named[0].count == 11 && place.logits.count == 11 && values[0] == 9);
    named[0].capacity = 11;
    OK(mobileone_wait(ticket, &place));
    CHECK(values[0] != 9 && values[10] != 9);
    /* One that is not wanted only counts; an answer of the first header has none. */
    named[0].values = NULL, named[0].count = 0;
    OK(mobileone_run(session, &good, &place));
    CHECK(named[0].count == 11);
    place.size = offsetof(MobileoneAnswer, named), place.named_count = 99;
    OK(mobileone_run(session, &good, &place));
}

static void files(const char *name) {
    MobileoneModel other = 7;
    EXPECT(MOBILEONE_FILE, mobileone_model_load("/nowhere/at all", &other));
    CHECK(other == 0 && strstr(mobileone_last_error(), "/nowhere/at all") != NULL);
    EXPECT(MOBILEONE_FILE, mobileone_model_load("/", &other));
    EXPECT(MOBILEONE_FILE, mobileone_model_from_bytes(pixels, sizeof pixels, NULL, &other));
    EXPECT(MOBILEONE_FILE, mobileone_model_from_bytes(NULL, 0, NULL, &other));
    EXPECT(MOBILEONE_FILE, mobileone_model_load_with("/nowhere/at all", NULL, &other));
    EXPECT(MOBILEONE_FILE, mobileone_model_from_bytes_with(pixels, sizeof pixels, NULL, NULL, &other));
    /* To look for it loads every driver, which is not what Memcheck is to judge. */
    if (strcmp(name, "cpu") != 0) EXPECT(MOBILEONE_NO_DEVICE, mobileone_device_open("no such device", &other));
    EXPECT(MOBILEONE_NO_DEVICE, mobileone_device_open("", &other));
}

static void readings(void) {
    static const uint32_t strides[] = {2, 2, 2, 2, 2};
    const MobileoneReading good = {.size = sizeof good, .weights = "raw", .strides = strides, .strides_count = 5};
    MobileoneReading bad = good;
    MobileoneModel other = 7;
    EXPECT(MOBILEONE_FILE, mobileone_model_load_with("/nowhere/at all", &good, &other));
    CHECK(other == 0);
    BAD_ARGUMENT(mobileone_model_load_with(NULL, &good, &other));
    BAD_ARGUMENT(mobileone_model_load_with("x", &good, NULL));
    bad.size = 4;
    BAD_ARGUMENT(mobileone_model_load_with("x", &bad, &other));
    bad = good, bad.reserved = 1;
    BAD_ARGUMENT(mobileone_model_load_with("x", &bad, &other));
    bad = good, bad.weights = "\xff";
    BAD_ARGUMENT(mobileone_model_load_with("x", &bad, &other));
    bad = good, bad.strides = NULL;
    BAD_ARGUMENT(mobileone_model_load_with("x", &bad, &other));
    bad = good, bad.strides_count = 1;
    BAD_ARGUMENT(mobileone_model_load_with("x", &bad, &other));
    bad = good, bad.strides_count = (size_t)-1;
    BAD_ARGUMENT(mobileone_model_from_bytes_with(pixels, sizeof pixels, NULL, &bad, &other));
    const double impossible[] = {-1, 1, 0.0 / 0.0};
    for (size_t at = 0; at < 3; at++) {
        bad = good, bad.bn_eps = impossible[at];
        EXPECT(MOBILEONE_OPTION, mobileone_model_from_bytes_with(pixels, sizeof pixels, NULL, &bad, &other));
    }
}

static void in_flight(void) {
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    MobileoneTicket a, b, c;
    /* Busy, cancelled, and busy no more. */
    MobileoneSession session = open_session(2);
    OK(mobileone_submit(session, &good, &a));
    OK(mobileone_submit(session, &good, &b));
    MobileoneStatus status = mobileone_submit(session, &good, &c);
    CHECK(status == MOBILEONE_BUSY && c == 0);
    /* Which is known before a picture is converted: nobody sees that this one has no rows. */
    MobileonePicture cut = picture();
    cut.format = MOBILEONE_FORMAT_NV12, cut.length = 1;
    EXPECT(MOBILEONE_BUSY, mobileone_submit(session, &cut, &c));
    OK(mobileone_cancel(a));
    BAD_HANDLE(mobileone_cancel(a));
    BAD_HANDLE(mobileone_poll(a, &place));
    OK(mobileone_wait(b, &place));
    EXPECT(MOBILEONE_INPUT, mobileone_submit(session, &cut, &c));
    /* Paused: nothing goes in, what was in comes out, also after a cancel. */
    OK(mobileone_submit(session, &good, &a));
    OK(mobileone_submit(session, &good, &b));
    OK(mobileone_cancel(b));
    OK(mobileone_session_pause(session));
    OK(mobileone_session_pause(session));
    EXPECT(MOBILEONE_PAUSED, mobileone_submit(session, &good, &b));
    EXPECT(MOBILEONE_PAUSED, mobileone_run(session, &good, &place));
    OK(mobileone_poll(a, &place));
    OK(mobileone_session_resume(session));
    OK(mobileone_run(session, &good, &place));
    /* Closed in flight. */
    OK(mobileone_submit(session, &good, &a));
    OK(mobileone_session_close(session));
    BAD_HANDLE(mobileone_wait(a, &place));
    BAD_HANDLE(mobileone_poll(a, &place));
    BAD_HANDLE(mobileone_cancel(a));
    BAD_HANDLE(mobileone_submit(session, &good, &a));
    BAD_HANDLE(mobileone_session_close(session));
}

static int said;
static MobileoneSession heard;

/* Whatever lock this thread holds, no call from here waits for it. */
static void listen(uint32_t level, const char *line, void *user) {
    MobileoneModel other = 7;
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    CHECK(level >= MOBILEONE_LOG_ERROR && level <= MOBILEONE_LOG_TRACE && line[0] != 0 && user == &said);
    EXPECT(MOBILEONE_BUSY, mobileone_set_log(NULL, NULL, MOBILEONE_LOG_OFF));
    EXPECT(MOBILEONE_BUSY, mobileone_model_builtin(&other));
    EXPECT(MOBILEONE_BUSY, mobileone_run(heard, &good, &place));
    EXPECT(MOBILEONE_BUSY, mobileone_session_pause(heard));
    EXPECT(MOBILEONE_BUSY, mobileone_session_close(heard));
    EXPECT(MOBILEONE_BUSY, mobileone_device_close(device));
    CHECK(strstr(mobileone_last_error(), "the log's function") != NULL);
    said++;
}

static void logs(MobileoneSession session, const char *name) {
    MobileoneModel other;
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    heard = session;
    OK(mobileone_set_log(listen, &said, MOBILEONE_LOG_INFO));
    OK(mobileone_model_builtin(&other));
    OK(mobileone_model_close(other));
    CHECK(said == 1);
    /* While a frame runs, wgpu speaks of it. */
    OK(mobileone_set_log(listen, &said, MOBILEONE_LOG_TRACE));
    OK(mobileone_run(session, &good, &place));
    OK(mobileone_session_pause(session));
    OK(mobileone_session_resume(session));
    CHECK(strcmp(name, "cpu") == 0 || said > 1);
    OK(mobileone_set_log(NULL, NULL, MOBILEONE_LOG_INFO));
    int before = said;
    OK(mobileone_model_builtin(&other));
    OK(mobileone_model_close(other));
    CHECK(said == before);
}

/* A child has none of the threads that an answer waits for: its calls say so. */
static void forks(MobileoneSession session) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        MobileonePicture good = picture();
        MobileoneAnswer place = answer();
        MobileoneModel other;
        EXPECT(MOBILEONE_FORKED, mobileone_run(session, &good, &place));
        EXPECT(MOBILEONE_FORKED, mobileone_model_builtin(&other));
        /* Not by an exit, at which Memcheck would miss what the parent's threads hold. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(mobileone_abi_version() == MOBILEONE_ABI_VERSION);
    CHECK(mobileone_version()[0] != 0 && mobileone_last_error()[0] == 0);
    for (size_t at = 0; at < sizeof pixels; at++) pixels[at] = (unsigned char)(at * at / 3 + at * 7);
    OK(mobileone_model_builtin(&model));
    OK(mobileone_device_open(argv[1], &device));
    MobileoneSession session = open_session(2);
    nulls(session);
    handles(session);
    sizes(session);
    outputs(session);
    files(argv[1]);
    readings();
    in_flight();
    logs(session, argv[1]);
    forks(session);
    threads();
    /* What a session was made of may be closed before it. */
    OK(mobileone_model_close(model));
    OK(mobileone_device_close(device));
    BAD_HANDLE(mobileone_model_close(model));
    BAD_HANDLE(mobileone_device_close(device));
    MobileonePicture good = picture();
    MobileoneAnswer place = answer();
    OK(mobileone_run(session, &good, &place));
    OK(mobileone_session_close(session));
    puts("every misuse was refused");
    return 0;
}
