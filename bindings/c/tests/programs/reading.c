/* Prints what the log says of a model that is read in a certain way, and its logits as bits, of the file and of its
 * bytes: reading FILE CONFIG WEIGHTS STRIDES BN_EPS, with - for what is not given */
#include <mobileone.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(MobileoneStatus status) {
    if (status != MOBILEONE_OK) {
        printf("status %d %s\n", (int)status, mobileone_last_error());
        exit(0);
    }
}

static void listen(uint32_t level, const char *line, void *user) {
    (void)user;
    printf("log %u %s\n", (unsigned)level, line);
}

/* The bytes of a file, ended by a 0. */
static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    char *bytes = calloc(1, (1 << 22) + 1);
    if (file == NULL || bytes == NULL) exit(2);
    *length = fread(bytes, 1, 1 << 22, file);
    fclose(file);
    return bytes;
}

static void run(const char *name, MobileoneModel model) {
    MobileoneModelInfo info = {.size = sizeof info};
    check(mobileone_model_info(model, &info));
    size_t count = (size_t)info.height * info.width * info.channels;
    float *values = malloc(count * sizeof *values), logits[64];
    if (values == NULL) exit(2);
    for (size_t at = 0; at < count; at++) values[at] = (float)(at * 37 % 101) / 50.0f - 1.0f;
    MobileoneDevice device;
    MobileoneSession session;
    MobileoneOptions options = {.size = sizeof options, .outputs = MOBILEONE_OUTPUT_LOGITS};
    check(mobileone_device_open("cpu", &device));
    check(mobileone_session_open(model, device, &options, &session));
    MobileoneAnswer answer = {.size = sizeof answer, .logits = {logits, 64, 0}};
    check(mobileone_run_tensor(session, values, count, &answer));
    printf("%s", name);
    for (size_t at = 0; at < answer.logits.count; at++) {
        unsigned bits;
        memcpy(&bits, logits + at, sizeof bits);
        printf(" %08x", bits);
    }
    printf("\n");
    free(values);
    check(mobileone_session_close(session));
    check(mobileone_device_close(device));
    check(mobileone_model_close(model));
}

static int given(const char *text) { return strcmp(text, "-") != 0; }

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    MobileoneReading reading = {.size = sizeof reading};
    uint32_t strides[16];
    if (given(argv[3])) reading.weights = argv[3];
    if (given(argv[4])) {
        for (char *text = argv[4]; reading.strides_count < 16; text++) {
            strides[reading.strides_count++] = (uint32_t)strtoul(text, &text, 10);
            if (*text == 0) break;
        }
        reading.strides = strides;
    }
    if (given(argv[5])) reading.bn_eps = strtod(argv[5], NULL);
    size_t length, config_length;
    char *bytes = read_file(argv[1], &length), *config = read_file(argv[2], &config_length);
    MobileoneModel model;
    check(mobileone_set_log(listen, NULL, MOBILEONE_LOG_INFO));
    check(mobileone_model_load_with(argv[1], &reading, &model));
    run("file", model);
    check(mobileone_model_from_bytes_with((const uint8_t *)bytes, length, config, &reading, &model));
    run("bytes", model);
    check(mobileone_set_log(NULL, NULL, MOBILEONE_LOG_OFF));
    free(bytes);
    free(config);
    return 0;
}
