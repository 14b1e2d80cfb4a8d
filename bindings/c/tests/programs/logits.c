/* Prints all that comes back, as bits, for inputs of which the Rust library is given the same:
 * logits DEVICE BYTES FLOATS PICTURE */
#include <mobileone.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 61, HEIGHT = 47, STRIDE = 256, PLACE = 4096 };

static void check(MobileoneStatus status) {
    if (status != MOBILEONE_OK) {
        fprintf(stderr, "logits: status %d: %s\n", (int)status, mobileone_last_error());
        exit(2);
    }
}

static void *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    void *bytes = malloc(1 << 20);
    if (file == NULL || bytes == NULL) exit(2);
    *length = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static MobileoneTop top[PLACE];
static float logits[PLACE], probabilities[PLACE], features[PLACE];
/* The same by name. */
static float again[2][PLACE];
static MobileoneNamed named[] = {{"features", again[0], PLACE, 0}, {"logits", again[1], PLACE, 0}};

static MobileoneAnswer place(void) {
    MobileoneAnswer answer = {.size = sizeof answer,
                              .top = {top, PLACE, 0},
                              .logits = {logits, PLACE, 0},
                              .probabilities = {probabilities, PLACE, 0},
                              .features = {features, PLACE, 0},
                              .named = named,
                              .named_count = 2};
    return answer;
}

static void print_bits(const float *values, size_t count) {
    for (size_t at = 0; at < count; at++) {
        unsigned bits;
        memcpy(&bits, values + at, sizeof bits);
        printf(" %08x", bits);
    }
}

static void print(const char *name, const MobileoneAnswer *answer) {
    printf("%s %u", name, (unsigned)answer->batch);
    for (size_t at = 0; at < answer->top.count; at++) {
        printf(" %08x", (unsigned)top[at].index);
        print_bits(&top[at].probability, 1);
    }
    print_bits(logits, answer->logits.count);
    print_bits(probabilities, answer->probabilities.count);
    print_bits(features, answer->features.count);
    printf("\n");
    if (named[0].count != answer->features.count || named[1].count != answer->logits.count ||
        memcmp(again[0], features, named[0].count * sizeof(float)) != 0 ||
        memcmp(again[1], logits, named[1].count * sizeof(float)) != 0) {
        fprintf(stderr, "logits: %s: other values by name\n", name);
        exit(2);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    size_t length, floats, file_length;
    unsigned char *bytes = read_file(argv[2], &length);
    float *values = read_file(argv[3], &floats);
    unsigned char *file_bytes = read_file(argv[4], &file_length);
    floats /= sizeof(float);
    MobileoneModel model;
    MobileoneDevice device;
    MobileoneSession session;
    MobileoneTicket ticket;
    check(mobileone_model_builtin(&model));
    check(mobileone_device_open(argv[1], &device));
    MobileoneOptions options = {.size = sizeof options,
                                .batch = 2,
                                .top_k = 3,
                                .outputs = MOBILEONE_OUTPUT_LOGITS | MOBILEONE_OUTPUT_PROBABILITIES,
                                .names = "features, logits"};
    check(mobileone_session_open(model, device, &options, &session));

    MobileonePicture rgba = {.size = sizeof rgba,
                             .format = MOBILEONE_FORMAT_RGBA8,
                             .width = WIDTH,
                             .height = HEIGHT,
                             .bytes = bytes,
                             .length = length,
                             .stride = STRIDE};
    MobileoneAnswer answer = place();
    check(mobileone_run(session, &rgba, &answer));
    print("rgba", &answer);

    MobileonePicture bgra = rgba;
    bgra.format = MOBILEONE_FORMAT_BGRA8;
    bgra.crop[0] = 3, bgra.crop[1] = 5, bgra.crop[2] = 50, bgra.crop[3] = 40;
    bgra.rotation = MOBILEONE_ROTATION_QUARTER;
    check(mobileone_submit(session, &bgra, &ticket));
    check(mobileone_wait(ticket, &answer));
    print("bgra", &answer);

    MobileonePicture nv12 = {.size = sizeof nv12,
                             .format = MOBILEONE_FORMAT_NV12,
                             .width = WIDTH,
                             .height = HEIGHT,
                             .bytes = bytes,
                             .length = length,
                             .stride = 64,
                             .rotation = MOBILEONE_ROTATION_HALF,
                             .matrix = MOBILEONE_MATRIX_BT709,
                             .range = MOBILEONE_RANGE_LIMITED};
    check(mobileone_submit(session, &nv12, &ticket));
    MobileoneStatus status;
    while ((status = mobileone_poll(ticket, &answer)) == MOBILEONE_NOT_READY) {
    }
    check(status);
    print("nv12", &answer);

    MobileonePicture yuyv = {.size = sizeof yuyv,
                             .format = MOBILEONE_FORMAT_YUYV,
                             .width = WIDTH,
                             .height = HEIGHT,
                             .bytes = bytes,
                             .length = length,
                             .crop = {1, 2, 58, 44},
                             .rotation = MOBILEONE_ROTATION_THREE_QUARTERS,
                             .matrix = MOBILEONE_MATRIX_BT601,
                             .range = MOBILEONE_RANGE_FULL};
    check(mobileone_run(session, &yuyv, &answer));
    print("yuyv", &answer);

    MobileonePicture file = {.size = sizeof file,
                             .format = MOBILEONE_FORMAT_FILE,
                             .bytes = file_bytes,
                             .length = file_length,
                             .crop = {10, 40, 200, 230},
                             .rotation = MOBILEONE_ROTATION_QUARTER};
    check(mobileone_submit(session, &file, &ticket));
    memset(file_bytes, 0, file_length);
    check(mobileone_wait(ticket, &answer));
    print("file", &answer);

    /* Three pictures: two submits. */
    check(mobileone_run_tensor(session, values, floats, &answer));
    print("tensor", &answer);
    check(mobileone_submit_tensor(session, values, floats / 3 * 2, &ticket));
    check(mobileone_session_pause(session));
    check(mobileone_wait(ticket, &answer));
    print("paused", &answer);

    check(mobileone_session_close(session));
    check(mobileone_device_close(device));
    check(mobileone_model_close(model));
    free(bytes);
    free(values);
    free(file_bytes);
    return 0;
}
