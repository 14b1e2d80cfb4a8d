/* Names what a picture shows: classify PICTURE [MODEL [DEVICE]]
 *
 * PICTURE is a JPEG, PNG, WebP, BMP or GIF file; MODEL is a safetensors file or a PyTorch checkpoint, or `digits`, which is
 * built in; DEVICE is `auto`, `cpu`, ... */
#include <mobileone.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(MobileoneStatus status) {
    if (status != MOBILEONE_OK) {
        fprintf(stderr, "classify: %s\n", mobileone_last_error());
        exit(2);
    }
}

/* All bytes of a file. */
static unsigned char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    size_t room = 0;
    *length = 0;
    while (file != NULL) {
        if (*length == room) {
            room = room == 0 ? 1 << 16 : 2 * room;
            bytes = realloc(bytes, room);
            if (bytes == NULL) break;
        }
        size_t count = fread(bytes + *length, 1, room - *length, file);
        *length += count;
        if (count == 0) break;
    }
    if (file == NULL || bytes == NULL || ferror(file)) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: classify PICTURE [MODEL [DEVICE]]\n");
        return 2;
    }
    MobileonePicture picture = {.size = sizeof picture, .format = MOBILEONE_FORMAT_FILE};
    unsigned char *bytes = read_file(argv[1], &picture.length);
    picture.bytes = bytes;

    MobileoneModel model;
    MobileoneDevice device;
    MobileoneSession session;
    if (argc < 3 || strcmp(argv[2], "digits") == 0) {
        check(mobileone_model_builtin(&model));
    } else {
        check(mobileone_model_load(argv[2], &model));
    }
    check(mobileone_device_open(argc < 4 ? "auto" : argv[3], &device));
    check(mobileone_session_open(model, device, NULL, &session));

    MobileoneTop top[5];
    size_t count;
    check(mobileone_classify(session, &picture, top, 5, &count));
    for (size_t at = 0; at < count; at++) {
        char label[256];
        check(mobileone_model_label(model, top[at].index, label, sizeof label, NULL));
        printf("%5.1f%%  %s\n", top[at].probability * 100.0, label);
    }

    free(bytes);
    check(mobileone_session_close(session));
    check(mobileone_device_close(device));
    check(mobileone_model_close(model));
    return 0;
}
