/* Names what a picture shows: classify PICTURE.ppm [MODEL [DEVICE]]
 *
 * MODEL is a safetensors file or a PyTorch checkpoint, or `digits`, which is built in; DEVICE is `auto`, `cpu`, ... */
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

/* The pixels of a binary PPM file, 4 bytes each. */
static unsigned char *read_ppm(const char *path, unsigned *width, unsigned *height) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fscanf(file, "P6 %u %u 255", width, height) != 2 || *width > 65535 || *height > 65535) {
        fprintf(stderr, "classify: %s is no binary PPM file of 8 bits\n", path);
        exit(2);
    }
    (void)fgetc(file);
    size_t count = (size_t)*width * *height;
    unsigned char *pixels = calloc(count + 1, 4);
    for (size_t at = 0; pixels != NULL && at < count; at++) {
        if (fread(pixels + 4 * at, 1, 3, file) != 3) {
            fprintf(stderr, "classify: %s ends early\n", path);
            exit(2);
        }
    }
    fclose(file);
    return pixels;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: classify PICTURE.ppm [MODEL [DEVICE]]\n");
        return 2;
    }
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

    MobileonePicture picture = {.size = sizeof picture, .format = MOBILEONE_FORMAT_RGBA8};
    unsigned char *pixels = read_ppm(argv[1], &picture.width, &picture.height);
    picture.bytes = pixels;
    picture.length = (size_t)picture.width * picture.height * 4;
    MobileoneTop top[5];
    size_t count;
    check(mobileone_classify(session, &picture, top, 5, &count));
    for (size_t at = 0; at < count; at++) {
        char label[256];
        check(mobileone_model_label(model, top[at].index, label, sizeof label, NULL));
        printf("%5.1f%%  %s\n", top[at].probability * 100.0, label);
    }

    free(pixels);
    check(mobileone_session_close(session));
    check(mobileone_device_close(device));
    check(mobileone_model_close(model));
    return 0;
}
